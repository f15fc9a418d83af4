"""Attention distillation: what the teacher's heads look at, found again in a mixture of the student's heads.

For a pair of layers, with t_i the attention map of the teacher's head i and s_j that of the student's head j:

    sum_i KL(t_i || sum_j w_ij s_j),    w_ij = softmax_j(<t_i, s_j> / temperature)

A map is a distribution over keys for each query. The inner product of two maps is the mean, over the query
rows that count, of the inner products of their rows, and so is the divergence. The former lies in [0, 1]
whatever the number of tokens; there is one weight for each pair of heads and each sample. At the published
temperature of 1, a student's head is therefore at most e times as heavy as another. The loss is summed over
the teacher's heads, and averaged over rows, pairs of layers, and samples. Gradients flow through maps and
weights into the student's queries and keys.

Maps are computed from queries and keys in chunks of query rows, once for the weights and once for the
divergence, and again in the backward pass. No more than one chunk's maps stand in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention_tap import Positions, TappedLayer, attention_maps


@dataclass(frozen=True)
class AttentionDistillation:
    """How attention is distilled; the defaults are the published formula.

    Attributes:
        temperature: of the head weights; below 1, like heads find each other more sharply.
        rows: the queries whose maps count: `all` that are not padding, or those of the `answer`, where a
            token of the answer is predicted.
        columns: the keys at which maps are compared: `all` that are not padding, or those of the `image`,
            with each row scaled to sum to 1 over them. Queries that see no such key do not count.
        chunk: query rows whose maps are in memory at a time; changes neither loss nor gradient.
    """

    temperature: float = 1.0
    rows: Literal["all", "answer"] = "all"
    columns: Literal["all", "image"] = "all"
    chunk: int = 128

    def __post_init__(self) -> None:
        """Raise `ModelError` where a number makes no sense."""
        if not self.temperature > 0:
            raise ModelError(
                f"The temperature of the head weights is {self.temperature}, but must be above 0."
            )
        if self.chunk < 1:
            raise ModelError(f"The chunk of query rows is {self.chunk}, but must be at least 1.")

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
            image_tokens: whether a token stands for a piece of a picture, [batch, tokens].
        """
        real = attention_mask.bool()
        return real if self.columns == "all" else real & image_tokens.bool()


@dataclass(frozen=True)
class _Block:
    """Some query rows of a sample, and the columns that at least one of them looks at."""

    sample: int
    rows: Positions
    columns: Positions
    count: int


def attention_distillation(
    student: Sequence[TappedLayer],
    teacher: Sequence[TappedLayer],
    pairs: Sequence[tuple[int, int]],
    rows_mask: Tensor,
    columns_mask: Tensor,
    config: AttentionDistillation,
    count: Tensor | float | None = None,
) -> Tensor:
    """The attention loss of a batch, a scalar of float32 (of float64 where the student is).

    A key that one of the two models must not look at, as one outside of a sliding window, counts for neither.
    A sample in which no query counts adds 0 to the mean over samples.

    Args:
        student: tapped layers of the student, in any order.
        teacher: tapped layers of the teacher, which ran on the same tokens; perhaps on another device.
        pairs: numbers of the student's and the teacher's layer, as `pair_layers` makes them.
        rows_mask: which queries count, [batch, tokens]; none of padding.
        columns_mask: which keys count, [batch, tokens]; none of padding.
        config: the options. Its `rows` and `columns` have made the masks.
        count: what the sum over samples is divided by, instead of their number: the mean number of samples of
            the processes, where several make one step.

    Raises:
        ModelError: student and teacher saw sequences of different shapes.
    """
    students = {layer.number: layer for layer in student}
    teachers = {layer.number: layer for layer in teacher}
    blocks: dict[Any, list[list[_Block]]] = {}
    # Even where no row counts, the loss is joined to the student, with a gradient of 0.
    total = 0.0 * students[pairs[0][0]].queries.sum().float()
    for student_layer, teacher_layer in pairs:
        ours = students[student_layer]
        theirs = _constant(teachers[teacher_layer], ours.queries.device)
        _require_same_tokens(ours, theirs, rows_mask)
        seen = (id(ours.mask), ours.causal, id(teachers[teacher_layer].mask), theirs.causal)
        if seen not in blocks:
            blocks[seen] = _blocks(ours, theirs, rows_mask, columns_mask, config.chunk)
        for of_sample in filter(None, blocks[seen]):
            total = total + _sample_loss(ours, theirs, of_sample, config.temperature)
    return total / (len(pairs) * (len(rows_mask) if count is None else count))


