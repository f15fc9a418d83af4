"""Runs the command line in a process of its own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.helpers.forked import ForkedCommand

ROOT = Path(__file__).resolve().parents[2]
SETTINGS_OF_THE_CALLER = (
    *("WANDB_MODE", "WANDB_API_KEY", "WANDB_RUN_ID", "TRACEBACK", "LOCAL_RANK", "SURVIVE"),
    # What `make test ARGS=...` hands to every make below it.
    *("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS"),
)

LONGEST_S = 170

Command = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., ForkedCommand]


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
            "class_path": "tests.helpers.stub.StubModule",
            "init_args": {
                "epochs": 4,
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.05}},
            },
        },
        "data": {
            "class_path": "tests.helpers.stub.StubData",
            "init_args": {"num_workers": 0, "seed": "${seed_everything}"},
        },
        "trainer": {"log_every_n_steps": 1},
        "tiny": {"data": {"init_args": {"images": 16}}},
    }
    file.write_text("# Is left told from right?\n" + yaml.safe_dump(content))
    return file


@pytest.fixture
def start(tmp_path: Path, rendered_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts `experiments.run`, or another module, with some arguments."""
    (tmp_path / "rendered_data").symlink_to(rendered_once)
    return lambda *arguments, module="experiments.run", **changes: ForkedCommand(
        module, arguments, tmp_path, environment(**changes), tmp_path_factory.mktemp("logs")
    )


@pytest.fixture
def command(tmp_path: Path, start: Start) -> Command:
    """Runs `experiments.run`, or another module, with some arguments and checks its exit code.

    With `fresh` as a user would, `python -m ...`: what starts itself again has to know how.
    """

    def run(
        *arguments: str, code: int = 0, fresh: bool = False, module: str = "experiments.run", **changes: str
    ) -> subprocess.CompletedProcess[str]:
        if fresh:
            typed = [sys.executable, "-m", module, *arguments]
            settings = environment(**changes)
            finished = subprocess.run(
                typed, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=LONGEST_S
            )
        else:
            finished = start(*arguments, module=module, **changes).finished(LONGEST_S)
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    return run
