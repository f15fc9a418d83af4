"""Views that spoil images as cameras and networks do, before a model resizes them; nothing else changes."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from datamodules.samples import DataError, ImageSource, SpatialSample
from datamodules.views.view import DerivedImage, View, number_of_image, require_seed


class SpoiltImages(View, ABC):
    """All images of a question spoilt in one way, those of its solved examples as well; depth stays."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with spoilt images."""
        pictures = (sample.image, *sample.further_images)
        image, *further = (
            None if picture is None else self.spoilt(picture, sample, place)
            for place, picture in enumerate(pictures)
        )
        return sample.replace(
            image=image, further_images=tuple(further), examples=tuple(map(self, sample.examples))
        )

    @abstractmethod
    def spoilt(self, image: ImageSource, sample: SpatialSample, place: int) -> DerivedImage:
        """An image of a sample, the `place`-th of it, spoilt."""


@dataclass(frozen=True)
class Blurred(SpoiltImages):
    """Images out of focus.

    Args:
        sigma_px: standard deviation of the Gaussian, in pixels of the image as it is stored.
    """

    sigma_px: float

    def __post_init__(self) -> None:
        """Refuse what is no width."""
        _require_above(0, self.sigma_px, "sigma_px", "Blurred")

    def spoilt(self, image: ImageSource, sample: SpatialSample, place: int) -> DerivedImage:
        """The image out of focus."""
        return BlurredImage(image, self.sigma_px)


@dataclass(frozen=True)
class NoisyImages(SpoiltImages):
    """Images with normal noise on every channel, as of a sensor in the dark.

    The noise follows from the seed and the image, so that it is the same for all questions of one.

    Args:
        sigma: its standard deviation, in steps of the 8-bit image.
        seed: another seed is other noise.
    """

    sigma: float
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no deviation or no seed."""
        _require_above(0, self.sigma, "sigma", "NoisyImages")
        require_seed(self.seed, "NoisyImages")

    def spoilt(self, image: ImageSource, sample: SpatialSample, place: int) -> DerivedImage:
        """The image with noise."""
        return NoisyImage(image, self.sigma, number_of_image(sample, f"noise of image {place}", self.seed))


@dataclass(frozen=True)
class LowLight(SpoiltImages):
    """Images as in low light: every value v of 0 to 1 becomes v to the power of gamma.

    Args:
        gamma: above 1; 2 makes a middle gray four times as dark as white.
    """

    gamma: float

    def __post_init__(self) -> None:
        """Refuse what does not darken."""
        _require_above(1, self.gamma, "gamma", "LowLight")

    def spoilt(self, image: ImageSource, sample: SpatialSample, place: int) -> DerivedImage:
        """The image in low light."""
        return DarkImage(image, self.gamma)


@dataclass(frozen=True)
class Compressed(SpoiltImages):
    """Images compressed as JPEG.

    Args:
        quality: of Pillow's encoder, 1 to 95.
    """

    quality: int

    def __post_init__(self) -> None:
        """Refuse what is no quality."""
        if not 1 <= self.quality <= 95:
            raise DataError(f"`quality` of Compressed is {self.quality}; it must be from 1 to 95.")

    def spoilt(self, image: ImageSource, sample: SpatialSample, place: int) -> DerivedImage:
        """The image after compression."""
        return CompressedImage(image, self.quality)


@dataclass(frozen=True)
class BlurredImage(DerivedImage):
    """Another image through a Gaussian of so many pixels."""

    sigma_px: float

    def change(self, image: Image.Image) -> Image.Image:
        """The blurred image."""
        return image.filter(ImageFilter.GaussianBlur(self.sigma_px))


@dataclass(frozen=True)
class NoisyImage(DerivedImage):
    """Another image with normal noise of so many steps; `noise` tells which."""

    sigma: float
    noise: int

    def change(self, image: Image.Image) -> Image.Image:
        """The noisy image."""
        values = np.asarray(image)
        added = np.random.default_rng(self.noise).normal(0, self.sigma, values.shape)
        return Image.fromarray(np.rint(values + added).clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class DarkImage(DerivedImage):
    """Another image with every value to the power of gamma."""

    gamma: float

    def change(self, image: Image.Image) -> Image.Image:
        """The dark image."""
        table = np.rint(255 * (np.arange(256) / 255) ** self.gamma).astype(np.uint8)
        return Image.fromarray(table[np.asarray(image)])


@dataclass(frozen=True)
class CompressedImage(DerivedImage):
    """Another image as JPEG gives it back."""

    quality: int

    def change(self, image: Image.Image) -> Image.Image:
        """The decoded image."""
        written = io.BytesIO()
        image.save(written, "JPEG", quality=self.quality)
        with Image.open(written) as decoded:
            decoded.load()
        return decoded


def _require_above(least: float, value: float, name: str, view: str) -> None:
    if not least < value < np.inf:
        raise DataError(f"`{name}` of {view} is {value}; it must be a number above {least}.")
