"""Views that spoil the depth, or take it away from some of the images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from PIL import Image

from datamodules.samples import DataError, ImageReading, SpatialSample, depth_of
from datamodules.views.view import DerivedImage, View


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
        _require_seed(self.seed, "NoisyDepth")

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with noise on its depth; unchanged where it has none, or the noise is 0."""
        if sample.depth is None or self.sigma == 0:
            return sample
        noise = _number_of(sample, "noise", self.seed)
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
        _require_seed(self.seed, "DroppedDepth")

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample, without its depth where its image is one of the share."""
        if sample.depth is None or _number_of(sample, "share", self.seed) >= self.share * 2**64:
            return sample
        return sample.replace(depth=None)


def _number_of(sample: SpatialSample, purpose: str, seed: int) -> int:
    """A number below 2^64 that follows from a sample's image, whatever folder that lies in."""
    image = sample.group or PurePath("" if sample.image is None else sample.image.name).name or sample.id
    text = f"{purpose}\n{seed}\n{image}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _require_seed(seed: int, view: str) -> None:
    if seed < 0:
        raise DataError(f"`seed` of {view} is {seed}; it must be at least 0.")
