"""Runs the command line in an empty folder: in a process of its own, or dry in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments.experiment_files.allowed_classes import enforce
from experiments.run_folders.run_folder import RunFolder
from tests.helpers.cli_in_process import DryRunCLI, run
from tests.helpers.commands import LONGEST_S, Command, Start, allowing, environment
from tests.helpers.forked import ForkedCommand
from tests.helpers.stub_experiment import stub_experiment
from tests.helpers.track3_files import as_published


@pytest.fixture(autouse=True)
def allowed() -> None:
    """What an earlier test has allowed in this process is forgotten; the tests' own classes may be named."""
    enforce(("tests.helpers",))


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """An experiment file whose model and data are stubs."""
    return stub_experiment(tmp_path)


@pytest.fixture
def trained(tmp_path: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A finished run of the stub, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return run("experiment", "-c", str(stub), "--scale=tiny", "--baselines={words: false}")


@pytest.fixture
def start(tmp_path: Path, rendered_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts `experiments.run`, or another module, with some arguments."""
    (tmp_path / "rendered_data").symlink_to(rendered_once)
    return lambda *arguments, module="experiments.run", **changes: ForkedCommand(
        module, allowing(arguments, module), tmp_path, environment(**changes), tmp_path_factory.mktemp("logs")
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
            typed = [sys.executable, "-m", module, *allowing(arguments, module)]
            settings = environment(**changes)
            finished = subprocess.run(
                typed, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=LONGEST_S
            )
        else:
            finished = start(*arguments, module=module, **changes).finished(LONGEST_S)
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    return run


@pytest.fixture
def dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[DryRunCLI]:
    """Takes a command line and does everything but the run itself, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for variable in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_RUN_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", "/dev/null")
    return DryRunCLI


@pytest.fixture
def track3(tmp_path: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stub's module on Track 3 as it is published: the options of a command."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(stub.read_text())
    content["model"]["init_args"]["epochs"] = 1
    content["data"] = {
        "class_path": "datamodules.ai_city_track3.AiCityTrack3",
        "init_args": {"root": str(as_published(tmp_path / "published")), "num_workers": 0},
    }
    stub.write_text(f"# Is left told from right?\n{yaml.safe_dump(content)}")
    return ["-c", str(stub)]
