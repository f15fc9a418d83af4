"""Pictures that are not those of the question: nothing of it is left in them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from datamodules.samples import OpenedImage, Region, SpatialSample, open_rgb
from datamodules.views import NotApplicable, OtherPicture, PlainGray


def region(column: int) -> Region:
    mask = np.zeros((20, 30), bool)
    mask[5:9, column : column + 3] = True
    return Region.from_mask(mask)


def sample(number: int, question: int = 0, regions: int = 2, further: int = 0) -> SpatialSample:
    image = OpenedImage(f"{number}.png", Image.fromarray(np.full((20, 30, 3), number, np.uint8)))
    return SpatialSample(
        id=f"{number}-{question}",
        question="Is [Region 0] (box 1 2 3 4) left of [Region 1] (box 5 6 7 8)?",
        image=image,
        further_images=(image,) * further,
        depth=OpenedImage(f"{number}-depth", Image.fromarray(np.full((20, 30), number, np.uint8))),
        regions=tuple(region(number % 20 + place) for place in range(regions)),
        boxes=((1.0, 2.0, 3.0, 4.0),),
        answer="left",
        group=f"{number}.png",
    )


def test_a_gray_picture_holds_nothing_of_the_question() -> None:
    seen = [PlainGray()(sample(number, further=1, regions=2)) for number in (3, 200)]
    first, second = (each.replace(id="", group="", image=None, further_images=()) for each in seen)
    assert first == second
    for each in seen:
        assert each.depth is None and each.boxes == () and "box" not in each.question
        assert [one.mask().all() for one in each.regions] == [True, True]
        for image in (each.image, *each.further_images):
            assert image is not None
            pixels = np.asarray(open_rgb(image))
            assert pixels.shape == (20, 30, 3) and pixels.min() == pixels.max()
            # Neither black nor the middle of a usual normalisation, which some models take for padding.
            assert pixels.min() / 255 not in (0.0, 0.5)
    bare = PlainGray()(sample(3).replace(image=None))
    assert bare.image is None


def test_another_picture_is_that_of_another_image_with_its_depth_and_regions() -> None:
    samples = [sample(number, question) for number in range(12) for question in range(3)]
    view = OtherPicture.among(samples)
    taken = set()
    for each in samples:
        seen = view(each)
        assert seen.image is not None and seen.depth is not None and each.image is not None
        assert seen.image.name != each.image.name
        number = int(seen.image.name.removesuffix(".png"))
        taken.add(number)
        assert seen.depth.name == f"{number}-depth"
        assert seen.regions == sample(number).regions
        assert seen.boxes == () and "box" not in seen.question
        assert (seen.id, seen.answer, seen.group) == (each.id, each.answer, each.group)
    assert len(taken) > 6
    again = OtherPicture.among(samples)
    assert [again(each) for each in samples] == [view(each) for each in samples]
    other = OtherPicture.among(samples, seed=1)
    assert [other(each).image for each in samples] != [view(each).image for each in samples]


def test_another_picture_has_as_many_pictures_and_enough_regions() -> None:
    samples = [sample(1), sample(2, regions=5), sample(3, further=1), sample(4, regions=9)]
    view = OtherPicture.among(samples)
    assert len(view(samples[0]).regions) == 2
    few = view(samples[1])
    assert len(few.regions) == 5 and few.image is samples[3].image
    for alone in (samples[2], samples[3]):
        with pytest.raises(NotApplicable, match="no other image"):
            view(alone)
