"""The command line in processes of its own: what starts it, its environment, and how long it may take."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.helpers.forked import ForkedCommand

ROOT = Path(__file__).resolve().parents[2]
SETTINGS_OF_THE_CALLER = (
    *("WANDB_MODE", "WANDB_API_KEY", "WANDB_RUN_ID", "TRACEBACK", "LOCAL_RANK", "SURVIVE"),
    # What `make test ARGS=...` hands to every make below it.
    *("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS"),
)

LONGEST_S = 170

ALLOWING = ("--allow", "tests.helpers")
"""What lets a configuration name the classes of these helpers."""

TAKE_IT = (
    *("experiment", "fit", "validate", "test", "predict"),
    *("print", "cache-teacher", "export", "study", "smoke"),
)
"""The commands that take `--allow`."""

MODULES_TAKE_IT = ("experiments.export", "experiments.commands.study", "experiments.commands.cache_teacher")
"""The modules of commands that take it, where they are run by themselves."""

Command = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., ForkedCommand]


def allowing(arguments: Sequence[str], module: str = "experiments.run") -> list[str]:
    """A command line that may name the classes of these helpers, where it is one that names classes."""
    ran = module == "experiments.run" and bool(arguments) and arguments[0] in TAKE_IT
    return [*arguments, *(ALLOWING if ran or module in MODULES_TAKE_IT else ())]


def environment(**changes: str) -> dict[str, str]:
    """The caller's environment without what would change a run."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_THE_CALLER}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NETRC": os.devnull, **changes}
