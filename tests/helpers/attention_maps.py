"""Layers with random queries and keys, one row of their maps by the formula, and the comparison of losses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightning_modules.distillation.attention.tap import TappedLayer


def layer(
    seed: int,
    *,
    batch: int = 1,
    heads: int = 4,
    key_heads: int = 2,
    tokens: int = 9,
    channels: int = 8,
    number: int = 0,
    mask: Tensor | None = None,
    spread: float = 1.5,
    exact: bool = False,
) -> TappedLayer:
    """A tapped layer with random queries and keys, in float64 where it shall be exact."""
    generator = torch.Generator().manual_seed(seed)
    queries, keys = (
        spread * torch.randn(batch, count, tokens, channels, generator=generator, dtype=torch.float64)
        for count in (heads, key_heads)
    )
    dtype = torch.float64 if exact else torch.float32
    return TappedLayer(
        number, queries.to(dtype).requires_grad_(), keys.to(dtype).requires_grad_(), channels**-0.5, mask
    )


def everything(tapped: TappedLayer) -> Tensor:
    return torch.ones(tapped.queries.shape[0], tapped.queries.shape[2], dtype=torch.bool)


def padding_mask(real: Tensor) -> Tensor:
    """What transformers makes of a padding mask, [batch, 1, tokens, tokens]: causal, no look at padding."""
    tokens = real.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return causal[None, None] & real[:, None, None, :]


def plain_map(
    queries: Tensor, keys: Tensor, scaling: float, row: int, head: int, columns: list[int]
) -> Tensor:
    """One row of one head's map, as a list over `columns`."""
    key_head = head // (len(queries) // len(keys))
    scores = [scaling * (queries[head, row] * keys[key_head, column]).sum() for column in columns]
    highest = max(float(score.detach()) for score in scores)
    powers = [(score - highest).exp() for score in scores]
    return torch.stack([power / sum(powers) for power in powers])


def gradients(loss: Tensor, tapped: TappedLayer) -> list[Tensor]:
    return [part.double() for part in torch.autograd.grad(loss, [tapped.queries, tapped.keys])]


def assert_same(made: Tensor, wanted: Tensor, student: TappedLayer, tolerance: float = 1e-5) -> None:
    """Value and gradients to the student's queries and keys agree."""
    assert made.item() == pytest.approx(wanted.item(), rel=tolerance, abs=1e-12)
    for mine, plain in zip(gradients(made, student), gradients(wanted, student), strict=True):
        assert (mine - plain).norm() <= tolerance * plain.norm() + 1e-12
