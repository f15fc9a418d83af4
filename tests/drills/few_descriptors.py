"""The program where a process may have 40 files open."""

from __future__ import annotations

import resource
from typing import Any

from experiments import run

FILES = 40


def main() -> Any:
    """Lower the limit, then run what was typed."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    return run.main()
