"""Dealing out a time that is limited to several things, and ending what takes longer."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any


def limit_of(place: int, shares: Sequence[float], left: float) -> float | None:
    """How many seconds one of several things may take, or None where there are too few.

    What those before have not used may be used, but not what those behind are to have.

    Args:
        place: its place among them.
        shares: the seconds that each is to have.
        left: the seconds that are left.
    """
    share = shares[place]
    return None if left < share else max(share, left - sum(shares[place + 1 :]))


def no_time(seconds: float, left: float) -> str:
    """Why something is left out."""
    return f"it may take {seconds:.0f} s, and {max(left, 0):.0f} s are left"


def run_within(command: Sequence[str], seconds: float, **options: Any) -> int | None:
    """Run a command; its exit code, or None where it had to be ended, with all that it had begun."""
    # A session of its own, so that the processes it starts can be ended with it.
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
