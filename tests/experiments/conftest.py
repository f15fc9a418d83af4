"""Runs the command line as a user would: in a process of its own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SETTINGS_OF_THE_CALLER = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_RUN_ID", "TRACEBACK", "LOCAL_RANK", "SURVIVE")

Command = Callable[..., subprocess.CompletedProcess[str]]


def environment(**changes: str) -> dict[str, str]:
    """The caller's environment without what would change a run."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_THE_CALLER}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NETRC": os.devnull, **changes}


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """An experiment file whose model and data are stubs."""
    file = tmp_path / "stub.yaml"
    content = {
        "name": "stub",
        "model": {
            "class_path": "tests.experiments.stub.StubModule",
            "init_args": {
                "epochs": 4,
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.05}},
            },
        },
        "data": {
            "class_path": "tests.experiments.stub.StubData",
            "init_args": {"num_workers": 0, "seed": "${seed_everything}"},
        },
        "trainer": {"log_every_n_steps": 1},
        "tiny": {"data": {"init_args": {"images": 16}}},
    }
    file.write_text("# Is left told from right?\n" + yaml.safe_dump(content))
    return file


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `python -m experiments.run` with some arguments and checks its exit code."""

    def run(*arguments: str, code: int = 0, **changes: str) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            [sys.executable, "-m", "experiments.run", *arguments],
            cwd=tmp_path,
            env=environment(**changes),
            capture_output=True,
            text=True,
            timeout=170,
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    return run
