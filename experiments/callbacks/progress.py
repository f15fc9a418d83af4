"""Progress that can be read: a bar in a terminal, a line every some seconds in a file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil
import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.utilities.data import extract_batch_size
from lightning.pytorch.utilities.types import STEP_OUTPUT


class Throughput:
    """Questions a second since `start`, over all processes, and the highest memory use so far."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin to count."""
        self.questions = 0
        self.began = time.monotonic()

    def count(self, batch: Any, trainer: Trainer) -> None:
        """Add a batch; the other processes' are taken to be as large as this one's."""
        self.questions += questions_in(batch) * trainer.world_size

    def columns(self) -> dict[str, str]:
        """What the progress shows beside the loss."""
        seconds = max(time.monotonic() - self.began, 1e-6)
        return {"questions/s": f"{self.questions / seconds:.0f}", "memory": f"{peak_memory_gb():.1f} GB"}


def questions_in(batch: Any) -> int:
    """How many questions a batch holds; where a loader of one's own has made it, how long its tensors are."""
    if isinstance(batch, Mapping) and "samples" in batch:
        return len(batch["samples"])
    try:
        return extract_batch_size(batch)
    except MisconfigurationException:
        return 0


def peak_memory_gb() -> float:
    """The highest memory use so far in GB: the GPU's where one is used, else this process's."""
    if torch.cuda.is_available() and (used := torch.cuda.max_memory_allocated()):
        return used / 1e9
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e9
    import resource  # which Windows does not have

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


class BarProgress(TQDMProgressBar):
    """Lightning's bar, with questions a second and peak memory."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1)
        self.throughput = Throughput()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count an epoch's questions from its start."""
        self.throughput.start()
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Count, then draw."""
        self.throughput.count(batch, trainer)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Loss and scores, then speed and memory."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {**metrics, **self.throughput.columns()}


class LineProgress(ProgressBar):
    """A line every some seconds, for logs, pipes and notebooks.

    Args:
        seconds: time between two lines.
        title: stands in front of every line.
    """

    def __init__(self, seconds: float = 10.0, title: str = "") -> None:
        super().__init__()
        self.seconds = seconds
        self.title = title
        self.enabled = True
        self.throughput = Throughput()
        self._written = 0.0

    @property
    def is_enabled(self) -> bool:
        """Whether it writes; a module's own `print` asks."""
        return self.enabled

    def disable(self) -> None:
        """Write nothing (Lightning asks this of every process but the first)."""
        self.enabled = False

    def enable(self) -> None:
        """Write again."""
        self.enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from here."""
        self.throughput.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Write a line where the last one is old enough, and at the end of the last epoch."""
        self.throughput.count(batch, trainer)
        total = self.total_train_batches
        last = batch_idx + 1 == total and trainer.current_epoch + 1 == trainer.max_epochs
        self._line(trainer, pl_module, f"epoch {self._epoch(trainer)}, {_batch(batch_idx, total)}", last)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from here."""
        self.throughput.start()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write a line where the last one is old enough, and at the end."""
        self.throughput.count(batch, trainer)
        total = trainer.num_test_batches[dataloader_idx]
        self._line(trainer, None, f"test, {_batch(batch_idx, total)}", batch_idx + 1 == total)

    def _epoch(self, trainer: Trainer) -> str:
        limited = trainer.max_epochs is not None and trainer.max_epochs >= 0
        return f"{trainer.current_epoch + 1}{f'/{trainer.max_epochs}' if limited else ''}"

    def _line(self, trainer: Trainer, pl_module: LightningModule | None, where: str, last: bool) -> None:
        now = time.monotonic()
        if not self.enabled or not (last or now - self._written >= self.seconds):
            return
        self._written = now
        metrics = self.get_metrics(trainer, pl_module) if pl_module else {}
        metrics.pop("v_num", None)
        shown = {
            name: f"{value:.3g}" if isinstance(value, float) else value for name, value in metrics.items()
        }
        columns = {**shown, **self.throughput.columns()}
        text = "  ".join(f"{name} {value}" for name, value in columns.items())
        print(f"{self.title}{where}  {text}", flush=True)


def _batch(index: int, total: float) -> str:
    """Which batch it is, of how many where a loader knows its length."""
    return f"batch {index + 1}{f'/{total}' if math.isfinite(total) else ''}"


def progress(title: str = "") -> ProgressBar:
    """A bar where somebody watches, lines where somebody reads later."""
    return BarProgress() if sys.stdout.isatty() and not title else LineProgress(title=title)
