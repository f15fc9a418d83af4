"""What TinyGiant is given of samples, from their raw pixels, masks and words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.samples import AnswerType, OpenedImage, Region, SpatialSample
from lightning_modules.base import Batch
from lightning_modules.tiny_giant.collator import TinyGiantCollator
from lightning_modules.tiny_giant.geometry import describe_regions
from lightning_modules.tiny_giant.image_preparation import CollatorError
from lightning_modules.tiny_giant.vocabulary import END, MASK, NUMBER, PAD, START, Vocabulary
from tests.helpers.plain_geometry import filled
from tests.helpers.scenes import FIELD_OF_VIEW, as_image, floor_depth

WIDTH, HEIGHT = 96, 64
COLOURS = {"blue": (20, 40, 250), "red": (240, 30, 10), "green": (0, 200, 90)}


def masks() -> dict[str, np.ndarray]:
    """A frame, what stands in it, and a block; none is symmetric, all lie across cells of every grid."""
    found = {name: np.zeros((HEIGHT, WIDTH), bool) for name in COLOURS}
    found["blue"][5:43, 7:50], found["blue"][11:37, 13:44] = True, False
    found["red"][13:29, 20:41] = True
    found["green"][35:61, 58:91] = True
    return found


MASKS = masks()
REGIONS = {name: Region.from_mask(mask) for name, mask in MASKS.items()}


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The regions in their colours on noise, and things on the floor."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    depth = as_image(floor_depth(HEIGHT, WIDTH, 4.0 + seed, 0.6))
    for name, mask in MASKS.items():
        rgb[mask] = COLOURS[name]
        depth[mask] = (depth[mask] * rng.uniform(0.7, 0.95)).astype(np.uint8)
    return rgb, depth


SCENES = [scene(0), scene(1)]


def samples(with_depth: bool) -> list[SpatialSample]:
    """Two images, of which only the second always has depth, and a question without any."""
    first, second = (OpenedImage(str(n), Image.fromarray(rgb)) for n, (rgb, _) in enumerate(SCENES))
    near, far = (OpenedImage(f"depth {n}", Image.fromarray(depth)) for n, (_, depth) in enumerate(SCENES))
    asked: list[tuple[Any, Any, str, tuple[str, ...], str, AnswerType, str]] = [
        (first, near, "How far is <mask> from <mask> ?", ("red", "blue"), "2.5", AnswerType.DISTANCE, ""),
        (
            second,
            far,
            "How many in <mask> ?",
            ("blue",),
            "12",
            AnswerType.COUNT,
            "12 are in [Region 0]",
        ),
        (None, None, "Is <mask> here ?", (), "left", AnswerType.SIDE, ""),
        (
            first,
            near,
            "Which of <mask> <mask> <mask> ?",
            ("green", "red", "blue"),
            "2",
            AnswerType.REGION,
            "[Region 2] is 3.25 away from [Region 1]",
        ),
    ]
    return [
        SpatialSample(
            str(number),
            question,
            image=image,
            depth=depth if with_depth or image is second else None,
            regions=tuple(REGIONS[name] for name in regions),
            answer=answer,
            answer_type=form,
            rationale=rationale,
        )
        for number, (image, depth, question, regions, answer, form, rationale) in enumerate(asked)
    ]


def collator(**changes: Any) -> TinyGiantCollator:
    vocabulary = Vocabulary(96)
    vocabulary.build(
        text for one in samples(True) for text in (one.question, one.rationale, "the box near a : ; A B")
    )
    settings: dict[str, Any] = {
        "image_size": (WIDTH, HEIGHT),
        "geometry_size": (WIDTH, HEIGHT),
        "geometry": "floor_fit",
        "field_of_view": FIELD_OF_VIEW,
        "use_depth": True,
        "maximum_words": 40,
        "maximum_regions": 4,
        "with_labels": True,
    }
    return TinyGiantCollator(vocabulary, **settings | changes)


def shrunk(mask: np.ndarray, factor: int) -> np.ndarray:
    """Mean of each square."""
    height, width = mask.shape
    return mask.reshape(height // factor, factor, width // factor, factor).mean((1, 3))


@pytest.mark.parametrize("with_depth", [True, False])
@pytest.mark.parametrize("shrink", [1, 2, 4])
@pytest.mark.parametrize("image_shrink", [1, 2])
def test_images_and_regions_are_those_of_the_samples(
    with_depth: bool, shrink: int, image_shrink: int
) -> None:
    """Regions are numbered in each image in the order in which its questions name them."""
    size = WIDTH // image_shrink, HEIGHT // image_shrink
    made = collator(image_size=size, geometry_size=(WIDTH // shrink, HEIGHT // shrink))
    batch = made(samples(with_depth))
    assert batch["image_of"].tolist() == [0, 1, -1, 0]
    assert batch["regions"].tolist() == [[0, 1, -1], [0, -1, -1], [-1, -1, -1], [2, 0, 1]]
    assert batch["region_named"].sum(1).tolist() == [2, 1, 1, 3]
    assert batch["has_depth"].tolist() == [with_depth, True]
    for image, names in enumerate((["red", "blue", "green"], ["blue"])):
        rgb, depth = SCENES[image]
        small = np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
        assert np.array_equal(batch["rgb"][image], np.moveaxis(small, -1, 0))
        small = np.array(Image.fromarray(depth).resize(size, Image.Resampling.BILINEAR))
        assert np.array_equal(batch["depth"][image, 0], small if batch["has_depth"][image] else small * 0)
        seen = np.stack([shrunk(MASKS[name], shrink) >= 0.5 for name in names])
        for mask, layers in zip(seen, batch["masks"][image], strict=False):
            cells = 8 * image_shrink // shrink
            assert layers[0].numpy() == pytest.approx(shrunk(mask, cells), abs=1e-6)
            assert layers[1].numpy() == pytest.approx(shrunk(filled(mask) & ~mask, cells), abs=1e-6)
        # The nearest pixel is the one right of and below the centre.
        fine = depth[shrink // 2 :: shrink, shrink // 2 :: shrink] if batch["has_depth"][image] else None
        features, relations = describe_regions(seen, fine, "floor_fit", FIELD_OF_VIEW)
        assert features[:, 14:].any() == (fine is not None)
        assert np.array_equal(batch["region_features"][image, : len(names)], features)
        for question, (own, numbers) in enumerate(zip(batch["image_of"], batch["regions"], strict=True)):
            chosen = numbers[numbers >= 0]
            pairs = batch["relations"][question, : len(chosen), : len(chosen)]
            assert own != image or np.array_equal(pairs, relations[np.ix_(chosen, chosen)])
    assert not batch["relations"][2].any()


def written(batch: Batch, words: Vocabulary, name: str, question: int) -> str:
    """An answer as it would be read if a model had written it."""
    tokens, values = batch[name][question], batch[f"{name}_values"][question]
    assert tokens[0] == START
    assert (values > 0).tolist() == (tokens == NUMBER).tolist()
    return words.decode(tokens[1:].tolist(), values[1:].tolist())


def test_questions_and_answers_are_those_of_the_samples() -> None:
    made, asked = collator(), samples(True)
    asked[1] = asked[1].replace(choices=("near", "the box"), answer="A", answer_type=AnswerType.LETTER)
    asked[2] = asked[2].replace(choices=("the box", "near"), answer="B", answer_type=AnswerType.LETTER)
    batch = made(asked)
    rows = [[token for token in row.tolist() if token != PAD] for row in batch["question"]]
    read = [made.vocabulary.decode(row, [0.0] * len(row)) for row in rows]
    assert read == [
        "how far is <mask> from <mask>?",
        "how many in <mask>?: a near; b the box",
        "is <mask> here?: a the box; b near",
        "which of <mask> <mask> <mask>?",
    ]
    assert ((batch["question"] == MASK).sum(1) == batch["region_named"].sum(1)).all()
    answers = [written(batch, made.vocabulary, "normalized", question) for question in range(4)]
    assert answers == ["2.50", "a", "b", "2"]
    assert batch["normalized"][3, 1] == made.vocabulary.size + 2
    sentences = [written(batch, made.vocabulary, "free_form", question) for question in range(4)]
    assert sentences == ["2.50", "12 are in [Region 0]", "b", "[Region 2] is 3.25 away from [Region 1]"]
    for name, words in batch["answer_words"].items():
        assert words == sum(row.tolist().index(END) for row in batch[name])
    labels = collator(with_labels=False)([one.replace(answer=None, rationale="") for one in asked])
    assert labels["normalized"].shape == labels["free_form"].shape == (4, 0)


def test_a_model_that_reads_no_depth_is_given_none() -> None:
    batch = collator(use_depth=False)(samples(True))
    assert not batch["has_depth"].any() and not batch["depth"].any()
    assert not batch["region_features"][..., 14:].any() and not torch.isnan(batch["region_features"]).any()


@pytest.mark.parametrize("learning", [True, False])
def test_solved_examples_are_refused_rather_than_left_out(learning: bool) -> None:
    first, *others = samples(True)
    shown = first.replace(id="shown", examples=(others[0].replace(image=None),))
    with pytest.raises(CollatorError, match=r"'shown' has solved examples.*leave out the view InContext"):
        collator(with_labels=learning)([*others, shown])
