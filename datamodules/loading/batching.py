"""Which questions make up which batch, as a function of seed, epoch and rank alone.

A batch is made of images, and all questions of an image come together, so that a model encodes each image
once. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch.utils.data import Sampler, SequentialSampler

from datamodules.loading.epoch_sampler import EpochSampler, EveryImage

_STEPS_IN_POOL = 50
_LENGTH_STREAM = 1  # keeps the order of steps apart from the sampling, which has the same seed and epoch


@dataclass(frozen=True)
class ImageRequest:
    """One image of a split and those of its questions that a batch takes."""

    group: int
    questions: tuple[int, ...]


@dataclass(frozen=True)
class BatchRequest:
    """The images of one batch; `epoch` is None in evaluation."""

    images: tuple[ImageRequest, ...]
    epoch: int | None = None


def training_request(group: int, size: int, limit: int, seed: int, epoch: int) -> ImageRequest:
    """At most `limit` of an image's `size` questions: another random subset in each epoch, in order."""
    if size <= limit:
        return ImageRequest(group, tuple(range(size)))
    generator = np.random.default_rng([seed, epoch, group])
    return ImageRequest(group, tuple(sorted(generator.choice(size, limit, replace=False).tolist())))


class TrainingBatches(Sampler[BatchRequest]):
    """The batches of one training epoch for one rank.

    The images of an epoch are drawn with (seed, epoch) and dealt out to the ranks in turn. Every rank gets
    the same number of images, hence of batches; where they do not divide, up to `world_size - 1` images come
    twice.

    With `lengths` (one for each image), images of similar length come into the same batch, and into the
    batches that the ranks train on at the same time: the images are sorted by length within random pools of
    50 steps, cut into steps, and the steps of a pool are shuffled. So little is padded, and still no batch is
    foreseeable.

    `epoch` and `first` (how many batches of the epoch are already done) are set before iterating.
    """

    def __init__(
        self,
        group_sizes: np.ndarray,
        batch_size: int,
        questions_per_image: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        sampler: EpochSampler | None = None,
        lengths: np.ndarray | None = None,
    ) -> None:
        """`group_sizes` counts the questions of each image; `batch_size` counts images."""
        self.group_sizes = group_sizes
        self.batch_size = batch_size
        self.questions_per_image = questions_per_image
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.sampler = sampler or EveryImage(len(group_sizes))
        self.lengths = lengths
        self.epoch = 0
        self.first = 0

    @property
    def largest(self) -> int:
        """The most questions that a batch can have: all of the images with most of them."""
        asked = np.minimum(self.group_sizes, self.questions_per_image)
        return int(np.sort(asked)[-self.batch_size :].sum())

    def __len__(self) -> int:
        """How many batches a whole epoch has on each rank."""
        images_per_rank = -(-len(self.sampler) // self.world_size)
        return -(-images_per_rank // self.batch_size)

    def __iter__(self) -> Iterator[BatchRequest]:
        """The batches of the epoch from `first` on."""
        order = self.sampler.epoch(self.seed, self.epoch)
        images_per_rank = -(-len(order) // self.world_size)
        order = np.resize(order, images_per_rank * self.world_size)
        if self.lengths is not None:
            order = self._similar_together(order, self.lengths)
        mine = order[self.rank :: self.world_size]
        for start in range(self.first * self.batch_size, len(mine), self.batch_size):
            images = (self._request(int(group)) for group in mine[start : start + self.batch_size])
            yield BatchRequest(tuple(images), self.epoch)

    def _similar_together(self, order: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The same images, sorted by length within each step of all ranks; the incomplete step stays last."""
        generator = np.random.default_rng([self.seed, self.epoch, _LENGTH_STREAM])
        step = self.batch_size * self.world_size
        complete = len(order) // step * step
        arranged = []
        for start in range(0, complete, _STEPS_IN_POOL * step):
            pool = order[start : min(start + _STEPS_IN_POOL * step, complete)]
            steps = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, step)
            arranged.append(generator.permutation(steps).ravel())
        return np.concatenate([*arranged, order[complete:]])

    def _request(self, group: int) -> ImageRequest:
        return training_request(
            group, int(self.group_sizes[group]), self.questions_per_image, self.seed, self.epoch
        )


class EvaluationBatches(SequentialSampler):
    """Every question of a split exactly once over all ranks, in a fixed order.

    Images with more than `questions_per_image` questions are split into chunks. No question is repeated to
    make the ranks even. All ranks still get the same number of batches (smaller ones where needed), since a
    distributed model may exchange buffers at every step; only when there are fewer questions than ranks times
    batches does a rank get fewer.
    """

    def __init__(
        self,
        group_sizes: np.ndarray,
        batch_size: int,
        questions_per_image: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """`group_sizes` counts the questions of each image; `batch_size` counts images or chunks of them."""
        chunks = [
            ImageRequest(group, tuple(chunk.tolist()))
            for group, size in enumerate(group_sizes)
            for chunk in np.array_split(np.arange(size), -(-int(size) // questions_per_image))
        ]
        self.number_of_batches = -(-len(chunks) // (batch_size * world_size))
        self.chunks = _split_until(chunks[rank::world_size], self.number_of_batches)
        super().__init__(self.chunks)

    def __len__(self) -> int:
        """How many batches this rank has."""
        return min(self.number_of_batches, len(self.chunks))

    def __iter__(self) -> Iterator[BatchRequest]:  # type: ignore[override]
        """The batches of this rank."""
        bounds = np.linspace(0, len(self.chunks), len(self) + 1).astype(int)
        for start, stop in pairwise(bounds.tolist()):
            yield BatchRequest(tuple(self.chunks[start:stop]))


def _split_until(chunks: list[ImageRequest], wanted: int) -> list[ImageRequest]:
    """Halve the largest chunks until there are `wanted` of them or none can be halved."""
    chunks = list(chunks)
    while len(chunks) < wanted:
        index = max(range(len(chunks)), key=lambda i: len(chunks[i].questions), default=None)
        if index is None or len(chunks[index].questions) < 2:
            break
        whole = chunks[index]
        middle = len(whole.questions) // 2
        chunks[index : index + 1] = [
            ImageRequest(whole.group, whole.questions[:middle]),
            ImageRequest(whole.group, whole.questions[middle:]),
        ]
    return chunks
