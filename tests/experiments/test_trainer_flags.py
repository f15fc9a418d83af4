"""Switches of Lightning's Trainer do here what Lightning says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiments.conftest import Command

FLAGS = {
    "overfit_batches": ["overfit_batches=1"],
    "limits": ["limit_train_batches=2", "limit_val_batches=1", "limit_test_batches=1"],
    "max_steps": ["max_steps=2"],
    "max_time": ["max_time=00:00:01:00"],
    "val_check_interval": ["val_check_interval=2"],
    "num_sanity_val_steps": ["num_sanity_val_steps=2"],
    "detect_anomaly": ["detect_anomaly=true"],
    "no logger": ["logger=false"],
    "no progress": ["enable_progress_bar=false"],
    "no checkpoints": ["enable_checkpointing=false"],
    "accumulation": ["accumulate_grad_batches=2"],
    "precision": ["precision=bf16-mixed"],
}


@pytest.mark.parametrize("name", FLAGS)
def test_an_experiment_runs_with(name: str, tmp_path: Path, stub: Path, command: Command) -> None:
    flags = [f"--trainer.{flag}" for flag in FLAGS[name]]
    shown = command("experiment", "-c", str(stub), "--baselines.blind=true", *flags).stdout
    folder = tmp_path / "runs/stub/latest"
    assert "Score" in shown and (folder / "results.json").exists()
    assert (folder / "checkpoints/last.ckpt").exists() == (name != "no checkpoints")
    assert ("epoch " in shown) == (name != "no progress")


def test_a_rehearsal_keeps_nothing(tmp_path: Path, stub: Path, command: Command) -> None:
    for subcommand in ("experiment", "fit"):
        shown = command(subcommand, "-c", str(stub), "--trainer.fast_dev_run=true").stdout
        assert "A rehearsal" in shown and "Score" not in shown
        assert not (tmp_path / "runs").exists()


def test_a_profile_is_shown(stub: Path, command: Command) -> None:
    shown = command("fit", "-c", str(stub), "--trainer.profiler=simple").stdout
    assert "run_training_batch" in shown
