"""Every experiment file that is shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments.commands.smoke import main as smoke
from experiments.experiment_files.registry import (
    experiment_file,
    experiment_names,
    opening_comment,
    question_of,
    read_yaml,
)
from experiments.report.charts import router_curves
from experiments.run_folders.loggers import read_rows
from lightning_modules.distillation.teachers import live as teachers
from lightning_modules.vlm import sft
from tests.helpers.cli_in_process import DryRunCLI
from tests.helpers.models_in_place import load_a_tiny_model


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("scale", ["full", "tiny"])
def test_it_parses_and_builds(
    name: str, scale: str, dry_run: type[DryRunCLI], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiny random models take the place of the hub's; everything else is as it stands in the file."""
    for module in (sft, teachers):
        monkeypatch.setattr(module, "load_vlm", load_a_tiny_model)
    monkeypatch.setattr(teachers, "load_adapter", lambda model, folder: model)
    for teacher in (Path("runs/distillation/teacher_sft_7b"), Path("runs/small_vlm/smolvlm_2b_lora")):
        (teacher / "trained/adapter").mkdir(parents=True)
        (teacher / "latest").symlink_to("trained")
    cli = dry_run(["experiment", "-c", name, "--scale", scale])
    assert cli.name == name
    assert cli.config["experiment"].scale == scale


@pytest.mark.parametrize("name", experiment_names())
def test_it_says_what_it_answers(name: str) -> None:
    comment = opening_comment(experiment_file(name))
    assert re.search(r"\?( |$)", question_of(name))
    assert "Published:" in comment
    assert f"make experiment NAME={name}" in comment
    assert read_yaml(experiment_file(name))["name"] == name


@pytest.mark.every_file  # a first day starts with it
def test_the_quick_start_runs_at_the_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    smoke(["quickstart"])
    folder = tmp_path / "runs/smoke/quickstart/latest"
    assert {"majority", "blind"} == set(read_yaml(folder / "results.json")["baselines"])
    assert router_curves(read_rows(folder / "metrics.csv"))
    assert "<img src=" in (folder / "report.html").read_text()