def _sample_loss(ours: TappedLayer, theirs: TappedLayer, blocks: list[_Block], temperature: float) -> Tensor:
    rows = sum(block.count for block in blocks)
    overlap = torch.stack([_recomputed(_overlap, ours, theirs, block) for block in blocks]).sum(0) / rows
    weights = (overlap / temperature).softmax(-1)
    parts = [_recomputed(_divergence, ours, theirs, block, weights) for block in blocks]
    return torch.stack(parts).sum() / rows


def _overlap(ours: TappedLayer, theirs: TappedLayer, block: _Block) -> Tensor:
    """Inner products of the block's rows, added up, [teacher's heads, student's heads]."""
    maps, wanted = _maps_of_both(ours, theirs, block)
    return wanted.flatten(1) @ maps.flatten(1).T


def _divergence(ours: TappedLayer, theirs: TappedLayer, block: _Block, weights: Tensor) -> Tensor:
    """KL divergence of the block's rows from the weighted heads, summed over rows and the teacher's heads."""
    maps, wanted = _maps_of_both(ours, theirs, block)
    mixture = (weights @ maps.flatten(1)).view_as(wanted)
    # Shares that have underflowed to 0 count as the smallest number, which keeps the divergence finite.
    smallest = torch.finfo(mixture.dtype).tiny
    surprise = wanted.clamp_min(smallest).log() - mixture.clamp_min(smallest).log()
    return (wanted * surprise).sum()


def _maps_of_both(ours: TappedLayer, theirs: TappedLayer, block: _Block) -> tuple[Tensor, Tensor]:
    """The student's and the teacher's maps in a block, [heads, rows, columns] each."""
    visible = _visible_to_both(ours, theirs, block.sample, block.rows, block.columns)
    maps, wanted = (
        attention_maps(
            layer.queries[block.sample, :, block.rows],
            layer.keys[block.sample, :, block.columns],
            visible,
            layer.scaling,
        )
        for layer in (ours, theirs)
    )
    return maps, wanted.to(maps.dtype)


def _recomputed(function: Any, *arguments: Any) -> Tensor:
    """Call a function of a block, in full precision, and forget what it would keep for the backward pass."""

    def call() -> Tensor:
        with torch.autocast(arguments[0].queries.device.type, enabled=False):
            result: Tensor = function(*arguments)
        return result

    result: Tensor = checkpoint(call, use_reentrant=False, preserve_rng_state=False)
    return result


def _blocks(
    ours: TappedLayer, theirs: TappedLayer, rows_mask: Tensor, columns_mask: Tensor, chunk: int
) -> list[list[_Block]]:
    """The blocks of every sample: only rows that count and columns that a row of the block looks at."""
    samples: list[list[_Block]] = []
    for sample in range(len(rows_mask)):
        columns = columns_mask[sample].nonzero()[:, 0]
        blocks = []
        for rows in rows_mask[sample].nonzero()[:, 0].split(chunk):
            visible = _visible_to_both(ours, theirs, sample, rows, columns)
            rows, used = rows[visible.any(1)], visible.any(0).nonzero()[:, 0]
            if len(rows):
                looked_at = columns[int(used[0]) : int(used[-1]) + 1]
                blocks.append(_Block(sample, _compact(rows), _compact(looked_at), len(rows)))
        samples.append(blocks)
    return samples


def _visible_to_both(
    ours: TappedLayer, theirs: TappedLayer, sample: int, rows: Positions, columns: Positions
) -> Tensor:
    visible = ours.visible(sample, rows, columns)
    if ours.mask is None and theirs.mask is None and ours.causal == theirs.causal:
        return visible
    return visible & theirs.visible(sample, rows, columns)


def _compact(positions: Tensor) -> Positions:
    """Ascending positions as a range where they are one, which takes a view instead of a copy."""
    first, last = int(positions[0]), int(positions[-1])
    return slice(first, last + 1) if last - first + 1 == len(positions) else positions


def _constant(layer: TappedLayer, device: torch.device) -> TappedLayer:
    """A layer without gradient, on a device."""
    return replace(
        layer,
        queries=layer.queries.detach().to(device),
        keys=layer.keys.detach().to(device),
        mask=None if layer.mask is None else layer.mask.to(device),
    )


def _require_same_tokens(ours: TappedLayer, theirs: TappedLayer, rows_mask: Tensor) -> None:
    shapes = [(layer.queries.shape[0], layer.queries.shape[2]) for layer in (ours, theirs)]
    if shapes[0] != shapes[1] or shapes[0] != tuple(rows_mask.shape):
        raise ModelError(
            "Attention maps of different sequences cannot be compared: the student saw "
            f"{_described(shapes[0])}, the teacher {_described(shapes[1])}, and the batch has "
            f"{_described(tuple(rows_mask.shape))}. Both need the same tokens: a teacher of the student's "
            "family, and no adapter that adds tokens (prompt tuning)."
        )


def _described(shape: Sequence[int]) -> str:
    return f"{shape[0]} sequences of {shape[1]} tokens"
