"""One run of tests over a copy of the project, in a process that has its imports already."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.commands import ROOT

LIBRARIES = (
    *("pytest", "hypothesis", "yaml", "omegaconf", "jsonargparse", "PIL.Image", "pandas", "pyarrow.parquet"),
    *(
        "scipy.stats",
        "torch",
        "torchvision",
        "torchmetrics",
        "timm",
        "lightning.pytorch.cli",
        "datasets",
        "peft",
    ),
    "transformers.models.smolvlm.modeling_smolvlm",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
)
"""What the tests import, and a fault does not change."""

OURS = ("datamodules", "lightning_modules", "experiments", "benchmarks", "docs", "tests")
LONGEST_S = 240
"""Tests that take longer than so many seconds have noticed something: the code does not end."""

SECONDS_BETWEEN_LOOKS = 0.05


@dataclass(frozen=True)
class Verdict:
    """What tests have said.

    Attributes:
        code: pytest's exit status; None where it was stopped because it took too long.
        failed: the tests that failed.
        seconds: how long it took.
        log: the file with all that was printed.
    """

    code: int | None
    failed: tuple[str, ...]
    seconds: float
    log: Path


class Trial:
    """Tests that are running over a copy of the project.

    Args:
        copy: the copy's root.
        tests: files or tests, as pytest takes them.
        log: where what is printed goes.
        all_of_them: go on after the first failure.
    """

    def __init__(self, copy: Path, tests: Sequence[str], log: Path, all_of_them: bool = False) -> None:
        self._log = log
        self._failed = log.with_suffix(".json")
        self._failed.unlink(missing_ok=True)
        self._looked, self._seconds = time.monotonic(), 0.0
        self._longest = LONGEST_S * (20 if all_of_them else 1)
        typed = [*(() if all_of_them else ("-x",)), "-p", "no:cacheprovider", *tests]
        self._process = os.fork()
        if not self._process:
            _run(copy, typed, log, self._failed)

    def ended(self) -> Verdict | None:
        """What came of it; None while it is running."""
        now = time.monotonic()
        # A machine that was asleep in between, or busy with other things, has not been at work all the time.
        self._seconds += min(now - self._looked, 1) / max(1, os.getloadavg()[0] / (os.cpu_count() or 1))
        self._looked = now
        pid, status = os.waitpid(self._process, os.WNOHANG)
        if not pid and self._seconds < self._longest:
            return None
        if not pid:
            os.killpg(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        code = None if not pid else os.waitstatus_to_exitcode(status)
        failed = json.loads(self._failed.read_text()) if self._failed.exists() else []
        return Verdict(code, tuple(failed), self._seconds, self._log)

    def stop(self) -> None:
        """Kill it."""
        os.killpg(self._process, signal.SIGKILL)


class _Failures:
    """Notes which tests have failed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._note(report)

    def pytest_collectreport(self, report: Any) -> None:
        self._note(report)

    def _note(self, report: Any) -> None:
        if report.failed and report.nodeid not in self._failed:
            self._failed.append(report.nodeid)
            self._file.write_text(json.dumps(self._failed))


def load_libraries() -> None:
    """Import what all runs share."""
    for name in LIBRARIES:
        importlib.import_module(name)


def _run(copy: Path, typed: list[str], log: Path, failed: Path) -> None:
    """Be a process that runs pytest in a copy, and end with its exit status."""
    code = 70
    try:
        os.setsid()
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(written, stream)
        os.chdir(copy)
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.path[:] = [str(copy), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
        sys.dont_write_bytecode = True
        os.environ.update(PYTHONDONTWRITEBYTECODE="1")
        import pytest

        code = int(pytest.main(typed, plugins=[_Failures(failed)]))
        ours = sys.modules.get("datamodules")
        assert ours is None or Path(str(ours.__file__)).is_relative_to(copy), f"{ours} is not the copy's"
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
