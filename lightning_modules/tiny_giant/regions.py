"""Region tokens: what the image shows under a region's mask, and where the region is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def pool_regions(features: Tensor, masks: Tensor) -> Tensor:
    """Average feature maps under masks.

    Args:
        features: `[images, channels, rows, columns]`.
        masks: weights, `[images, regions, layers, rows, columns]`; a layer may be empty.

    Returns:
        `[images, regions, layers * channels]`; zeros for an empty layer.
    """
    weights = masks.flatten(3).to(features.dtype)
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-3)
    pooled = torch.einsum("irlp,icp->irlc", weights, features.flatten(2))
    return pooled.flatten(2)


class RegionEncoder(nn.Module):
    """Embeds each region of an image from its pooled RGB and depth features and its geometry.

    Args:
        visual_width: channels of one backbone's feature map.
        backbones: how many backbones' features are pooled.
        geometry_features: how many numbers describe a region's place, 0 for none.
        width: size of the embedding.
    """

    def __init__(self, visual_width: int, backbones: int, geometry_features: int, width: int) -> None:
        super().__init__()
        # Two layers a mask: the region's visible pixels and what stands inside it, and the share of each.
        self.visual = None
        if backbones:
            channels = visual_width * backbones * 2
            self.visual = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.geometry = None
        if geometry_features:
            self.geometry = nn.Sequential(
                nn.Linear(geometry_features, width), nn.GELU(), nn.Linear(width, width)
            )

    def forward(self, maps: list[Tensor], masks: Tensor, geometry: Tensor) -> Tensor:
        """Region embeddings `[images, regions, width]`.

        Args:
            maps: one feature map a backbone, `[images, visual_width, rows, columns]`.
            masks: `[images, regions, 2, rows, columns]`.
            geometry: `[images, regions, features]`.
        """
        parts = []
        if self.visual is not None:
            parts.append(self.visual(torch.cat([pool_regions(each, masks) for each in maps], dim=-1)))
        if self.geometry is not None:
            parts.append(self.geometry(geometry))
        return sum(parts[1:], parts[0])


class RelationLayer(nn.Module):
    """Lets each region of a question gather from the others what stands in which relation to it.

    Beside softmax attention, which picks, each head has a gated sum, which counts: how many pallets lie in
    a buffer is a sum that no weighted average can give.

    Args:
        width: size of region states.
        heads: number of attention heads.
        relations: size of the embedded relations.
    """

    def __init__(self, width: int, heads: int, relations: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.pick = nn.Linear(relations, heads)
        self.count = nn.Linear(relations, heads)
        self.relation_value = nn.Linear(relations, width)
        self.output = nn.Linear(2 * width, width)

    def forward(self, states: Tensor, relations: Tensor, named: Tensor) -> Tensor:
        """New region states, to be added to the old ones.

        Args:
            states: `[questions, regions, width]`.
            relations: embedded pairs, `[questions, regions, regions, relations]`.
            named: which regions exist, `[questions, regions]`.
        """
        questions, regions, width = states.shape
        query, key, value = self.query_key_value(self.norm(states)).chunk(3, dim=-1)
        shape = (questions, regions, self.heads, width // self.heads)
        query, key, value = query.view(shape), key.view(shape), value.view(shape)
        scores = torch.einsum("qihd,qjhd->qijh", query, key) / shape[-1] ** 0.5
        absent = ~named[:, None, :, None]
        attention = (scores + self.pick(relations)).masked_fill(absent, -1e4).softmax(dim=2)
        gates = torch.sigmoid(scores + self.count(relations) - 2.0).masked_fill(absent, 0.0)
        values = value[:, None] + self.relation_value(relations).view(
            questions, regions, regions, self.heads, -1
        )
        picked = torch.einsum("qijh,qijhd->qihd", attention, values).flatten(2)
        counted = torch.einsum("qijh,qijhd->qihd", gates, values).flatten(2)
        return self.output(torch.cat([picked, counted], dim=-1))


class RelationEncoder(nn.Module):
    """Embeds the numbers that describe pairs of regions.

    Args:
        features: how many numbers describe a pair.
        width: size of the embedding.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU())

    def forward(self, relations: Tensor) -> Tensor:
        """From `[questions, regions, regions, features]` to `[questions, regions, regions, width]`."""
        return self.layers(relations)
