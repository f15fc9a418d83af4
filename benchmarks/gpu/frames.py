"""Made-up warehouse frames in files, with questions on regions: nothing is rendered, and nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datamodules.loading.grouped import text_length
from datamodules.samples import AnswerType, ImageFile, Region, SpatialSample

FULL_SIZE = (1920, 1080)
"""Width and height of the real frames."""

QUESTIONS = (7, 6, 7, 6, 6)
"""Of each image: 6.4 on average, as in the real training set."""

_REGIONS = 12
_SMALL = (27, 48)


@dataclass(frozen=True)
class Frames:
    """A split of frames that differ in name alone, so that each is opened and decoded for itself.

    Attributes:
        folder: where `write_frames` has put the images.
        images: how many there are.
        regions: what questions ask about.
    """

    folder: Path
    images: int
    regions: tuple[Region, ...]

    def __len__(self) -> int:
        return self.images

    def group_sizes(self) -> np.ndarray:
        """Questions of each image."""
        return np.resize(QUESTIONS, self.images)

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """Questions that name two to eight regions, answered with one of them."""
        rgb, depth = (ImageFile(self.folder / f"{mode}{group}.png") for mode in ("RGB", "L"))
        return [self._sample(group, question, rgb, depth) for question in questions]

    def lengths(self) -> np.ndarray:
        """The longest text of each image."""
        sizes = self.group_sizes()
        longest = [max(map(text_length, self.samples(i, range(sizes[i])))) for i in range(self.images)]
        return np.array(longest)

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question."""
        for sample in self._every():
            yield sample.task, sample.answer or ""

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """What is written in the questions; all that differ are among the first ones."""
        for sample in self._every(images=min(self.images, limit, 7 * len(QUESTIONS))):
            yield sample.question, sample.rationale, sample.answer or ""

    def _every(self, images: int | None = None) -> Iterator[SpatialSample]:
        sizes = self.group_sizes()
        for group in range(self.images if images is None else images):
            yield from self.samples(group, range(sizes[group]))

    def _sample(self, group: int, question: int, rgb: ImageFile, depth: ImageFile) -> SpatialSample:
        count = 2 + (group + question) % 7
        return SpatialSample(
            id=f"{group}-{question}",
            question=f"From this viewpoint , which of the pallets {'<mask> ' * count}is closest to the "
            "transporter ?",
            image=rgb,
            depth=depth,
            regions=tuple(self.regions[(question + i) % _REGIONS] for i in range(count)),
            answer="1",
            answer_type=AnswerType.REGION,
            rationale="The pallet [Region 1] is the closest one to the transporter , 3.25 meters from it .",
            task="mcq",
            group=str(group),
        )


def write_frames(folder: Path, images: int, size: tuple[int, int]) -> Frames:
    """Write one image and one depth image of smooth noise, and give them a name for each image.

    Args:
        folder: where to.
        images: how many names.
        size: width and height in pixels.
    """
    for number, (mode, shape) in enumerate((("RGB", (*_SMALL, 3)), ("L", _SMALL))):
        noise = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
        first = folder / f"{mode}.png"
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(first, compress_level=1)
        for image in range(images):
            (folder / f"{mode}{image}.png").hardlink_to(first)
    return Frames(folder, images, tuple(_region(number, *size) for number in range(_REGIONS)))


def _region(number: int, width: int, height: int) -> Region:
    """One of a row of boxes, each a little lower than the one before."""
    mask = np.zeros((height, width), bool)
    top = height // 3 + number * height // 40
    left = number * width // (_REGIONS + 2)
    mask[top : top + height // 6, left : left + width // (_REGIONS + 2)] = True
    return Region.from_mask(mask)
