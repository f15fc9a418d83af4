"""When a checkpoint within an epoch is written: after whole steps that no validation follows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from lightning import Callback, LightningModule, Trainer

from experiments.callbacks.within_epochs import CheckpointWithinEpochs
from experiments.run_folders.loggers import MetricsTable, read_rows
from experiments.run_folders.run_folder import RunFolder
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.stub import StubData, StubModule


class Validations(Callback):
    """The steps that validations follow."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.steps.append(trainer.global_step)


@pytest.mark.parametrize(
    ("options", "validated", "saved"),
    [
        ({}, [5, 10], [1, 2, 3, 4, 6, 7, 8, 9]),
        ({"val_check_interval": 2}, [2, 4, 7, 9], [1, 3, 6, 8]),
        (
            {"val_check_interval": 3, "check_val_every_n_epoch": None},
            [3, 6, 9],
            [1, 2, 4, 7, 8],
        ),
        ({"val_check_interval": 2, "limit_val_batches": 0}, [], [1, 2, 3, 4, 6, 7, 8, 9]),
        ({"accumulate_grad_batches": 2}, [3, 6], [1, 2, 4, 5]),
        ({"accumulate_grad_batches": 2, "val_check_interval": 4}, [2, 5], [1, 4]),
    ],
    ids=["by epoch", "within the epoch", "over epochs", "none", "of two batches", "of two, within the epoch"],
)
def test_never_between_a_step_and_its_validation_nor_within_a_step(
    tmp_path: Path, options: dict[str, Any], validated: list[int], saved: list[int]
) -> None:
    """Two epochs of five batches."""
    validations = Validations()
    within = CheckpointWithinEpochs(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = bare_trainer(
        enable_checkpointing=True,
        max_epochs=2,
        num_sanity_val_steps=0,
        callbacks=[within, validations],
        **{"limit_val_batches": 1, **options},
    )
    trainer.fit(StubModule(), datamodule=StubData(images=10, batch_size=2, num_workers=0))
    steps = [int(re.findall(r"\d+", file.name)[0]) for file in tmp_path.glob("*.ckpt")]
    assert validations.steps == validated
    assert sorted(steps) == saved


@pytest.mark.parametrize("every", [1, 2])
def test_a_step_is_in_the_table_before_its_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """A run that is killed right behind a checkpoint goes on from the step after it."""
    table = MetricsTable(RunFolder(tmp_path / "runs/mine/1"))
    at_checkpoints: list[tuple[int, int]] = []
    save = Trainer.save_checkpoint

    def saved(self: Trainer, *arguments: Any, **options: Any) -> None:
        steps = [int(row["step"]) for row in read_rows(table.table) if row.get("train/loss")]
        at_checkpoints.append((self.global_step, steps[-1] + 1 if steps else 0))
        save(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "save_checkpoint", saved)
    trainer = bare_trainer(
        enable_checkpointing=True,
        max_epochs=2,
        limit_val_batches=0,
        log_every_n_steps=1,
        logger=table,
        callbacks=[CheckpointWithinEpochs(tmp_path, "{step}", every_n_train_steps=every, save_top_k=-1)],
    )
    trainer.fit(StubModule(), datamodule=StubData(images=10, batch_size=2, num_workers=0))
    assert len(at_checkpoints) > 3 and all(step == seen for step, seen in at_checkpoints)
    steps = [int(row["step"]) for row in read_rows(table.table) if row.get("train/loss")]
    assert steps == list(range(10)), "a step stands there twice, or not at all"
