"""An adapter on what was only asked so far, with a scheduler of torch, and trained longer afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.run_folders.loggers import read_rows
from tests.helpers.commands import Command


@pytest.mark.slow
def test_an_adapter_is_added_to_a_zero_shot_experiment(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "# Does an adapter help?\nstarts_from: small_vlm/smolvlm_500m_zero_shot\nname: mine\n"
        "model: {init_args: {adapter: {method: lora}, optimizer: {class_path: torch.optim.SGD, "
        "init_args: {lr: 0.5}}}}\n"
        "tiny: {data: {init_args: {scenes: {train: 4, val: 1, test: 1}}}, "
        "trainer: {limit_train_batches: 2}}\n"
    )
    stepped = ["--model.schedule=StepLR", "--model.schedule.step_size=1"]
    shown = command("fit", "-c", str(file), "--scale=tiny", *stepped).stdout
    assert "1 epoch " in shown and "One epoch, since nothing says for how long" in shown
    longer = command("fit", "-c", str(file), "--resume=latest", "--trainer.max_epochs=3").stdout
    assert "stretched from 2 to 6 steps, which the learning rate takes no" in longer
    folder = tmp_path / "runs/mine/latest"
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
    rates = [float(row["lr-SGD"]) for row in read_rows(folder / "metrics.csv") if row.get("lr-SGD")]
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])
