"""Views that leave a model its picture, but not that of the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image

from datamodules.samples import Region, SpatialSample
from datamodules.views.boxes import without_boxes
from datamodules.views.view import DerivedImage, NotApplicable, View

GRAY = 127
"""A value that no usual normalisation makes exactly 0, which some models take for padding."""

LOOKS = 1000
"""So many other questions are looked at, by chance, for a picture that a question can do with."""


@dataclass(frozen=True)
class PlainGray(View):
    """Every picture a plain gray of the same size, every region all of it; no depth, no boxes in the text.

    What is answered then is answered without looking, as with `Blind`, by a model that is used to pictures.
    """

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with nothing to be seen in its pictures."""
        return sample.replace(
            question=without_boxes(sample.question),
            image=None if sample.image is None else PlainGrayImage(sample.image),
            further_images=tuple(map(PlainGrayImage, sample.further_images)),
            depth=None,
            boxes=(),
            regions=tuple(whole_picture(region.height, region.width) for region in sample.regions),
            shown=None,
            examples=tuple(map(self, sample.examples)),
        )


@lru_cache(maxsize=64)
def whole_picture(height: int, width: int) -> Region:
    """The region that is all of a picture of so many pixels."""
    return Region.from_mask(np.ones((height, width), bool))


@dataclass(frozen=True)
class PlainGrayImage(DerivedImage):
    """A gray image of the size of another."""

    def change(self, image: Image.Image) -> Image.Image:
        """The gray image."""
        return Image.new("RGB", image.size, (GRAY, GRAY, GRAY))


@dataclass(frozen=True)
class OtherPicture(View):
    """The pictures, depth and regions of another image's question.

    Args:
        others: whose they are, by a question's id; `OtherPicture.among` deals them out.

    Raises, of a sample:
        NotApplicable: no other image's question has as many pictures, and enough regions.
    """

    others: Mapping[str, SpatialSample] = field(repr=False)

    @classmethod
    def among(cls, samples: Sequence[SpatialSample], seed: int = 0) -> OtherPicture:
        """Give each question the picture of another one of these, by chance that follows from `seed`."""
        kinds: dict[tuple[int, bool, bool], list[SpatialSample]] = {}
        for sample in samples:
            kinds.setdefault(_kind(sample), []).append(sample)
        found: dict[str, SpatialSample] = {}
        for sample in samples:
            random = Random(f"other picture {seed} {sample.id}")
            alike = kinds[_kind(sample)]
            for other in random.sample(alike, min(LOOKS, len(alike))):
                enough = len(other.regions) >= len(sample.regions)
                if enough and (other.group or other.id) != (sample.group or sample.id):
                    found[sample.id] = other
                    break
        return cls(found)

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with another one's pictures, and as many of its regions as it had itself."""
        other = self.others.get(sample.id)
        if other is None:
            raise NotApplicable.to(sample, "given another picture", "no other image has as many regions")
        return sample.replace(
            question=without_boxes(sample.question),
            image=other.image,
            further_images=other.further_images,
            depth=other.depth,
            regions=other.regions[: len(sample.regions)],
            shown=other.shown,
            boxes=(),
        )


def _kind(sample: SpatialSample) -> tuple[int, bool, bool]:
    return len(sample.further_images), sample.image is None, sample.depth is None
