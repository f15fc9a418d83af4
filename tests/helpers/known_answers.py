"""A model whose answers are known beforehand, and data to ask it: all that a run says of them can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from datamodules.base import Role, SpatialDataModule
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import Answer, AnswerType, OpenedImage, Region, SpatialSample
from datamodules.scoring.metrics import Judgement, Track3Metric
from datamodules.views.view import View
from lightning_modules.base import Batch, Collator, SpatialModule

WORDS = {
    "count": "How many boxes?",
    "distance": "How far is it?",
    "left_right": "On which side is it?",
    "mcq": "Which is nearest, <mask>?",
}
FORMS = {
    "count": AnswerType.COUNT,
    "distance": AnswerType.DISTANCE,
    "left_right": AnswerType.SIDE,
    "mcq": AnswerType.REGION,
}
TRUTHS: dict[Role, list[tuple[str, str, str, str]]] = {
    "train": [
        ("2", "1.0", "left", "1"),
        ("2", "1.05", "left", "1"),
        ("2", "1.1", "left", "2"),
        ("3", "3.0", "left", "1"),
        ("3", "5.0", "right", "0"),
        ("4", "9.0", "right", "3"),
    ],
    "val": [("1", "2.0", "left", "0"), ("5", "4.0", "right", "1")],
    "test": [("2", "1.05", "left", "1"), ("3", "7.0", "right", "3"), ("2", "1.0", "left", "0")],
}
"""Of each image the true answers to its four questions, in the order of `WORDS`."""

REPLIES = {
    "test-0": ("there are two boxes", "1.1 m", "left", "Region 1"),
    "test-1": ("2", "about 3 m", "Left", "Region 2"),
    "test-2": ("2", "no idea", "right", "0"),
}
WITHOUT_AN_IMAGE = ("3", "1", "left", "5")
COLOURS = {"test-0": (200, 40, 40), "test-1": (40, 200, 40), "test-2": (40, 40, 200)}


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


def questions(role: Role) -> list[SpatialSample]:
    mask = np.zeros((24, 32), dtype=bool)
    mask[2:6, 2:6] = True
    made = []
    for number, truths in enumerate(TRUTHS[role]):
        image = f"{role}-{number}"
        colour = COLOURS.get(image, (9 * number, 9, 9))
        opened = OpenedImage(image, Image.new("RGB", (32, 24), colour))
        for task, truth in zip(WORDS, truths, strict=True):
            made.append(
                SpatialSample(
                    f"{image}-{task}",
                    WORDS[task],
                    image=opened,
                    regions=(Region.from_mask(mask),) if task == "mcq" else (),
                    answer=truth,
                    answer_type=FORMS[task],
                    task=task,
                    source="by hand",
                    group=image,
                )
            )
    return made


@dataclass(frozen=True)
class Urged(View):
    """A view that can be seen in the question."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        return sample.replace(question=f"{sample.question} Look!")


class OfTheValidation(Track3Metric):
    """Takes everything for right, so that it is no metric of the test."""

    def judge(self, answer: Answer) -> Judgement:
        return Judgement(answer.raw, True, (True, False))


class KnownData(SpatialDataModule):
    """Six images to train on, two to validate on, three to be tested on; four questions each."""

    def prepare_split(self, role: Role) -> None:
        if role == "train":
            CLOCK.now += 100

    def open_split(self, role: Role) -> ListedQuestions:
        return ListedQuestions.grouped(questions(role))

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric() if stage == "test" else OfTheValidation()

    def origin(self) -> str:
        return "written by hand"

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch


def collate(samples: Sequence[SpatialSample]) -> Batch:
    """Of the first test image it is said that it was scaled, of every other that it was padded."""
    groups = {sample.group for sample in samples if sample.group.startswith("test")}
    return {
        "sizes": torch.tensor([len(sample.question) for sample in samples]),
        "scaled": {group: f"{group} is large." for group in groups & {"test-0"}},
        "padded": {group: f"{group} is narrow." for group in groups - {"test-0"}},
    }


class KnownAnswers(SpatialModule):
    """Has a trainable and a frozen layer, and answers as `REPLIES` say, or without an image otherwise."""

    made: list[KnownAnswers]
    """All that were made: a run makes another one for its blind baseline."""

    def __init__(self) -> None:
        super().__init__()
        self.learns, self.frozen = nn.Linear(4, 3), nn.Linear(3, 7)
        self.frozen.requires_grad_(False)
        self.begins = self.learns.weight.detach().clone()
        self.trained_on: list[SpatialSample] = []
        self.tested_on: list[SpatialSample] = []
        self.made.append(self)

    def origins(self) -> dict[str, str]:
        return {"model": "a table of replies", "tokenizer": "none"}

    def collator(self, stage: str) -> Collator:
        return collate

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        if self.training:
            CLOCK.now += 0.25
            self.trained_on += batch["samples"]
        nothing = 0 * self.learns(torch.zeros(1, 4)).sum()
        return {"answer": nothing + 2.0, "value": nothing + 1.0}

    def answer(self, batch: Batch) -> list[Answer]:
        if self.trainer.testing:
            CLOCK.now += 0.5
            self.tested_on += batch["samples"]
        return [Answer(sample, self._reply(sample)) for sample in batch["samples"]]

    def _reply(self, sample: SpatialSample) -> str:
        replies = WITHOUT_AN_IMAGE if sample.image is None else REPLIES.get(sample.group)
        return replies[list(WORDS).index(sample.task)] if replies else str(sample.answer)


KnownAnswers.made = []


def experiment(**changes: Any) -> dict[str, Any]:
    """The content of an experiment's file: two epochs of three steps."""
    return {
        "name": "known",
        "model": {"class_path": f"{__name__}.KnownAnswers"},
        "data": {
            "class_path": f"{__name__}.KnownData",
            "init_args": {"num_workers": 0, "batch_size": 2, "views": [{"class_path": f"{__name__}.Urged"}]},
        },
        "trainer": {"log_every_n_steps": 1, "max_epochs": 2, "accelerator": "cpu"},
        **changes,
    }
