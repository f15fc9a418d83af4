"""A datamodule whose samples are made in memory, for tests of modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamodules.base import Role, SpatialDataModule
from datamodules.samples import SpatialSample
from datamodules.scoring.metrics import Track3Metric
from tests.helpers.scenes import questions
from tests.helpers.text_lengths import longest_texts

CATEGORY = {"distance": "distance", "region": "mcq", "count": "count", "side": "left_right"}


@dataclass(frozen=True)
class MemoryQuestions:
    first: int
    images: int
    each: int = 4

    def __len__(self) -> int:
        return self.images

    def group_sizes(self) -> np.ndarray:
        return np.full(self.images, self.each)

    def samples(self, group: int, chosen: Sequence[int]) -> list[SpatialSample]:
        made = questions(self.first + group, self.each)
        return [made[i].replace(task=CATEGORY[made[i].task]) for i in chosen]

    def texts(self, limit: int) -> Iterator[tuple[str, str, str]]:
        for group in range(self.images):
            for sample in self.samples(group, range(self.each)):
                yield sample.question, sample.rationale, sample.answer or ""

    def lengths(self) -> np.ndarray:
        return longest_texts(self)

    def labels(self) -> Iterator[tuple[str, str]]:
        for group in range(self.images):
            for sample in self.samples(group, range(self.each)):
                yield sample.task, sample.answer or ""


class MemoryData(SpatialDataModule):
    """Random images with fixed questions."""

    def __init__(self, images: int = 4, **shared: Any) -> None:
        super().__init__(**{"num_workers": 0, "batch_size": 2, **shared})
        self.images = images

    def prepare_split(self, role: Role) -> None:
        pass

    def open_split(self, role: Role) -> MemoryQuestions:
        return MemoryQuestions({"train": 0, "val": 1000, "test": 2000}[role], self.images)

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric()
