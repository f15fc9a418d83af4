"""A plain LightningModule and a plain LightningDataModule, as a Lightning user writes them."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import Metric
from torchmetrics.classification import BinaryAccuracy

from tests.helpers.stub import StubData, StubQuestions, collate


class PlainModule(LightningModule):
    """Reads the records of a batch, logs a metric of its own, and has a scheduler of torch."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.lr = lr
        self.layer = nn.Linear(2, 2)
        self.accuracy = BinaryAccuracy()

    def logits(self, batch: Any) -> tuple[Tensor, Tensor]:
        made = collate(list(batch["samples"]))
        return self.layer(made["features"]), made["targets"]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(*self.logits(batch))
        self.log("train/loss", loss)
        return loss

    def test_step(self, batch: Any, batch_idx: int) -> None:
        logits, targets = self.logits(batch)
        self.accuracy(logits.argmax(-1), targets)
        self.log("test/loss", nn.functional.cross_entropy(logits, targets))
        self.log("test/accuracy", self.accuracy)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)]


class PlainData(LightningDataModule):
    """A loader of torch over records; the module gives the collator."""

    collator: Any

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size

    def loader(self, split: str, images: int) -> DataLoader:
        questions = StubQuestions(split, images)
        samples: Any = [sample for image in range(images) for sample in questions.samples(image, range(2))]
        return DataLoader(
            samples, batch_size=self.batch_size, shuffle=split == "train", collate_fn=self.collator
        )

    def train_dataloader(self) -> DataLoader:
        return self.loader("train", 16)

    def test_dataloader(self) -> DataLoader:
        return self.loader("test", 11)

    def metric(self) -> Metric:
        return BinaryAccuracy()


class OwnTrainLoader(StubData):
    """The suite's data with a training loader of one's own."""

    def train_dataloader(self) -> DataLoader:
        split = self.split("train")
        samples: Any = [sample for image in range(len(split)) for sample in split.samples(image, range(2))]
        return DataLoader(samples, batch_size=8, shuffle=True, collate_fn=self.collator)
