"""A module and a datamodule of a few lines, so that the command line is tested without a real model."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch.cli import OptimizerCallable
from PIL import Image
from torch import Tensor, nn

from datamodules.base import Role, SpatialDataModule
from datamodules.loading.grouped import texts_of
from datamodules.samples import Answer, AnswerType, DataError, Region, SpatialSample
from datamodules.scoring.metrics import Track3Metric
from lightning_modules.base import Batch, Collator, SpatialModule
from tests.helpers.text_lengths import longest_texts

SIDES = ("left", "right")


def features(sample: SpatialSample) -> Tensor:
    """Where the region is, if there is one: enough to tell left from right."""
    if not sample.regions:
        return torch.zeros(2)
    columns = np.nonzero(sample.regions[0].mask())[1]
    return torch.tensor([columns.mean() / 32 - 0.5, 1.0], dtype=torch.float32)


def collate(samples: Sequence[SpatialSample], padded: bool = False) -> Batch:
    return {
        "padded": {sample.group: f"{sample.group} is padded." for sample in samples if padded},
        "features": torch.stack([features(sample) for sample in samples]),
        "targets": torch.tensor([int(sample.answer == "right") for sample in samples]),
    }


class StubModule(SpatialModule):
    """A small perceptron with dropout (so that random states matter).

    Args:
        width: hidden units.
        epochs: passes over the data.
        die_at_step: kill the process, as a power cut would, when this step is reached.
        die_in_validation: kill it only in the validation after this step.
        geometry: what the report names as geometry.
        padded: say of every image that it was padded.
    """

    def __init__(
        self,
        width: int = 8,
        epochs: int = 4,
        die_at_step: int = -1,
        die_in_validation: bool = False,
        geometry: str = "mask",
        padded: bool = False,
        optimizer: OptimizerCallable = torch.optim.AdamW,
    ) -> None:
        super().__init__(optimizer)
        self.epochs = epochs
        self.die_at_step = die_at_step
        self.die_in_validation = die_in_validation
        self.padded = padded
        self.layers = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.max_epochs in (None, -1):
            self.trainer.fit_loop.max_epochs = self.epochs

    def collator(self, stage: str) -> Collator:
        return functools.partial(collate, padded=self.padded)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self._die_where_asked()
        logits = self.layers(batch["features"])
        for name, value in (("expert0", 0.25), ("expert1", 0.75), ("entropy", 0.56)):
            self.log(f"router/layer0/{name}", value, batch_size=len(logits))
        return {"answer": nn.functional.cross_entropy(logits, batch["targets"])}

    def answer(self, batch: Batch) -> list[Answer]:
        self._die_where_asked()
        choices = self.layers(batch["features"]).argmax(-1).tolist()
        return [
            Answer(sample, SIDES[choice]) for sample, choice in zip(batch["samples"], choices, strict=True)
        ]

    def _die_where_asked(self) -> None:
        there = self.global_step == self.die_at_step and self.trainer.validating == self.die_in_validation
        if there and "SURVIVE" not in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class StubImage:
    """A flat colour."""

    name: str

    def open(self) -> Image.Image:
        return Image.new("RGB", (32, 32), (90, 120, len(self.name) * 5))


@dataclass(frozen=True)
class StubQuestions:
    """Images with one region that lies left or right, two questions each."""

    split: str
    images: int

    def __len__(self) -> int:
        return self.images

    def group_sizes(self) -> np.ndarray:
        return np.full(self.images, 2)

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        return [self._sample(group, question) for question in questions]

    def lengths(self) -> np.ndarray:
        return longest_texts(self)

    def labels(self) -> Iterator[tuple[str, str]]:
        for group in range(self.images):
            for sample in self.samples(group, range(2)):
                yield sample.task, sample.answer or ""

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        return texts_of(self, limit)

    def _sample(self, group: int, question: int) -> SpatialSample:
        mask = np.zeros((32, 32), dtype=bool)
        left = np.random.default_rng([len(self.split), group, question]).random() < 0.5
        column = 4 if left else 20
        mask[8:16, column : column + 8] = True
        return SpatialSample(
            id=f"{self.split}-{group}-{question}",
            question="Is the pallet <mask> on the left or on the right?",
            image=StubImage(f"{self.split}-{group}"),
            regions=(Region.from_mask(mask),),
            answer=SIDES[0 if left else 1],
            answer_type=AnswerType.SIDE,
            task="left_right",
            source="rendered",
            group=f"{self.split}-{group}",
        )


class StubData(SpatialDataModule):
    """Left or right.

    Args:
        root: where the data would lie.
        images: images of the training split.
        shared: the arguments of every datamodule.
    """

    def __init__(self, root: str = "rendered", images: int = 32, **shared: Any) -> None:
        super().__init__(**shared)
        self.root = root
        self.images = images

    def prepare_split(self, role: Role) -> None:
        if self.root == "missing":
            raise DataError("The data folder missing does not exist.")

    def open_split(self, role: Role) -> StubQuestions:
        return StubQuestions(role, self.images if role == "train" else 11)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Only tensors move: Lightning refuses the frozen records."""
        return {
            name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()
        }

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric()
