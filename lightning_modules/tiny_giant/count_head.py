"""Counting as a sum: how many regions lie in a container, each with the probability that it does.

A decoder that writes a digit like any other word has to learn each number by itself, and knows none beyond
those of its training. Here the digits are ordered: each is the likelier, the nearer it is to the sum.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_modules.tiny_giant.encoded import Encoded
from lightning_modules.tiny_giant.focus import pointed
from lightning_modules.tiny_giant.vocabulary import DIGITS

STEEPNESS = 3.0
"""How much likelier a digit is than the next, at first, in natural logarithms."""

RARELY = -2.0
"""Where the logits of membership begin: most regions of a question are not counted."""


ALL_ALIKE = -math.log(len(DIGITS))
"""The logarithm of each digit's chance where nothing speaks for one of them."""


class CountHead(nn.Module):
    """Adds to the logits of the ten digits how near each is to what is counted.

    The container is the region in focus. A region counts as far as its relation to the container, and what
    the answer's state wants of regions, say. Where nothing that is counted is listed, what the picture shows
    in the container counts instead; where that is not known either, all digits are alike.

    Args:
        width: size of a state.
        relations: size of embedded relations.
    """

    def __init__(self, width: int, relations: int) -> None:
        super().__init__()
        self.wanted = nn.Linear(width, width)
        decides = nn.Linear(relations, 1)
        nn.init.constant_(decides.bias, RARELY)
        self.inside = nn.Sequential(nn.Linear(relations, relations), nn.GELU(), decides)
        self.is_listed = nn.Linear(width, 1)
        self.sharpness = nn.Parameter(torch.zeros(()))

    def forward(
        self, states: Tensor, container: Tensor, relations: Tensor, encoded: Encoded
    ) -> tuple[Tensor, Tensor]:
        """What is added to the logits of the digits, and which regions are counted.

        Args:
            states: of the answer, `[questions, answer, width]`.
            container: how much each region is in focus, `[questions, answer, regions]`.
            relations: of all regions to it, `[questions, answer, regions, relations]`.
            encoded: the encoder's result.

        Returns:
            `[questions, answer, 10]`, 0 for a question without regions, and the logits of regions to be
            counted, `[questions, answer, regions]`.
        """
        named = encoded.named
        members = self.inside(relations).squeeze(-1) + pointed(self.wanted(states), encoded.regions)
        members = members.float()
        # A container does not count itself.
        shares = torch.sigmoid(members) * (1 - container.float()) * named[:, None]
        counted = self._nearness(shares.sum(-1))
        # Either all that is counted is listed, or it is seen: a mean of both counts would be neither.
        seen = torch.full_like(counted, ALL_ALIKE)
        if encoded.shown is not None:
            shown = self._nearness(torch.einsum("qtj,qj->qt", container.float(), encoded.shown.clamp(min=0)))
            is_known = (encoded.shown >= 0).any(1)
            seen = torch.where(is_known[:, None, None], shown, seen)
        listed = self.is_listed(states).float()
        log_sigmoid = nn.functional.logsigmoid
        nearness = torch.logaddexp(log_sigmoid(listed) + counted, log_sigmoid(-listed) + seen)
        return nearness * named.any(1)[:, None, None], members

    def _nearness(self, counts: Tensor) -> Tensor:
        """How likely each digit is by its nearness to counts `[questions, answer]`, as logarithms.

        `[questions, answer, 10]`.
        """
        away = counts[..., None] - torch.arange(len(DIGITS), device=counts.device)
        # The Huber form: a square would drown all other losses while counts are far off.
        away = nn.functional.smooth_l1_loss(away, torch.zeros_like(away), reduction="none")
        nearness = (-STEEPNESS * nn.functional.softplus(self.sharpness) * away).log_softmax(-1)
        # No single digit is what stands for ten or more.
        return torch.where(counts[..., None] < len(DIGITS) - 0.5, nearness, ALL_ALIKE)


def member_sum(members: Tensor, is_digit: Tensor, counted: Tensor, known: Tensor) -> tuple[Tensor, int]:
    """The cross-entropy of which regions are counted, as a sum over questions, and how many questions.

    Args:
        members: logits of regions to be counted, `[questions, answer, regions]`.
        is_digit: where a digit is written, `[questions, answer]`.
        counted: which regions are counted, `[questions, regions]`.
        known: for which questions and regions that is known, `[questions, regions]`.
    """
    losses = nn.functional.binary_cross_entropy_with_logits(
        members, counted[:, None].expand_as(members), reduction="none"
    )
    heeded = is_digit[..., None] * known[:, None]
    return (losses * heeded).sum(), len(members)
