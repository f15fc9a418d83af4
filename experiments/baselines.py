"""What a score has to be compared with: the most frequent answer, and the same model without eyes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.command_line import SpatialCLI


@dataclass
class Baselines:
    """Which baselines an experiment asks after its test.

    Args:
        majority: the most frequent (or median) training answer of each kind of question.
        blind: the same model trained anew on questions alone.
        blind_fraction: share of the training images, hence of the steps, that the blind model gets.
    """

    majority: bool = True
    blind: bool = False
    blind_fraction: float = 1 / 3


def run_baselines(cli: SpatialCLI, wanted: Baselines) -> dict[str, Any]:
    """Ask the wanted baselines."""
    return {}
