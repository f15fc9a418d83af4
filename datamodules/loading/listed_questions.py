"""A split that is small enough to be kept in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.loading.grouped import text_length
from datamodules.samples import SpatialSample


@dataclass(frozen=True)
class ListedQuestions:
    """The samples of each image."""

    images: tuple[tuple[SpatialSample, ...], ...]

    @staticmethod
    def grouped(samples: Iterable[SpatialSample]) -> ListedQuestions:
        """Samples in any order, those with the same `group` becoming the questions of one image."""
        groups: dict[str, list[SpatialSample]] = {}
        for sample in samples:
            groups.setdefault(sample.group or sample.id, []).append(sample)
        return ListedQuestions(tuple(map(tuple, groups.values())))

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return np.array([len(samples) for samples in self.images])

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, `[images]`."""
        return np.array([max(map(text_length, samples)) for samples in self.images])

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened."""
        return [self.images[group][question] for question in questions]

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question, the answer "" where it is not known."""
        for samples in self.images:
            yield from ((sample.task, sample.answer or "") for sample in samples)

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """Question, rationale, answer and choices of at most `limit` questions, spread over the split."""
        everything = [sample for samples in self.images for sample in samples]
        for row in np.linspace(0, len(everything) - 1, min(limit, len(everything))).astype(int):
            sample = everything[row]
            yield sample.question, sample.rationale, sample.answer or "", *sample.choices
