"""The learning rate's course: linear warm-up, then a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

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

    def scheduler(self, optimizer: Optimizer, total_steps: int) -> LambdaLR:
        """A scheduler to be stepped after every optimisation step."""
        return LambdaLR(optimizer, lambda step: self.factor(step, total_steps))


def follow_course(scheduler: LambdaLR) -> None:
    """Set the learning rates that the scheduler's own course has for its present step.

    A checkpoint brings the rates of the course it was saved on, which differ where the total has changed.
    """
    step = scheduler.last_epoch
    for group, highest, factor in zip(
        scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
    ):
        group["lr"] = highest * factor(step)
