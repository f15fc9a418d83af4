"""What two processes (gloo, DDP) log of a training is what both of them saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from lightning_modules.base import Batch
from tests.helpers.forked import in_processes
from tests.helpers.stub import StubData, StubModule
from tests.helpers.sums import sum_of


class TwoTerms(StubModule):
    """Its loss is the sum of the numbers in the batch, and no two batches have the same ones."""

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        nothing = 0 * sum_of(parameter.sum() for parameter in self.parameters())
        numbers = [float(sample.group.partition("-")[2]) for sample in batch["samples"]]
        return {"sum": nothing + sum(numbers), "squares": nothing + sum(number**2 for number in numbers)}


class Kept(Callback):
    """Keeps what was logged, and the terms of this process."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []
        self.own: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        names = ("train/loss", "train/sum", "train/squares")
        self.logged.append({name: float(trainer.callback_metrics[name]) for name in names})
        self.own.append(float(outputs["loss"]))


class Rank(LightningEnvironment):
    """One of two processes that exist already."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.set_global_rank(rank)

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self.rank


def one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    kept = Kept()
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy=DDPStrategy(cluster_environment=Rank(rank), process_group_backend="gloo"),
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        callbacks=[kept],
    )
    trainer.fit(TwoTerms(epochs=1), StubData(num_workers=0))
    torch.save({"logged": kept.logged, "own": kept.own}, folder / f"{rank}.pt")


@pytest.mark.slow
def test_the_loss_that_is_logged_is_the_mean_of_the_processes(tmp_path: Path) -> None:
    in_processes(one_of_two, (tmp_path,), 2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["own"] != second["own"]
    assert first["logged"] == second["logged"]
    means = [(a + b) / 2 for a, b in zip(first["own"], second["own"], strict=True)]
    assert [logged["train/loss"] for logged in first["logged"]] == pytest.approx(means)
    for logged in first["logged"]:
        assert logged["train/sum"] + logged["train/squares"] == pytest.approx(logged["train/loss"])
