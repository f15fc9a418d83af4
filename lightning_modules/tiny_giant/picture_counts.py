"""How many things the picture shows inside each region, whether a region of a question names them or not."""

from __future__ import annotations

from torch import Tensor, nn

RARELY = -4.0
"""Where the logarithm of what a square adds begins: most squares add nothing."""


class PictureCounts(nn.Module):
    """Counts inside regions: each square of the picture adds something of what it shows there.

    How much depends on how much of the square a region covers, since things at a region's border lie in
    squares that are only half of it.

    Args:
        channels: of all feature maps together.
        hidden: inner size.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.seen = nn.Conv2d(channels, hidden, 1)
        self.covered = nn.Linear(2, hidden)
        self.adds = nn.Linear(hidden, 1)
        nn.init.constant_(self.adds.bias, RARELY)

    def forward(self, maps: Tensor, masks: Tensor) -> Tensor:
        """Counts `[images, regions]`.

        Args:
            maps: `[images, channels, rows, columns]`.
            masks: shares of the squares that regions cover, and that lie inside of them, `[images, regions,
                2, rows, columns]`.
        """
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
