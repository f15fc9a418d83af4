"""Pooled maps against the formula written loop by loop in float64, and against the loss of whole maps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.head_mixture import Similarity
from lightning_modules.distillation.attention.loss import AttentionDistillation, attention_distillation
from lightning_modules.distillation.attention.pooled import pool_layer
from lightning_modules.distillation.attention.tap import TappedLayer
from tests.helpers.attention_maps import (
    assert_same,
    everything,
    gradients,
    layer,
    padding_mask,
    plain_map,
)
from tests.helpers.sums import sum_of


def stretches(number: int, groups: int) -> list[range]:
    """The places of each group, in order: its share of the row from left to right, ends rounded up."""
    ends = [-(-group * number // groups) for group in range(groups + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(ends)]


def plain_pooled(tapped: TappedLayer, sample: int, rows: list[int], columns: list[int], size: int) -> Tensor:
    """The pooled maps of all heads of one sample, [heads, groups, groups]."""
    queries, keys = tapped.queries[sample].double(), tapped.keys[sample].double()

    def looks(row: int, column: int) -> bool:
        return column <= row if tapped.mask is None else bool(tapped.mask[sample, 0, row, column])

    rows = [row for row in rows if any(looks(row, column) for column in columns)]
    heads = []
    for head in range(len(queries)):
        whole = []
        for row in rows:
            seen = [column for column in columns if looks(row, column)]
            shares = dict(zip(seen, plain_map(queries, keys, tapped.scaling, row, head, seen), strict=True))
            nothing = torch.zeros((), dtype=torch.float64)
            whole.append([shares.get(column, nothing) for column in columns])
        heads.append(
            torch.stack(
                [
                    torch.stack(
                        [
                            sum(whole[place][other] for place in some for other in others) / len(some)
                            for others in stretches(len(columns), min(size, len(columns)))
                        ]
                    )
                    for some in stretches(len(rows), min(size, len(rows)))
                ]
            )
        )
    return torch.stack(heads)


def plain_loss(
    student: TappedLayer,
    teacher: TappedLayer,
    rows_mask: Tensor,
    columns_mask: Tensor,
    size: int,
    temperature: float,
    similarity: Similarity,
) -> Tensor:
    """The published formula on pooled maps, averaged over samples."""
    total = torch.zeros((), dtype=torch.float64)
    for sample in range(len(rows_mask)):
        chosen_rows, chosen_columns = (
            mask[sample].nonzero()[:, 0].tolist() for mask in (rows_mask, columns_mask)
        )
        ours = plain_pooled(student, sample, chosen_rows, chosen_columns, size)
        theirs = plain_pooled(teacher, sample, chosen_rows, chosen_columns, size).detach()
        rows = ours.shape[1]
        for wanted in theirs:
            products = torch.stack([(wanted * head).sum() for head in ours])
            products = products / rows if similarity == "mean" else products
            weights = torch.softmax(products / temperature, 0)
            mixture = sum(weight * head for weight, head in zip(weights, ours, strict=True))
            some = wanted > 0
            total = total + (wanted[some] * (wanted[some].log() - mixture[some].log())).sum() / rows
    return total / len(rows_mask)


@settings(max_examples=12, deadline=None)
@given(
    heads=st.sampled_from([(1, 1), (4, 2)]),
    teacher_heads=st.sampled_from([(3, 1), (2, 2)]),
    tokens=st.integers(1, 9),
    size=st.integers(1, 10),
    chunk=st.integers(1, 10),
    temperature=st.sampled_from([1.0, 0.1]),
    similarity=st.sampled_from(["sum", "mean"]),
)
def test_it_is_the_published_formula_on_pooled_maps(
    heads: tuple[int, int],
    teacher_heads: tuple[int, int],
    tokens: int,
    size: int,
    chunk: int,
    temperature: float,
    similarity: Similarity,
) -> None:
    ours = layer(1, heads=heads[0], key_heads=heads[1], tokens=tokens, exact=True)
    theirs = layer(2, heads=teacher_heads[0], key_heads=teacher_heads[1], tokens=tokens, exact=True)
    masks = (everything(ours), everything(ours))
    config = AttentionDistillation(similarity=similarity, temperature=temperature, chunk=chunk, pool=size)
    made = attention_distillation([ours], [theirs], [(0, 0)], *masks, config)
    assert made.dtype == torch.float64
    assert_same(made, plain_loss(ours, theirs, *masks, size, temperature, similarity), ours, 1e-10)


@pytest.mark.parametrize("pool", [11, 40])
def test_with_as_many_groups_as_tokens_it_is_the_loss_of_whole_maps(pool: int) -> None:
    ours, theirs = layer(1, batch=2, tokens=11), layer(2, batch=2, tokens=11, heads=6)
    rows, columns = everything(ours), everything(ours)
    rows[0, :4] = False
    columns[1, 2:5] = False
    whole = AttentionDistillation(chunk=3)
    made, wanted = (
        attention_distillation([ours], [theirs], [(0, 0)], rows, columns, config)
        for config in (replace(whole, pool=pool), whole)
    )
    assert_same(made, wanted, ours, 1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_counts_nowhere(side: str) -> None:
    real = torch.zeros(3, 11, dtype=torch.bool)
    for row, length in zip(real, (11, 4, 7), strict=True):
        row[-length:] = side == "left"
        row[:length] |= side == "right"
    mask = padding_mask(real)
    ours, theirs = layer(1, batch=3, tokens=11, mask=mask), layer(2, batch=3, tokens=11, heads=6, mask=mask)
    config = AttentionDistillation(chunk=3, pool=3)
    made = attention_distillation([ours], [theirs], [(0, 0)], real, real, config)
    alone = []
    for sample in range(3):
        cut = [
            TappedLayer(
                0,
                whole.queries[sample : sample + 1, :, real[sample]],
                whole.keys[sample : sample + 1, :, real[sample]],
                whole.scaling,
            )
            for whole in (ours, theirs)
        ]
        masks = (everything(cut[0]), everything(cut[0]))
        alone.append(attention_distillation([cut[0]], [cut[1]], [(0, 0)], *masks, config))
    assert_same(made, sum_of(alone) / 3, ours)


@settings(max_examples=25, deadline=None)
@given(tokens=st.integers(1, 20), size=st.integers(1, 8), first=st.integers(0, 25), seed=st.integers(0, 99))
def test_every_pooled_row_is_a_distribution(tokens: int, size: int, first: int, seed: int) -> None:
    tapped = layer(seed, tokens=tokens)
    columns = everything(tapped)
    columns[:, :first] = False
    pooled = pool_layer(tapped, everything(tapped), columns, size, 4)
    rows = max(0, tokens - first)
    assert pooled.rows.tolist() == pooled.columns.tolist() == [min(size, rows)]
    assert pooled.maps.shape == (1, 4, size, size)
    sums = pooled.maps.sum(-1)[0]
    torch.testing.assert_close(sums[:, : min(size, rows)], torch.ones(4, min(size, rows)))
    assert not sums[:, min(size, rows) :].any()


def test_the_size_of_chunks_does_not_matter() -> None:
    ours, theirs = layer(1, tokens=33), layer(2, tokens=33, heads=6)
    masks = (everything(ours), everything(ours))
    first, *others = [
        attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation(chunk=chunk, pool=5))
        for chunk in (1, 7, 500, None)
    ]
    for other in others:
        assert other.item() == pytest.approx(first.item(), rel=1e-5)
    wanted = gradients(first, ours)
    for other in others:
        for one, two in zip(gradients(other, ours), wanted, strict=True):
            assert (one - two).norm() <= 1e-5 * two.norm()


def test_no_more_than_a_chunk_of_maps_is_kept_for_the_backward_pass() -> None:
    tokens, chunk = 128, 16
    ours, theirs = layer(1, tokens=tokens), layer(2, tokens=tokens)
    masks = (everything(ours), everything(ours))
    kept: list[int] = []

    def pack(tensor: Tensor) -> None:
        kept.append(tensor.numel())

    def unpack(_: None) -> Tensor:
        raise AssertionError("nothing goes backward here")

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation(chunk=chunk, pool=4))
    assert max(kept, default=0) < chunk * tokens


def test_a_batch_without_rows_costs_nothing_and_still_has_a_gradient() -> None:
    ours, theirs = layer(1, batch=2), layer(2, batch=2)
    nothing = torch.zeros(2, 9, dtype=torch.bool)
    loss = attention_distillation(
        [ours], [theirs], [(0, 0)], nothing, ~nothing, AttentionDistillation(pool=3)
    )
    assert loss.item() == 0.0
    loss.backward()
    assert ours.queries.grad is not None
    assert float(ours.queries.grad.abs().sum()) == 0.0


def test_maps_of_other_groups_and_a_pool_of_nothing_are_refused() -> None:
    ours, theirs = layer(1), layer(2)
    rows = everything(ours)
    fewer = rows.clone()
    fewer[:, 2:] = False
    pooled = pool_layer(theirs, fewer, rows, 4, 8)
    with pytest.raises(ModelError, match=r"student's maps have \[4\] groups of rows, the teacher's \[2\]"):
        attention_distillation([ours], [pooled], [(0, 0)], rows, rows, AttentionDistillation(pool=4))
    with pytest.raises(ModelError, match="give a pool of at least 1"):
        AttentionDistillation(pool=0)
