"""Views: changes to a sample that every benchmark and every module can be seen through.

A view is applied in the data-loading workers before any picture is opened, so a view that drops a picture
also saves reading it, and a view that changes a picture wraps it in another lazy one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from PIL import Image

from datamodules.samples import ImageSource, SpatialSample


class View(ABC):
    """Maps a sample to a sample; must pickle, and must not open pictures itself."""

    @abstractmethod
    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample as seen through this view."""


@dataclass(frozen=True)
class Blind(View):
    """Only the text: no image, no depth, no regions. What a model scores here it knows without looking."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample without anything to look at."""
        return sample.replace(image=None, depth=None, further_images=(), regions=())


@dataclass(frozen=True)
class NoDepth(View):
    """No depth picture."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample without its depth."""
        return sample.replace(depth=None)


@dataclass(frozen=True)
class Grayscale(View):
    """The image without its colours, still with three channels."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with a grey image."""
        return sample if sample.image is None else sample.replace(image=GrayImage(sample.image))


@dataclass(frozen=True)
class GrayImage:
    """Another picture's luminance in three equal channels."""

    source: ImageSource

    @property
    def name(self) -> str:
        """The name of the coloured picture."""
        return self.source.name

    def open(self) -> Image.Image:
        """Decode and convert the picture; raises `UnreadableImage`."""
        return self.source.open().convert("L").convert("RGB")
