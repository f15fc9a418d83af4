"""Views that take images away or show them in another way."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from datamodules.samples import ImageReading, SpatialSample, depth_of
from datamodules.views.boxes import without_boxes
from datamodules.views.view import DerivedImage, View

_ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True)
class Blind(View):
    """Only the text: no image, depth, regions or boxes. What a model scores here it knows without looking.

    Solved examples lose theirs as well. Boxes that `BoxesInText` wrote into the question go too, since they
    tell what is to be seen.
    """

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample without anything to look at."""
        question = without_boxes(sample.question)
        seen = sample.replace(
            question=question, image=None, depth=None, further_images=(), regions=(), boxes=(), shown=None
        )
        return seen.replace(examples=tuple(map(self, sample.examples)))


@dataclass(frozen=True)
class NoDepth(View):
    """No depth image."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample without its depth."""
        return sample.replace(depth=None)


@dataclass(frozen=True)
class DepthAsImage(View):
    """The depth as one more image (in grey, brighter is farther), and a sentence in front that says so.

    For models that look at several images, but know no depth. The sentence counts the question's own images:
    those of solved examples may stand before them. Examples show their depth by the views of their own data.
    """

    needs = ("depth",)

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with its depth moved behind its other images; unchanged where it has none."""
        if sample.depth is None:
            return sample
        before = (sample.image is not None) + len(sample.further_images)
        place = f"{_ORDINALS[before]} image" if before < len(_ORDINALS) else "last image"
        note = f"The {place} of this question shows the depth of the scene: brighter is farther."
        return sample.replace(
            question=f"{note} {sample.question}",
            depth=None,
            further_images=(*sample.further_images, DepthImage(sample.depth)),
        )


@dataclass(frozen=True)
class Grayscale(View):
    """All images without their colours, still with three channels; those of solved examples as well."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with grey images."""
        return sample.replace(
            image=None if sample.image is None else GrayImage(sample.image),
            further_images=tuple(map(GrayImage, sample.further_images)),
            examples=tuple(map(self, sample.examples)),
        )


@dataclass(frozen=True)
class GrayImage(DerivedImage):
    """Another image's luminance in three equal channels."""

    def change(self, image: Image.Image) -> Image.Image:
        """The luminance."""
        return image.convert("L").convert("RGB")


@dataclass(frozen=True)
class DepthImage(DerivedImage):
    """A depth image in three equal channels."""

    @property
    def reading(self) -> ImageReading:
        """Its source is depth."""
        return depth_of

    def change(self, image: Image.Image) -> Image.Image:
        """The depth in three channels."""
        return image.convert("RGB")
