"""A split of which only some kinds of question are asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from datamodules.loading.grouped import Split, labels_of, texts_of
from datamodules.samples import DataError, SpatialSample


class ChosenTasks:
    """The questions of some tasks; images without any are left out.

    Args:
        whole: the split.
        tasks: the benchmark's names of the kinds of question to keep.

    Raises:
        DataError: the split has no question of one of them.
    """

    def __init__(self, whole: Split, tasks: Collection[str]) -> None:
        self.whole = whole
        found = [
            [sample.task for sample in whole.samples(group, range(int(size)))]
            for group, size in enumerate(whole.group_sizes())
        ]
        there = set().union(*found)
        if unknown := sorted(set(tasks) - there):
            raise DataError(
                f"`tasks` asks for {', '.join(unknown)}, of which there is no question here. There are "
                f"{', '.join(sorted(there))}."
            )
        kept = [[number for number, task in enumerate(row) if task in tasks] for row in found]
        self._groups = np.array([group for group, row in enumerate(kept) if row])
        self._questions = [row for row in kept if row]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._groups)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return np.array([len(row) for row in self._questions])

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, with those that are left out, `[images]`."""
        return self.whole.lengths()[self._groups]

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened."""
        kept = self._questions[group]
        return self.whole.samples(int(self._groups[group]), [kept[question] for question in questions])

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question."""
        return labels_of(self)

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """Question, rationale, answer and choices of at most `limit` questions, spread over the split."""
        return texts_of(self, limit)
