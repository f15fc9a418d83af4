"""Four random images with one and the same question and four answers: only the image tells them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from datamodules.base import Role, SpatialDataModule
from datamodules.samples import AnswerType, SpatialSample
from datamodules.scoring.metrics import Track3Metric
from tests.helpers.sample_questions import noise_image
from tests.helpers.text_lengths import longest_texts

IMAGES = 4


class FourImages:
    def __len__(self) -> int:
        return IMAGES

    def group_sizes(self) -> np.ndarray:
        return np.ones(IMAGES, int)

    def samples(self, group: int, chosen: Sequence[int]) -> list[SpatialSample]:
        sample = SpatialSample(
            str(group),
            "Which of <mask> <mask> <mask> <mask> holds the chair?",
            image=noise_image(group),
            answer=str(group),
            answer_type=AnswerType.REGION,
            rationale="I look at it.",
            task="mcq",
            group=str(group),
        )
        return [sample for _ in chosen]

    def texts(self, limit: int) -> Iterator[tuple[str, str, str]]:
        for group in range(IMAGES):
            sample = self.samples(group, [0])[0]
            yield sample.question, sample.rationale, sample.answer or ""

    def lengths(self) -> np.ndarray:
        return longest_texts(self)

    def labels(self) -> Iterator[tuple[str, str]]:
        for group in range(IMAGES):
            yield "mcq", str(group)


class ImageData(SpatialDataModule):
    """The four images in every split."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(**{"num_workers": 0, "batch_size": 4, **shared})

    def prepare_split(self, role: Role) -> None:
        pass

    def open_split(self, role: Role) -> FourImages:
        return FourImages()

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric()
