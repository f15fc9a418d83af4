"""How a run was started: command, code and machine, and how large its model is."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

ROOT = Path(__file__).parents[2]


def started(command: list[str], subcommand: str, seed: int | bool | None) -> dict[str, Any]:
    """What the run folder remembers of its start."""
    return {
        "command": " ".join(command),
        "subcommand": subcommand,
        "seed": seed,
        "commit": git_commit(),
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "machine": f"{os.cpu_count()} cores, {device_name()}",
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": version("torchvision"),
            "lightning": lightning.__version__,
        },
    }


def device_name() -> str:
    """The accelerator, in words."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def git_commit() -> str:
    """The code's commit, marked where files differ from it; "unknown" outside a git checkout."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit} with local changes" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str:
    try:
        finished = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return finished.stdout.strip()


def parameter_counts(module: nn.Module) -> tuple[int, int]:
    """Number of all parameters, and of those that training changes."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trainable in sizes if trainable)
