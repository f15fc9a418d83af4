"""What a view is, and images that are made out of others when they are opened."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ClassVar

from PIL import Image

from datamodules.samples import DataError, ImageReading, ImageSource, SpatialSample, rgb_of


class NotApplicable(DataError):
    """A view cannot act on a question; the message names the question's id and says why.

    Attributes:
        reason: why, in a few words that are the same for all questions alike, to count them by.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason

    @classmethod
    def to(cls, sample: SpatialSample, done: str, reason: str) -> NotApplicable:
        """What to raise of a question that cannot be `done` ("mirrored"), for a reason ("it has none")."""
        return cls(f"Question {sample.id!r} cannot be {done}: {reason}. Leave the question out.", reason)


class View(ABC):
    """Maps a sample to a sample; must pickle, and must not open images itself."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The fields of a sample that this view shows in another way; without them it has nothing to show."""

    moves_truth: ClassVar[bool] = False
    """Whether the true answer of what is seen is another one, so that it cannot be compared as a text."""

    examples: Any = None
    """The datamodule whose training questions this view shows solved before others, where it does so."""

    def prepare(self, questions: Any) -> None:  # noqa: B027  most views have nothing to prepare
        """What a view needs to know of all questions of a split, before the first one is seen through it.

        Called in every process that has the split open, and not in data-loading workers.

        Args:
            questions: the split, as the data have it (`datamodules.loading.grouped.GroupedQuestions`).
        """

    @abstractmethod
    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample as seen through this view."""


@dataclass(frozen=True)
class DerivedImage(ABC):
    """Another image with a change; several made out of one image share its decoding within a batch."""

    source: ImageSource

    @property
    def name(self) -> str:
        """The name of the unchanged image."""
        return self.source.name

    @property
    def reading(self) -> ImageReading:
        """What its source is taken for before it is changed."""
        return rgb_of

    def open(self) -> Image.Image:
        """Decode and change the image; raises `UnreadableImage`."""
        return self.derive(self.source.open())

    def derive(self, decoded: Image.Image) -> Image.Image:
        """What becomes of the source's decoded image; raises `UnreadableImage`."""
        return self.change(self.reading(decoded, self.name))

    @abstractmethod
    def change(self, image: Image.Image) -> Image.Image:
        """A changed copy of the image, which itself stays as it is."""


def number_of_image(sample: SpatialSample, purpose: str, seed: int) -> int:
    """A number below 2^64 that follows from a sample's image, whatever folder that lies in."""
    image = sample.group or PurePath("" if sample.image is None else sample.image.name).name or sample.id
    text = f"{purpose}\n{seed}\n{image}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def require_seed(seed: int, view: str) -> None:
    """Raise `DataError` where the seed of a view is none."""
    if seed < 0:
        raise DataError(f"`seed` of {view} is {seed}; it must be at least 0.")
