"""A plain LightningModule, and a plain LightningDataModule, run with the suite's other half."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.experiment_files.registry import read_yaml
from tests.helpers.commands import Command


def experiment_of(stub: Path, **halves: Any) -> Path:
    content = read_yaml(stub)
    content.update(halves)
    del content["tiny"]
    stub.write_text(f"# Does it run?\n{yaml.safe_dump(content)}")
    return stub


def test_a_plain_module_with_the_suites_data(tmp_path: Path, stub: Path, command: Command) -> None:
    model = {"class_path": "tests.helpers.plain_halves.PlainModule", "init_args": {"lr": 0.5}}
    file = str(experiment_of(stub, model=model))
    shown = command("experiment", "-c", file, "--baselines.blind=true").stdout
    assert "One epoch, since nothing says" in shown
    folder = tmp_path / "runs/stub/latest"
    results = json.loads((folder / "results.json").read_text())
    assert results["metric"] == "test/accuracy" and results["n"] == 22 and results["interval"] is None
    assert 0 <= results["score"] <= 1
    # What a fixed answer scores by the data's metric is not on the scale of the module's own.
    assert results["baselines"].keys() == {"blind"} and results["baselines"]["blind"]["n"] == 22
    assert f"Score {results['score']:.4g} (test/accuracy) on 22 questions" in shown
    assert "test/accuracy" in (folder / "report.html").read_text()
    command("fit", "-c", file, "--resume=latest", "--trainer.max_epochs=4")
    command("test", "-c", str(folder / "config.yaml"))
    command("predict", "-c", str(folder / "config.yaml"), code=1)


def test_plain_data_with_the_suites_module(tmp_path: Path, stub: Path, command: Command) -> None:
    data = {"class_path": "tests.helpers.plain_halves.PlainData", "init_args": {"batch_size": 5}}
    file = str(experiment_of(stub, data=data))
    command("fit", "-c", file)
    command("fit", "-c", file, "--resume=latest", "--model.init_args.epochs=6", code=1)
    shown = command("experiment", "-c", file).stdout
    folder = tmp_path / "runs/stub/latest"
    results = json.loads((folder / "results.json").read_text())
    assert results["metric"] == "BinaryAccuracy" and results["n"] == 22 and results["interval"] is None
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    right = sum(line["prediction"] == line["answer"] for line in lines)
    assert results["score"] == pytest.approx(right / 22)
    assert "7 batches an epoch" in shown
    refused = command("validate", "-c", str(folder / "config.yaml"), code=1)
    assert "PlainData has no val_dataloader" in refused.stderr


def test_a_training_loader_of_ones_own(tmp_path: Path, stub: Path, command: Command) -> None:
    data = {"class_path": "tests.helpers.plain_halves.OwnTrainLoader", "init_args": {"num_workers": 0}}
    file = str(experiment_of(stub, data=data))
    shown = command("experiment", "-c", file, "--model.init_args.epochs=2").stdout
    assert "8 batches an epoch" in shown and "questions/s" in shown
    folder = tmp_path / "runs/stub/latest"
    assert json.loads((folder / "results.json").read_text())["n"] == 22
