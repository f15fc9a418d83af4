"""The region that an answer is about while it is written, and how all others stand to it.

What is the nearest, and what lies inside, is decided by pairs. Region states have gathered from all pairs at
once; behind a chain the answer's state knows which one region matters, and looks at the pairs with it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_modules.tiny_giant.encoded import Encoded


def pointed(queries: Tensor, regions: Tensor) -> Tensor:
    """Scaled products of queries `[questions, answer, width]` and regions, for each pair of them."""
    return torch.einsum("qtw,qrw->qtr", queries, regions) / regions.shape[-1] ** 0.5


class Focus(nn.Module):
    """Chooses the region that each state of an answer is about.

    Args:
        width: size of a state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)

    def forward(self, states: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """How much each region is in focus, and how each one stands to what is.

        Args:
            states: of the answer, `[questions, answer, width]`.
            encoded: the encoder's result, with relations and at least one place for a region.

        Returns:
            shares `[questions, answer, regions]` and relations `[questions, answer, regions, relations]`.
        """
        assert encoded.relations is not None
        # A question without regions would choose nothing, which is not a number: it chooses among places that
        # others have.
        visible = encoded.named | ~encoded.named.any(1, keepdim=True)
        shares = pointed(self.query(states), encoded.regions).masked_fill(~visible[:, None], -1e4).softmax(-1)
        return shares, torch.einsum("qtj,qijr->qtir", shares, encoded.relations)


class FocusedPointers(nn.Module):
    """Adds to the logits of regions how each stands to the region in focus.

    Args:
        width: size of a state.
        relations: size of embedded relations.
    """

    def __init__(self, width: int, relations: int) -> None:
        super().__init__()
        self.wanted = nn.Linear(width, relations)
        self.seen = nn.Linear(relations, relations)

    def forward(self, states: Tensor, relations: Tensor) -> Tensor:
        """`[questions, answer, regions]`.

        Args:
            states: of the answer, `[questions, answer, width]`.
            relations: to the region in focus, `[questions, answer, regions, relations]`.
        """
        return torch.einsum("qtr,qtir->qti", self.wanted(states), nn.functional.gelu(self.seen(relations)))
