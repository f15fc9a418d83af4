"""Weights & Biases: there when it is asked for, and never in the way."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.loggers.logger import DummyLogger

from experiments.experiment_files.registry import EXPERIMENTS
from experiments.run_folders.loggers import wandb_is_asked_for, wandb_when_asked
from tests.helpers.commands import ROOT, Command


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_without_a_wish_it_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert isinstance(wandb_when_asked(), DummyLogger)


def test_a_mode_or_a_login_asks_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not wandb_is_asked_for()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 1234")
    assert wandb_is_asked_for()
    for mode, asked in (("offline", True), ("online", True), ("disabled", False), ("dryrun", True)):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert wandb_is_asked_for() is asked
    monkeypatch.delenv("WANDB_MODE")
    (tmp_path / "netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert wandb_is_asked_for()


@pytest.mark.slow
def test_the_sweep_runs_as_wandb_expands_it(tmp_path: Path, command: Command) -> None:
    """The agent replaces `${args}` with `--name=value` and sets WANDB_RUN_ID: done here by its own code."""
    from wandb.sdk.launch.sweeps import utils

    sweep = yaml.safe_load((EXPERIMENTS / "sweeps/tinygiant.yaml").read_text())
    assert (ROOT / sweep["program"]).exists()
    chosen = {
        name: {"value": settings.get("value", (settings.get("values") or [settings.get("min")])[0])}
        for name, settings in sweep["parameters"].items()
    }
    variables = utils.create_sweep_command_args({"args": chosen})
    variables["env"] = ["/usr/bin/env"]
    expanded: list[str] = []
    for part in utils.create_sweep_command(sweep["command"]):
        variable = re.fullmatch(r"\$\{(\w+)\}", part)
        expanded += variables[variable[1]] if variable else [part]
    assert expanded[:4] == ["/usr/bin/env", "python", "-m", "experiments.run"]

    tiny = ["--scale=tiny", "--data.init_args.scenes={train: 4, val: 2, test: 2}"]
    command(*expanded[4:], *tiny, WANDB_RUN_ID="trial1", WANDB_MODE="offline")

    folder = tmp_path / "runs/sweeps/tinygiant/trial1"
    model = yaml.safe_load((folder / "config.yaml").read_text())["model"]["init_args"]
    assert model["optimizer"]["init_args"]["lr"] == chosen["model.init_args.optimizer.init_args.lr"]["value"]
    assert "val/score" in (folder / "metrics.csv").read_text()
    assert list((tmp_path / "wandb").glob("offline-run-*-trial1"))
