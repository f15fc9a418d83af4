"""How high the camera stands: the scale that geometry by itself cannot tell.

Depth has no unit, so that all places are known in camera heights alone. What gives metres is the size of
known things: a pallet that a question names, and pallets, doors, shelves and people anywhere in the picture.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.tiny_giant.chains import mentioned_regions
from lightning_modules.tiny_giant.vocabulary import METRES

Scale = Literal["ruler", "regions", "picture"]
"""What turns camera heights into metres: the size of one region that is chosen for each number; the camera's
height, as the question's regions have it; or as these and all squares of the picture have it."""

TYPICAL_HEIGHT_M = 5.0
"""Where guesses begin, in metres."""

SHORTEST_M = 0.05
"""Shorter distances than this say nothing of the camera's height, in metres."""


class CameraHeight(nn.Module):
    """The logarithm of the camera's height, in metres, as a mean of guesses: the surer one is, the heavier.

    A region guesses by its size on the floor in camera heights and by the size in metres that such a thing
    has. A square of the picture guesses by what it shows.

    Args:
        width: size of region states.
        channels: of all feature maps together, 0 where the picture's squares make no guesses.
        hidden: inner size for the squares.
    """

    def __init__(self, width: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.typical = nn.Parameter(torch.tensor(TYPICAL_HEIGHT_M).log())
        self.size = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
        self.squares = None
        if channels:
            self.squares = nn.Sequential(
                nn.Conv2d(channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, 2, 1), nn.Flatten(2)
            )

    def of_squares(self, maps: Tensor) -> Tensor | None:
        """How sure each square is and what it guesses, from `[images, channels, rows, columns]`.

        Returns:
            `[images, 2, squares]`, guesses as offsets from the typical height; None where squares make none.
        """
        return None if self.squares is None else self.squares(maps).float()

    def forward(self, regions: Tensor, log_size: Tensor, named: Tensor, squares: Tensor | None) -> Tensor:
        """The logarithm of the height by each question, `[questions]`; typical where nothing makes a guess.

        Args:
            regions: fused region states, `[questions, regions, width]`.
            log_size: logarithm of their sizes on the floor in camera heights, `[questions, regions]`.
            named: which regions exist, `[questions, regions]`.
            squares: what `of_squares` gave for each question's image, `[questions, 2, squares]`, with a
                sureness of minus infinity where there is no image; or None.
        """
        sureness, log_metres = self.size(regions).float().unbind(-1)
        guesses = log_metres - log_size.float() - self.typical
        sureness = sureness.masked_fill(~named, -torch.inf)
        if squares is not None:
            sureness = torch.cat([sureness, squares[:, 0]], dim=1)
            guesses = torch.cat([guesses, squares[:, 1]], dim=1)
        # The typical height is a guess of its own that counts for nothing beside another.
        nothing = (
            sureness.isinf().all(1, keepdim=True) if sureness.shape[1] else named.new_ones(len(named), 1)
        )
        sureness = torch.cat([sureness, torch.where(nothing, 0.0, -torch.inf)], dim=1)
        guesses = torch.cat([guesses, guesses.new_zeros(len(guesses), 1)], dim=1)
        return self.typical + (sureness.softmax(-1) * guesses).sum(-1)


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
