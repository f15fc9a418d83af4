"""Attention distillation: what the teacher's heads look at, found again in a mixture of the student's heads.

For a pair of layers, with t_i the attention map of the teacher's head i and s_j that of the student's head j:

    sum_i KL(t_i || sum_j w_ij s_j),    w_ij = softmax_j(<t_i, s_j> / temperature)

A map is a distribution over keys for each query. The inner product of two maps is the sum, over the query
rows that count, of the inner products of their rows: what the formula says, word for word. It grows with the
number of rows, so that like heads find each other in long sequences. As a mean over the rows (`similarity:
mean`) it lies in [0, 1] whatever their number, and at the published temperature of 1 no head is more than e
times as heavy as another: the weights are then nearly equal. There is one weight for each pair of heads and
each sample. The divergence is a mean over rows either way. The loss is summed over the teacher's heads, and
averaged over rows, pairs of layers, and samples. Gradients flow through maps and weights into the student's
queries and keys.

Maps are computed from queries and keys in chunks of query rows, once for the weights and once for the
divergence, and again in the backward pass. No more than one chunk's maps stand in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.blocks import (
    Block,
    LayerPair,
    blocks_of,
    extents_of,
    maps_of_both,
    recomputed,
)
from lightning_modules.distillation.attention.head_mixture import (
    Similarity,
    divergence_of_mixture,
    head_weights,
    inner_products,
)
from lightning_modules.distillation.attention.pooled import PooledLayer, pool_layer, pooled_loss
from lightning_modules.distillation.attention.tap import TappedLayer


@dataclass(frozen=True)
class AttentionDistillation:
    """How attention is distilled; the defaults are the published formula.

    Attributes:
        similarity: of two maps: the `sum` of their rows' inner products, as published, or the `mean` of them.
        temperature: of the head weights; below 1, like heads find each other more sharply.
        rows: the queries whose maps count: `all` that are not padding, or those of the `answer`, where a
            token of the answer is predicted.
        columns: the keys at which maps are compared: `all` that are not padding, or those of the `image`,
            with each row scaled to sum to 1 over them. Queries that see no such key do not count.
        chunk: query rows whose maps are in memory at a time, which changes neither loss nor gradient; when
            left out, few on a CPU and many on a GPU.
        pool: compare maps of at most so many groups of rows and of columns, instead of all of them; what a
            cached teacher needs. The published formula when left out.
    """

    similarity: Similarity = "sum"
    temperature: float = 1.0
    rows: Literal["all", "answer"] = "all"
    columns: Literal["all", "image"] = "all"
    chunk: int | None = None
    pool: int | None = None

    def __post_init__(self) -> None:
        """Raise `ModelError` where a number makes no sense."""
        if not self.temperature > 0:
            raise ModelError(
                f"The temperature of the head weights is {self.temperature}, but must be above 0."
            )
        if self.chunk is not None and self.chunk < 1:
            raise ModelError(f"The chunk of query rows is {self.chunk}, but must be at least 1.")
        if self.pool is not None and self.pool < 1:
            raise ModelError(f"Maps pooled into {self.pool} groups hold nothing: give a pool of at least 1.")

    def rows_mask(self, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """Which queries count, [batch, tokens].

        Args:
            attention_mask: 0 at padding, [batch, tokens].
            labels: the token itself where it belongs to the answer and -100 elsewhere, [batch, tokens].
        """
        real = attention_mask.bool()
        if self.rows == "all":
            return real
        predicting = torch.zeros_like(real)
        predicting[:, :-1] = labels[:, 1:] != -100
        return real & predicting

    def columns_mask(self, attention_mask: Tensor, image_tokens: Tensor) -> Tensor:
        """Which keys count, [batch, tokens].

        Args:
            attention_mask: 0 at padding, [batch, tokens].
            image_tokens: whether a token stands for a piece of an image, [batch, tokens].
        """
        real = attention_mask.bool()
        return real if self.columns == "all" else real & image_tokens.bool()


def attention_distillation(
    student: Sequence[TappedLayer],
    teacher: Sequence[TappedLayer | PooledLayer],
    pairs: Sequence[tuple[int, int]],
    rows_mask: Tensor,
    columns_mask: Tensor,
    config: AttentionDistillation,
) -> Tensor:
    """The attention loss of a batch, a scalar of float32 (of float64 where the student is).

    A key that one of the two models must not look at, as one outside of a sliding window, counts for neither.
    A sample in which no query counts adds 0 to the mean over samples.

    Args:
        student: tapped layers of the student, in any order.
        teacher: tapped layers of the teacher, which ran on the same tokens; perhaps on another device. Where
            the options say `pool`, they may be pooled already.
        pairs: numbers of the student's and the teacher's layer, as `pair_layers` makes them.
        rows_mask: which queries count, [batch, tokens]; none of padding.
        columns_mask: which keys count, [batch, tokens]; none of padding.
        config: the options. Its `rows` and `columns` have made the masks.

    Raises:
        ModelError: student and teacher saw sequences of different shapes.
    """
    students = {layer.number: layer for layer in student}
    teachers = {layer.number: layer for layer in teacher}
    # Even where no row counts, the loss is joined to the student, with a gradient of 0.
    total = 0.0 * students[pairs[0][0]].queries.sum().float()
    extents = extents_of(rows_mask, columns_mask)
    for student_number, teacher_number in pairs:
        student_layer, teacher_layer = students[student_number], teachers[teacher_number]
        if isinstance(teacher_layer, TappedLayer):
            teacher_layer = _constant(teacher_layer, student_layer.queries.device)
            _require_same_tokens(student_layer, teacher_layer, rows_mask)
        if config.pool is not None:
            student_maps, teacher_maps = (
                layer
                if isinstance(layer, PooledLayer)
                else pool_layer(layer, rows_mask, columns_mask, config.pool, config.chunk, extents)
                for layer in (student_layer, teacher_layer)
            )
            total = total + pooled_loss(student_maps, teacher_maps, config.temperature, config.similarity)
            continue
        assert isinstance(teacher_layer, TappedLayer), "pooled maps are compared with pooled maps"
        pair = LayerPair(student_layer, teacher_layer, rows_mask, columns_mask, extents)
        for blocks in blocks_of(pair, config.chunk):
            total = total + _samples_loss(pair, blocks, config.temperature, config.similarity)
    return total / (len(pairs) * len(rows_mask))


def _samples_loss(pair: LayerPair, blocks: list[Block], temperature: float, similarity: Similarity) -> Tensor:
    """The losses of some samples, added up."""
    found = [recomputed(_overlap, pair, block) for block in blocks]
    rows = torch.stack([count for _, count in found]).sum(0).clamp_min(1)
    overlap = torch.stack([products for products, _ in found]).sum(0)
    weights = head_weights(overlap, rows, temperature, similarity)
    parts = [recomputed(_divergence, pair, block, weights) for block in blocks]
    return (torch.stack(parts).sum(0) / rows).sum()


def _overlap(pair: LayerPair, block: Block) -> tuple[Tensor, Tensor]:
    """Inner products of the block's rows, [samples, teacher's heads, student's heads], and their number."""
    student_maps, teacher_maps, count = maps_of_both(pair, block)
    return inner_products(student_maps, teacher_maps), count


