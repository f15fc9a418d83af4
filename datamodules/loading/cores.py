"""How many CPU cores there are to compute with."""

from __future__ import annotations

import os


def available_cores() -> int:
    """The cores this process may use; all of the machine's where the system does not say (macOS, Windows)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
