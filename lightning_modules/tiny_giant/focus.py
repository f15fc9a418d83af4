"""The region that an answer is about while it is written, and how all others stand to it.

What is the nearest, and what lies inside, is decided by pairs. Region states have gathered from all pairs at
once; behind a chain one region matters, mostly the one written last, and all others are seen as they stand
to it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_modules.tiny_giant.encoded import Encoded

LIKELIER = 4.0
"""By how much the score of what was written last is higher, at first."""


def pointed(queries: Tensor, regions: Tensor) -> Tensor:
    """Scaled products of queries `[questions, answer, width]` and regions, for each pair of them."""
    return torch.einsum("qtw,qrw->qtr", queries, regions) / regions.shape[-1] ** 0.5


def written_last(tokens: Tensor, size: int, regions: int) -> tuple[Tensor, Tensor]:
    """Which region was written last up to each place of an answer, and which one before it.

    Args:
        tokens: of the answer, `[questions, answer]`; `size + i` stands for the i-th region.
        size: how many words there are.
        regions: how many places for regions there are.

    Returns:
        two tensors `[questions, answer, regions]` of ones and zeros, all zero where none was written yet.
    """
    is_region = tokens >= size
    place = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    latest = place.masked_fill(~is_region, -1).cummax(1).values
    last = (tokens - size).gather(1, latest.clamp(min=0)).masked_fill(latest < 0, -1)
    # What was the last one right before the latest was written.
    earlier = torch.nn.functional.pad(last, (1, -1), value=-1).gather(1, latest.clamp(min=0))
    before = earlier.masked_fill(latest < 0, -1)
    numbers = torch.arange(regions, device=tokens.device)
    return (last[..., None] == numbers).float(), (before[..., None] == numbers).float()


class Focus(nn.Module):
    """Chooses the region that each state of an answer is about.

    Args:
        width: size of a state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.last = nn.Parameter(torch.tensor(LIKELIER))

    def forward(self, states: Tensor, last: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """How much each region is in focus, and how each one stands to what is.

        Args:
            states: of the answer, `[questions, answer, width]`.
            last: which region was written last, `[questions, answer, regions]`.
            encoded: the encoder's result, with relations and at least one place for a region.

        Returns:
            shares `[questions, answer, regions]` and relations `[questions, answer, regions, relations]`.
        """
        assert encoded.relations is not None
        scores = pointed(self.query(states), encoded.regions) + self.last * last.to(states.dtype)
        shares = scores.masked_fill(~encoded.visible[:, None], -1e4).softmax(-1)
        return shares, torch.einsum("qtj,qijr->qtir", shares, encoded.relations)


class FocusedPointers(nn.Module):
    """Adds to the logits of regions how each stands to the region in focus, and to the camera.

    Args:
        width: size of a state.
        relations: size of embedded relations.
    """

    def __init__(self, width: int, relations: int) -> None:
        super().__init__()
        self.wanted = nn.Linear(width, relations)
        self.wanted_by_itself = nn.Linear(width, relations)
        self.seen = nn.Linear(relations, relations)

    def forward(self, states: Tensor, relations: Tensor, own: Tensor) -> Tensor:
        """`[questions, answer, regions]`.

        Args:
            states: of the answer, `[questions, answer, width]`.
            relations: to the region in focus, `[questions, answer, regions, relations]`.
            own: of each region with itself, `[questions, regions, relations]`.
        """
        relations, own = nn.functional.gelu(self.seen(relations)), nn.functional.gelu(self.seen(own))
        to_focus = torch.einsum("qtr,qtir->qti", self.wanted(states), relations)
        return to_focus + torch.einsum("qtr,qir->qti", self.wanted_by_itself(states), own)
