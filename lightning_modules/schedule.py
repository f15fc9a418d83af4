"""The learning rate's course: linear warm-up and a cosine, or any scheduler of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.cli import LRSchedulerCallable
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from datamodules.samples import SmallSpatialError


class ScheduleError(SmallSpatialError):
    """A learning rate cannot take this course."""


@dataclass
class WarmupCosine:
    """Linear warm-up to the optimizer's learning rate, then a half cosine down to a fraction of it.

    Args:
        warmup_fraction: share of all steps spent warming up.
        final_fraction: learning rate at the last step, as a fraction of the highest.

    Raises:
        ScheduleError: a fraction is out of range.
    """

    warmup_fraction: float = 0.03
    final_fraction: float = 0.1

    def __post_init__(self) -> None:
        for name in ("warmup_fraction", "final_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ScheduleError(f"schedule.{name} is {getattr(self, name)}; give a share from 0 to 1.")

    def factor(self, step: int, total_steps: int) -> float:
        """What the learning rate is multiplied with at a step (0-based) of a fit of `total_steps`."""
        warmup = max(1, round(self.warmup_fraction * total_steps))
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.final_fraction + (1 - self.final_fraction) * cosine

    def scheduler(self, optimizer: Optimizer, total_steps: float) -> LambdaLR:
        """A scheduler to be stepped after every optimisation step.

        Args:
            optimizer: the optimizer.
            total_steps: how many steps the fit has; without an end (infinity) the rate stays at its highest.
        """
        endless = math.isinf(total_steps)
        return LambdaLR(optimizer, lambda step: 1.0 if endless else self.factor(step, int(total_steps)))


ONE_EPOCH = "One epoch, since nothing says for how long to train: trainer.max_epochs does."


def train_for_an_epoch_unless_told(trainer: Trainer) -> bool:
    """Set a fit's length to one epoch where no limit on epochs, steps or time is set; whether none was."""
    timed = any(isinstance(callback, Timer) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    untold = trainer.max_epochs in (None, -1) and trainer.max_steps == -1 and not timed
    if untold:
        trainer.fit_loop.max_epochs = 1
    return untold


def total_steps(trainer: Trainer) -> float:
    """How many optimisation steps a trainer's fit has; infinity where nobody knows.

    That is so without a limit on epochs and steps, or where a loader of one's own does not know its length.
    """
    steps = float(trainer.estimated_stepping_batches)
    return steps if steps >= 0 else math.inf


Schedule = WarmupCosine | LRSchedulerCallable
"""The learning rate's course: ours over the whole fit, or what makes a scheduler of torch of an optimizer."""

EVERY_STEP = (OneCycleLR, CyclicLR)
"""Schedulers of torch that are made to be stepped after every batch; all others are, after every epoch."""


def scheduler_settings(schedule: Schedule, optimizer: Optimizer, total_steps: float) -> dict[str, Any]:
    """A schedule's scheduler, and when it is stepped, as Lightning wants to have it told.

    Args:
        schedule: the schedule.
        optimizer: the optimizer.
        total_steps: how many optimisation steps the fit has; infinity where nobody knows.

    Raises:
        ScheduleError: the scheduler does not take its settings, would watch nothing, or ends before the fit.
    """
    if isinstance(schedule, WarmupCosine):
        return {"scheduler": schedule.scheduler(optimizer, total_steps), "interval": "step"}
    scheduler = _made(schedule, optimizer)
    name = type(scheduler).__name__
    if isinstance(scheduler, ReduceLROnPlateau):
        monitor = getattr(scheduler, "monitor", None)
        if monitor is None:
            raise ScheduleError(
                f"{name} has nothing to watch: take lightning.pytorch.cli.ReduceLROnPlateau, and name what "
                "is logged as its `monitor`, such as train/loss or val/score (with mode: max)."
            )
        return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor}
    ends_after = scheduler.total_steps if isinstance(scheduler, OneCycleLR) else math.inf
    if ends_after < total_steps:
        has = "no known end" if math.isinf(total_steps) else f"{total_steps:,.0f}"
        raise ScheduleError(
            f"{name} ends after {ends_after:,} steps, and the training has {has}: set its total_steps, or "
            "end the training sooner with trainer.max_steps."
        )
    return {"scheduler": scheduler, "interval": "step" if isinstance(scheduler, EVERY_STEP) else "epoch"}


def require_schedule(schedule: Schedule, make_optimizer: Callable[..., Optimizer]) -> None:
    """Raise `ScheduleError` where a scheduler cannot be made: the fit would find out late.

    Args:
        schedule: the schedule.
        make_optimizer: makes the optimizer from parameters.
    """
    scheduler_settings(schedule, make_optimizer([nn.Parameter(torch.zeros(1, 1))]), 1)


def follow_course(scheduler: LambdaLR) -> None:
    """Set the learning rates that the scheduler's own course has for its present step.

    A checkpoint brings the rates of the course it was saved on, which differ where the total has changed.
    """
    step = scheduler.last_epoch
    for group, highest, factor in zip(
        scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
    ):
        group["lr"] = highest * factor(step)


def _made(schedule: LRSchedulerCallable, optimizer: Optimizer) -> LRScheduler | ReduceLROnPlateau:
    """The scheduler; what it says of its settings is one sentence."""
    try:
        scheduler = schedule(optimizer)
    except (ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ScheduleError(f"The schedule does not take its settings: {reason}.") from error
    if not isinstance(scheduler, LRScheduler | ReduceLROnPlateau):
        raise ScheduleError(
            f"The schedule has made a {type(scheduler).__name__}, which is no scheduler of "
            "torch.optim.lr_scheduler."
        )
    return scheduler
