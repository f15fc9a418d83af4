"""Four random pictures with one and the same question and four answers: only the picture tells them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from datamodules.base import Role, SpatialDataModule
from datamodules.samples import AnswerType, SpatialSample
from datamodules.scoring.metrics import Track3Metric
from tests.lightning_modules.vlm.sample_questions import picture

PICTURES = 4


class FourPictures:
    def __len__(self) -> int:
        return PICTURES

    def group_sizes(self) -> np.ndarray:
        return np.ones(PICTURES, int)

    def samples(self, group: int, chosen: Sequence[int]) -> list[SpatialSample]:
        sample = SpatialSample(
            str(group),
            "Which of <mask> <mask> <mask> <mask> holds the chair?",
            image=picture(group),
            answer=str(group),
            answer_type=AnswerType.REGION,
            rationale="I look at it.",
            task="mcq",
            group=str(group),
        )
        return [sample for _ in chosen]

    def texts(self, limit: int) -> Iterator[tuple[str, str, str]]:
        for group in range(PICTURES):
            sample = self.samples(group, [0])[0]
            yield sample.question, sample.rationale, sample.answer or ""

    def labels(self) -> Iterator[tuple[str, str]]:
        for group in range(PICTURES):
            yield "mcq", str(group)


class PictureData(SpatialDataModule):
    """The four pictures in every split."""

    def __init__(self, **shared) -> None:
        super().__init__(**{"num_workers": 0, "batch_size": 4, **shared})

    def prepare_split(self, role: Role) -> None:
        pass

    def open_split(self, role: Role) -> FourPictures:
        return FourPictures()

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric()
