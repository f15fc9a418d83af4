"""What the program is called by whoever has typed it: `smallspatial`, or `python -m experiments.run`."""

from __future__ import annotations

import sys
from pathlib import Path

INSTALLED = "smallspatial"


def is_installed() -> bool:
    """Whether the console script was typed, which stands for a package without the repository around it."""
    return Path(sys.argv[0]).stem == INSTALLED


def program(command: str = "") -> str:
    """How a command is typed, in the way that this one was."""
    return f"{INSTALLED if is_installed() else 'python -m experiments.run'} {command}".strip()


def list_command() -> str:
    """How the list of experiments is asked for."""
    return program("list") if is_installed() else "make list"
