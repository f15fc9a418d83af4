"""What a view is, and images that are made out of others when they are opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from datamodules.samples import ImageReading, ImageSource, SpatialSample, rgb_of


class View(ABC):
    """Maps a sample to a sample; must pickle, and must not open images itself."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The fields of a sample that this view shows in another way; without them it has nothing to show."""

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
