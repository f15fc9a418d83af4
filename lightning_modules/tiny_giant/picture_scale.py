"""How high the camera stands, from what the picture shows: the scale that geometry by itself cannot tell.

Depth has no unit, so that all places are known in camera heights alone. What gives metres is the size of
known things: pallets, doors, shelves, people, whether a question names them or not. Every square of the
picture makes a guess at the camera's height and says how sure it is of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.tiny_giant.chains import mentioned_regions
from lightning_modules.tiny_giant.vocabulary import METRES

TYPICAL_HEIGHT_M = 5.0
"""Where guesses begin, in metres."""

SHORTEST_M = 0.05
"""Shorter distances than this say nothing of the camera's height, in metres."""


class PictureScale(nn.Module):
    """Guesses the logarithm of the camera's height, in metres, from feature maps.

    Args:
        channels: of all feature maps together.
        hidden: inner size.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squares = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, 2, 1))
        self.typical = nn.Parameter(torch.tensor(TYPICAL_HEIGHT_M).log())

    def forward(self, maps: Tensor) -> Tensor:
        """From `[images, channels, rows, columns]` to `[images]`: a mean that weighs sure squares more."""
        sureness, guess = self.squares(maps).flatten(2).float().unbind(1)
        return self.typical + (sureness.softmax(-1) * guess).sum(-1)


def measured_pair(sample: SpatialSample) -> tuple[int, int] | None:
    """The two regions whose distance in metres is a question's answer, by their place in it.

    They are the last two that the rationale names; of a question with two regions alone they are these.
    """
    if sample.answer_type is not AnswerType.DISTANCE or not METRES.fullmatch(sample.answer or ""):
        return None
    if float(sample.answer or 0) < SHORTEST_M:
        return None
    named = list(dict.fromkeys(reversed(mentioned_regions(sample))))[:2]
    if len(named) == 2:
        return named[1], named[0]
    return (0, 1) if len(sample.regions) == 2 else None
