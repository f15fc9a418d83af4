"""The score of a plain LightningModule: of its answers where it gives some, else what it has logged."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torchmetrics import Metric

from datamodules.samples import Answer, metric_of
from experiments.callbacks.progress import questions_in
from lightning_modules.base import SpatialModule
from lightning_modules.one_number import taking_answers


class LoggedScore(Callback):
    """Keeps a summary of the last evaluation of a module that keeps none itself.

    Where the module's step returns a list of `Answer`s and the data have a metric, it is the metric's.
    Else it is the first number that the module has logged and that is no loss, with the number of questions.
    """

    def __init__(self) -> None:
        self.summary: dict[str, Any] | None = None
        self._metric: Metric | None = None
        self._questions = 0

    @property
    def judged(self) -> bool:
        """Whether the summary is that of the data's own metric."""
        return self._metric is not None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self.summary, self._metric, self._questions = None, None, 0

    on_validation_start = on_test_start

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count, and judge what was answered."""
        if isinstance(pl_module, SpatialModule):
            return
        self._questions += questions_in(batch)
        data = trainer.datamodule  # type: ignore[attr-defined]
        if (answers := answers_in(outputs)) and hasattr(data, "metric"):
            if self._metric is None:
                self._metric = taking_answers(
                    metric_of(data, stage_of(trainer)), getattr(data, "read_answer", None)
                )
            self._metric.update(answers)

    on_validation_batch_end = on_test_batch_end

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum up."""
        if isinstance(pl_module, SpatialModule) or trainer.state.fn == "fit":
            return
        if self._metric is not None:
            self.summary = self._metric.compute()
            return
        counted = torch.tensor(self._questions, device=trainer.strategy.root_device)
        counted = trainer.strategy.reduce(counted, reduce_op="sum")
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        finite = {name: value for name, value in logged.items() if math.isfinite(value)}
        scores = [name for name in finite if "loss" not in name.lower()] or list(finite)
        if scores:
            self.summary = {
                "score": finite[scores[0]],
                "n": int(counted),
                "interval": None,
                "unreadable": 0,
                "tasks": {},
                "metric": scores[0],
            }

    on_validation_end = on_test_end


def stage_of(trainer: Trainer) -> str:
    """The stage whose questions are asked now, as data are asked for its metric."""
    return "test" if trainer.testing else "validate"


def answers_in(outputs: Any) -> list[Answer]:
    """The answers among what a step has returned; a plain module may return anything."""
    answers = outputs if isinstance(outputs, list) else []
    return [answer for answer in answers if isinstance(answer, Answer)]
