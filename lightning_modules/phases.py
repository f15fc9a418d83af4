"""Training in phases: one fit whose objective changes after a number of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Objective = Literal["free_form", "normalized", "chain"]


@dataclass
class Phase:
    """A stretch of training with one objective.

    Args:
        objective: `free_form` writes the whole sentence, `normalized` only the answer in its scored form, and
            `chain` that answer behind the regions that lead to it.
        epochs: how many passes over the training images.
    """

    objective: Objective
    epochs: int


def objective_at(phases: Sequence[Phase], epoch: int) -> Objective:
    """The objective of an epoch (0-based); past the last phase, the last phase's."""
    for phase in phases:
        epoch -= phase.epochs
        if epoch < 0:
            return phase.objective
    return phases[-1].objective
