"""Which images an epoch of training samples, as a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from datamodules.samples import DataError


class EpochSampler(Protocol):
    """Samples the images of every epoch."""

    def __len__(self) -> int:
        """How many images an epoch has."""
        ...

    def epoch(self, seed: int, epoch: int) -> np.ndarray:
        """The numbers of the epoch's images in random order, `[images]`."""
        ...

    def describe(self) -> list[int]:
        """What the sampling depends on, to compare with when a run is resumed."""
        ...


@dataclass(frozen=True)
class EveryImage:
    """Every one of `images` images once in each epoch."""

    images: int

    def __len__(self) -> int:
        """How many images an epoch has."""
        return self.images

    def epoch(self, seed: int, epoch: int) -> np.ndarray:
        """All images, in another order in each epoch."""
        return np.random.default_rng([seed, epoch]).permutation(self.images)

    def describe(self) -> list[int]:
        """The number of images."""
        return [self.images]


@dataclass(frozen=True, eq=False)
class Curriculum:
    """Some of `images` images in each of the first epochs, and all of them from then on.

    Every epoch has as many images; where `stages` (the numbers of each early epoch's images) allow fewer,
    they come several times, in another order each time.
    """

    images: int
    stages: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        """How many images an epoch has."""
        return self.images

    def epoch(self, seed: int, epoch: int) -> np.ndarray:
        """The epoch's images."""
        if epoch >= len(self.stages):
            return EveryImage(self.images).epoch(seed, epoch)
        generator, allowed = np.random.default_rng([seed, epoch]), self.stages[epoch]
        rounds = -(-self.images // len(allowed))
        return np.concatenate([generator.permutation(allowed) for _ in range(rounds)])[: self.images]

    def describe(self) -> list[int]:
        """The numbers of images, of all epochs and of each early one."""
        return [self.images, *map(len, self.stages)]


@dataclass(frozen=True)
class WeightedParts:
    """So many images of each part in each epoch, where the images of a part follow those of the part before.

    `sizes` are the parts' numbers of images, `images_per_epoch` how many of them an epoch takes. A part is
    gone through from its first to its last image in a random order before any comes again, over the borders
    of epochs.
    """

    sizes: tuple[int, ...]
    images_per_epoch: tuple[int, ...]

    @staticmethod
    def of(sizes: Sequence[int], weights: Sequence[float]) -> WeightedParts:
        """An epoch of about as many images as all parts hold, of which each part has its share.

        `weights` need not sum to 1. A part with a weight above 0 has at least one image in each epoch.

        Raises:
            DataError: there are not as many weights as parts, one is negative, or all are 0.
        """
        if len(weights) != len(sizes) or min(weights) < 0 or sum(weights) <= 0:
            raise DataError(
                f"`weights` are {list(weights)} for {len(sizes)} parts: give one number for each part, none "
                "below 0 and not all 0."
            )
        images, whole = sum(sizes), sum(weights)
        images_per_epoch = tuple(
            max(1, round(images * weight / whole)) if weight else 0 for weight in weights
        )
        return WeightedParts(tuple(sizes), images_per_epoch)

    def __len__(self) -> int:
        """How many images an epoch has."""
        return sum(self.images_per_epoch)

    def epoch(self, seed: int, epoch: int) -> np.ndarray:
        """The epoch's images of all parts, mixed."""
        first = np.concatenate([[0], np.cumsum(self.sizes)])
        drawn = [first[part] + self._of_part(part, seed, epoch) for part in range(len(self.sizes))]
        return np.random.default_rng([seed, epoch]).permutation(np.concatenate(drawn))

    def describe(self) -> list[int]:
        """The parts' numbers of images, and of images an epoch."""
        return [*self.sizes, *self.images_per_epoch]

    def _of_part(self, part: int, seed: int, epoch: int) -> np.ndarray:
        """The next images of one part: a stretch of an endless row of its permutations."""
        size, images_per_epoch = self.sizes[part], self.images_per_epoch[part]
        places = np.arange(epoch * images_per_epoch, (epoch + 1) * images_per_epoch)
        rounds = {
            number: np.random.default_rng([seed, part, number, 1]).permutation(size)
            for number in np.unique(places // size).tolist()
        }
        return np.array([rounds[place // size][place % size] for place in places.tolist()], dtype=np.int64)
