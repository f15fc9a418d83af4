"""A datamodule of given samples, the same in every split, and what a collator is handed of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import DataLoader

from datamodules.base import Role, SpatialDataModule
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import SpatialSample
from datamodules.scoring.metrics import Track3Metric


class ListedData(SpatialDataModule):
    """The samples, those of a group being the questions of one image."""

    def __init__(self, samples: Sequence[SpatialSample], **shared: Any) -> None:
        super().__init__(**{"num_workers": 0, **shared})
        self.samples = samples

    def prepare_split(self, role: Role) -> None:
        pass

    def open_split(self, role: Role) -> ListedQuestions:
        return ListedQuestions.grouped(self.samples)

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric()


def opened(data: SpatialDataModule, loader: Callable[[], DataLoader]) -> list[SpatialSample]:
    """The samples with their images open, batch after batch."""
    seen: list[SpatialSample] = []

    def keep(samples: list[SpatialSample]) -> dict[str, Any]:
        seen.extend(samples)
        return {}

    data.collator = keep
    for _ in loader():
        pass
    return seen
