"""How many things the picture shows inside each region, whether a region of a question names them or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RARELY = -4.0
"""Where the logarithm of what a square adds begins: most squares add nothing."""

UNKNOWN_COUNT = -1.0
"""Stands for how many things a region holds where nobody knows."""


class PictureCounts(nn.Module):
    """Counts inside regions, by what hides a part of each, and by what the picture's squares show there.

    How much a square adds depends on how much of it a region covers, since things at a region's border lie
    in squares that are only half of it.

    Args:
        hiding: how many numbers describe what hides a part of a region, 0 where none do.
        channels: of all feature maps together, 0 where there are none.
        hidden: inner size.
    """

    def __init__(self, hiding: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.hiding = self.seen = None
        if hiding:
            self.hiding = nn.Sequential(nn.Linear(hiding, hidden), nn.GELU(), nn.Linear(hidden, 1))
        if channels:
            self.seen = nn.Conv2d(channels, hidden, 1)
            self.covered = nn.Linear(2, hidden)
            self.adds = nn.Linear(hidden, 1)
            nn.init.constant_(self.adds.bias, RARELY)

    def forward(self, hiding: Tensor, maps: Tensor | None, masks: Tensor) -> Tensor:
        """Counts `[images, regions]`.

        Args:
            hiding: what hides a part of each region, `[images, regions, numbers]`.
            maps: `[images, channels, rows, columns]`, or None where there are none.
            masks: shares of the squares that regions cover, and that lie inside of them, `[images, regions,
                2, rows, columns]`.
        """
        counts = torch.zeros(hiding.shape[:2], dtype=torch.float32, device=hiding.device)
        if self.hiding is not None:
            guess = nn.functional.softplus(self.hiding(hiding).squeeze(-1).float())
            counts = counts + guess * (hiding != 0).any(-1)
        if self.seen is not None and maps is not None:
            counts = counts + self._of_squares(maps, masks)
        return counts

    def _of_squares(self, maps: Tensor, masks: Tensor) -> Tensor:
        assert self.seen is not None
        seen = self.seen(maps).flatten(2).transpose(1, 2)
        shares = masks.flatten(3).transpose(2, 3).to(seen.dtype)
        hidden = nn.functional.gelu(seen[:, None] + self.covered(shares))
        adds = nn.functional.softplus(self.adds(hidden).squeeze(-1).float())
        return (adds * (shares.sum(-1) > 0)).sum(-1)


def count_sum(shown: Tensor, true: Tensor) -> tuple[Tensor, int]:
    """The Huber loss of counts inside regions, as a sum over images of their means, and how many images.

    Args:
        shown: counted in the picture, `[images, regions]`.
        true: how many there are, negative where nobody knows, `[images, regions]`.
    """
    known = true >= 0
    losses = nn.functional.smooth_l1_loss(shown, true, reduction="none") * known
    means = losses.sum(1) / known.sum(1).clamp(min=1)
    return means.sum(), len(true)
