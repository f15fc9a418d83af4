"""Views that spoil the depth, or take it away from some of the images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from datamodules.samples import DataError, ImageReading, SpatialSample, depth_of
from datamodules.views.view import DerivedImage, View, number_of_image, require_seed


@dataclass(frozen=True)
class NoisyDepth(View):
    """Normal noise on the depth, as a worse depth network would give.

    The noise of an image follows from the seed and the image's name, so that it is the same in every process
    and order, and for all questions of the image. Where nothing was measured (0) it stays so.

    Args:
        sigma: the standard deviation, in steps of the 8-bit depth image.
        seed: another seed is other noise.
    """

    sigma: float
    seed: int = 0

    needs = ("depth",)

    def __post_init__(self) -> None:
        """Refuse what is no deviation or no seed."""
        if not 0 <= self.sigma < np.inf:
            raise DataError(
                f"`sigma` of NoisyDepth is {self.sigma}; it must be a number of at least 0, in steps of the "
                "8-bit depth image."
            )
        require_seed(self.seed, "NoisyDepth")

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with noise on its depth; unchanged where it has none, or the noise is 0."""
        if sample.depth is None or self.sigma == 0:
            return sample
        noise = number_of_image(sample, "noise", self.seed)
        return sample.replace(depth=NoisyDepthImage(sample.depth, self.sigma, noise))


@dataclass(frozen=True)
class NoisyDepthImage(DerivedImage):
    """A depth image with normal noise of so many steps; `noise` tells which."""

    sigma: float
    noise: int

    @property
    def reading(self) -> ImageReading:
        """Its source is depth."""
        return depth_of

    def change(self, image: Image.Image) -> Image.Image:
        """The noisy depth. What was measured is at least 1 afterwards, since 0 means that nothing was."""
        values = np.asarray(image)
        added = np.random.default_rng(self.noise).normal(0, self.sigma, values.shape)
        noisy = np.rint(values + added).clip(1, 255).astype(np.uint8)
        return Image.fromarray(np.where(values == 0, 0, noisy).astype(np.uint8))


@dataclass(frozen=True)
class DroppedDepth(View):
    """No depth for a share of the images: what a model is trained on that has to do without it at times.

    Which images follows from the seed and the image's name: all questions of an image have depth or none
    has, and those that a smaller share takes a larger one takes as well.

    Args:
        share: of the images, 0 to 1.
        seed: another seed takes other images.
    """

    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no share or no seed."""
        if not 0 <= self.share <= 1:
            raise DataError(f"`share` of DroppedDepth is {self.share}; it must be from 0 to 1.")
        require_seed(self.seed, "DroppedDepth")

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample, without its depth where its image is one of the share."""
        if sample.depth is None or number_of_image(sample, "share", self.seed) >= self.share * 2**64:
            return sample
        return sample.replace(depth=None)