def _divergence(pair: LayerPair, block: Block, weights: Tensor) -> Tensor:
    """KL divergence of the block's rows from the weighted heads, summed over rows and heads, [samples]."""
    student_maps, teacher_maps, _ = maps_of_both(pair, block)
    return divergence_of_mixture(student_maps, teacher_maps, weights)


def _constant(layer: TappedLayer, device: torch.device) -> TappedLayer:
    """A layer without gradient, on a device."""
    return replace(
        layer,
        queries=layer.queries.detach().to(device),
        keys=layer.keys.detach().to(device),
        mask=None if layer.mask is None else layer.mask.to(device),
    )


def _require_same_tokens(student_layer: TappedLayer, teacher_layer: TappedLayer, rows_mask: Tensor) -> None:
    shapes = [(layer.queries.shape[0], layer.queries.shape[2]) for layer in (student_layer, teacher_layer)]
    if shapes[0] != shapes[1] or shapes[0] != tuple(rows_mask.shape):
        raise ModelError(
            "Attention maps of different sequences cannot be compared: the student saw "
            f"{_described(shapes[0])}, the teacher {_described(shapes[1])}, and the batch has "
            f"{_described(tuple(rows_mask.shape))}. Both need the same tokens: a teacher of the student's "
            "family, and no adapter that adds tokens (prompt tuning)."
        )


def _described(shape: Sequence[int]) -> str:
    return f"{shape[0]} sequences of {shape[1]} tokens"
