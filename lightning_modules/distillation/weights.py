"""Weights of a loss's terms that change in the course of the training."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_modules.base import ModelError


@dataclass(frozen=True)
class Ramp:
    """A weight that goes from one number to another in a straight line, and stays there.

    Args:
        start: the weight before `after`.
        end: the weight from `until` on.
        after: where the line begins, as a share of the whole training, 0 to 1.
        until: where it ends, as a share of the whole training, 0 to 1.

    Raises:
        ModelError: the line would end before it begins, or outside of the training.
    """

    start: float
    end: float
    after: float = 0.0
    until: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.after <= self.until <= 1:
            raise ModelError(
                f"A weight shall change between {self.after} and {self.until} of the training: give two "
                "shares from 0 to 1, the first one not above the second."
            )


Weight = float | Ramp
"""The weight of a term: a number, or one that changes."""


def weight_at(weight: Weight, progress: float) -> float:
    """The weight when a share of the training, `progress`, is done (0 to 1)."""
    if not isinstance(weight, Ramp):
        return weight
    if progress >= weight.until:
        return weight.end
    if progress <= weight.after:
        return weight.start
    share = (progress - weight.after) / (weight.until - weight.after)
    return weight.start + share * (weight.end - weight.start)
