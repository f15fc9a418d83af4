"""How long the parts of an experiment took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning import Callback, LightningModule, Trainer


class Stopwatch(Callback):
    """Seconds spent on getting the data ready, on fitting and on testing.

    "data" is everything before the first training step: rendering or indexing, and starting up. A resumed
    run adds to what it had spent before.
    """

    def __init__(self) -> None:
        self.seconds = {"data": 0.0, "fit": 0.0, "test": 0.0}
        self._before = dict(self.seconds)
        self._began = time.monotonic()

    def start(self) -> None:
        """The data begin to be made ready now."""
        self._began = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the clock stand still meanwhile."""
        since = time.monotonic()
        yield
        self._began += time.monotonic() - since

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The data are ready."""
        self._end("data")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The fit is over."""
        self._end("fit")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The test begins; without a fit before it, the data are ready only now."""
        if self.seconds["data"] == 0.0:
            self._end("data")
        self._began = time.monotonic()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The test is over."""
        self._end("test")

    def state_dict(self) -> dict[str, Any]:
        """What was spent so far, for a run that is resumed."""
        return {"fit": self._before["fit"] + time.monotonic() - self._began, "data": self.seconds["data"]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was spent before."""
        self._before.update(state_dict)
        self.seconds.update(state_dict)  # stands where the fit was over already

    def _end(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part] = self._before[part] + now - self._began
        self._began = now
