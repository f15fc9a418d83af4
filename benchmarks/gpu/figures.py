"""Figures, written down as they are found, and the time that is left to find more."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.limits import no_time

FIGURES = Path("runs/bench/on_gpu.jsonl")
"""Where figures go."""


class Figures:
    """Where a part writes what it finds: one JSON line a figure, printed and appended to `FIGURES`.

    Args:
        run: tells the figures of one run from those of another.
        part: the part that finds them.
        seconds: how long the part may take from now on.

    Attributes:
        common: what is said in every line, such as the device.
    """

    def __init__(self, run: str, part: str, seconds: float) -> None:
        self.common: dict[str, Any] = {"run": run, "part": part}
        self._began = time.monotonic()
        self._ends = self._began + seconds

    @property
    def left(self) -> float:
        """Seconds that are left to the part."""
        return self._ends - time.monotonic()

    def add(self, **values: Any) -> None:
        """Write down one figure."""
        at = round(time.monotonic() - self._began, 1)
        line = json.dumps({**self.common, **values, "at_seconds": at})
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        with FIGURES.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def allow(self, what: str, seconds: float) -> bool:
        """Whether there is time for something; where there is not, that is written down."""
        if self.left >= seconds:
            return True
        self.add(what=what, left_out=no_time(seconds, self.left))
        return False
