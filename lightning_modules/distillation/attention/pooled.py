"""Attention maps of few rows and columns, small enough to be kept on a disk.

The query rows that count are put into groups of neighbours, and the maps of a group are averaged; so are the
key columns, and the shares of a group are added up. Each row of a pooled map is then still a distribution.
With as many groups as tokens nothing is pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.blocks import (
    Block,
    Extent,
    LayerPair,
    blocks_of,
    extents_of,
    recomputed,
)
from lightning_modules.distillation.attention.head_mixture import (
    Similarity,
    divergence_of_mixture,
    head_weights,
    inner_products,
)
from lightning_modules.distillation.attention.tap import TappedLayer, attention_maps


@dataclass(frozen=True)
class PooledLayer:
    """Pooled attention maps of one layer, for a batch.

    Attributes:
        number: the layer's number in its language model, from zero.
        maps: [batch, heads, groups of rows, groups of columns]; 0 in groups that a sample does not have.
        rows: how many groups of rows each sample has, [batch].
        columns: how many groups of columns, [batch].
    """

    number: int
    maps: Tensor
    rows: Tensor
    columns: Tensor


def pool_layer(
    layer: TappedLayer,
    rows_mask: Tensor,
    columns_mask: Tensor,
    size: int,
    chunk: int | None,
    extents: Sequence[Extent] | None = None,
) -> PooledLayer:
    """A layer's pooled maps, through which gradients flow.

    A query that sees no key that counts does not count itself. Maps are computed in chunks of rows, and again
    in the backward pass, so that no more than one chunk's maps stand in memory.

    Args:
        layer: the layer.
        rows_mask: which queries count, [batch, tokens].
        columns_mask: which keys count, [batch, tokens].
        size: the number of groups, of rows and of columns; a sample with fewer has a group for each.
        chunk: rows whose maps are in memory at a time; when left out, few on a CPU and many on a GPU.
        extents: where the rows and columns lie that count; looked for when left out.
    """
    extents = extents_of(rows_mask, columns_mask) if extents is None else extents
    pair = LayerPair(layer, layer, rows_mask, columns_mask, extents)
    whole = [
        (block, pair.counted(block, pair.visible(block.samples, block.rows, block.columns)))
        for blocks in blocks_of(pair, chunk)
        for block in blocks
    ]
    counted = torch.zeros_like(rows_mask, dtype=torch.bool)
    for block, rows in whole:
        counted[block.samples, block.rows] = rows
    precise = torch.promote_types(layer.queries.dtype, torch.float32)
    in_row_group = _groups(counted, size).to(precise)
    in_column_group = _groups(columns_mask.bool(), size).to(precise)
    averaging = in_row_group / in_row_group.sum(1, keepdim=True).clamp_min(1)
    batch, heads = layer.queries.shape[:2]
    maps = averaging.new_zeros(batch, heads, size, size)
    for block, rows in whole:
        part = recomputed(_pooled_block, pair, block, rows, averaging, in_column_group)
        maps = maps.index_add(0, torch.arange(batch, device=maps.device)[block.samples], part)
    groups = (counted.sum(1).clamp_max(size), columns_mask.sum(1).clamp_max(size))
    return PooledLayer(layer.number, maps, *groups)


def pooled_loss(
    student: PooledLayer, teacher: PooledLayer, temperature: float, similarity: Similarity
) -> Tensor:
    """The attention loss of a pair of pooled layers, summed over samples.

    Args:
        student: the student's.
        teacher: the teacher's, without gradient.
        temperature: of the head weights.
        similarity: of two maps, over their groups of rows.

    Raises:
        ModelError: their samples do not have the same groups.
    """
    teacher = replace(teacher, maps=teacher.maps.to(student.maps), rows=teacher.rows.to(student.rows))
    if not torch.equal(student.rows, teacher.rows) or student.maps.shape[2:] != teacher.maps.shape[2:]:
        raise ModelError(
            "Pooled attention maps of different sequences cannot be compared: the student's maps have "
            f"{student.rows.tolist()} groups of rows, the teacher's {teacher.rows.tolist()}. Both need the "
            "same tokens and the same pool."
        )
    rows = teacher.rows.clamp_min(1)
    with torch.autocast(student.maps.device.type, enabled=False):
        overlap = inner_products(student.maps, teacher.maps)
        weights = head_weights(overlap, rows, temperature, similarity)
        return (divergence_of_mixture(student.maps, teacher.maps, weights) / rows).sum()


def _pooled_block(
    pair: LayerPair, block: Block, counted: Tensor, averaging: Tensor, in_column_group: Tensor
) -> Tensor:
    """What the rows of a block add to the pooled maps, [samples, heads, groups, groups]."""
    visible = pair.visible(block.samples, block.rows, block.columns)
    layer = pair.student
    maps = attention_maps(
        layer.queries[block.samples, :, block.rows],
        layer.keys[block.samples, :, block.columns],
        # A row without any column has no distribution; it gets one, which no group takes.
        visible | ~counted[..., None],
        layer.scaling,
    )
    shares = maps @ in_column_group[block.samples, None, block.columns]
    return averaging[block.samples, None, block.rows].mT @ shares


def _groups(counted: Tensor, size: int) -> Tensor:
    """Which of at most `size` groups each token that counts belongs to, [batch, tokens, size].

    Groups follow each other and differ by at most one in their numbers of tokens.
    """
    number = counted.sum(1, keepdim=True)
    place = counted.cumsum(1) - 1
    group = place * number.clamp_max(size) // number.clamp_min(1)
    return (group[..., None] == torch.arange(size, device=counted.device)) & counted[..., None]
