"""The attention loss against the formula written loop by loop in float64, which shares no code with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.head_mixture import Similarity, head_weights, inner_products
from lightning_modules.distillation.attention.loss import AttentionDistillation, attention_distillation
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


def plain_sample(
    ours: TappedLayer,
    theirs: TappedLayer,
    sample: int,
    rows: list[int],
    columns: list[int],
    temperature: float,
    similarity: Similarity,
) -> Tensor:
    """The published formula for one sample and one pair of layers."""
    student = (ours.queries[sample].double(), ours.keys[sample].double(), ours.scaling)
    teacher = (
        theirs.queries[sample].double().detach(),
        theirs.keys[sample].double().detach(),
        theirs.scaling,
    )
    maps = []
    for row in rows:
        seen = [
            column
            for column in columns
            if all(
                column <= row if side.mask is None else bool(side.mask[sample, 0, row, column])
                for side in (ours, theirs)
            )
        ]
        if seen:
            maps.append(
                [
                    [plain_map(*side, row, head, seen) for head in range(len(side[0]))]
                    for side in (teacher, student)
                ]
            )
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(teacher[0])):
        products = [sum_of((t[i] * s[j]).sum() for t, s in maps) for j in range(len(student[0]))]
        if similarity == "mean":
            products = [product / len(maps) for product in products]
        powers = [(product / temperature).exp() for product in products]
        weights = [power / sum(powers) for power in powers]
        for t, s in maps:
            mixture = sum_of(weight * s[j] for j, weight in enumerate(weights))
            total = total + (t[i] * (t[i].log() - mixture.log())).sum() / len(maps)
    return total


def plain_loss(
    student: Sequence[TappedLayer],
    teacher: Sequence[TappedLayer],
    pairs: list[tuple[int, int]],
    rows_mask: Tensor,
    columns_mask: Tensor,
    temperature: float = 1.0,
    similarity: Similarity = "sum",
) -> Tensor:
    samples = range(len(rows_mask))
    losses = [
        plain_sample(
            student[ours],
            teacher[theirs],
            sample,
            rows_mask[sample].nonzero()[:, 0].tolist(),
            columns_mask[sample].nonzero()[:, 0].tolist(),
            temperature,
            similarity,
        )
        for ours, theirs in pairs
        for sample in samples
    ]
    return sum_of(losses) / len(losses)


@settings(max_examples=15, deadline=None)
@given(
    key_heads=st.integers(1, 2),
    shared=st.integers(1, 3),
    teacher_heads=st.sampled_from([(1, 1), (3, 1), (4, 2), (5, 5)]),
    tokens=st.integers(1, 10),
    chunk=st.integers(1, 12),
    temperature=st.sampled_from([1.0, 0.1, 3.0]),
    similarity=st.sampled_from(["sum", "mean"]),
)
def test_it_is_the_published_formula(
    key_heads: int,
    shared: int,
    teacher_heads: tuple[int, int],
    tokens: int,
    chunk: int,
    temperature: float,
    similarity: Similarity,
) -> None:
    """In float64, where gradients that cancel each other leave no rounding behind."""
    ours = layer(1, heads=key_heads * shared, key_heads=key_heads, tokens=tokens, exact=True)
    theirs = layer(
        2, heads=teacher_heads[0], key_heads=teacher_heads[1], tokens=tokens, channels=4, exact=True
    )
    masks = (everything(ours), everything(ours))
    made = attention_distillation(
        *([ours], [theirs], [(0, 0)], *masks),
        AttentionDistillation(similarity=similarity, temperature=temperature, chunk=chunk),
    )
    assert made.dtype == torch.float64
    wanted = plain_loss([ours], [theirs], [(0, 0)], *masks, temperature, similarity)
    assert_same(made, wanted, ours, 1e-11)


def test_the_sum_tells_heads_apart_in_a_long_sequence_and_the_mean_does_not() -> None:
    """512 rows: divided by them, no head weighs more than a few hundredths more than another."""
    ours, theirs = (layer(number, heads=4, key_heads=4, tokens=512) for number in (1, 2))
    products = inner_products(ours.maps(), theirs.maps())
    rows = torch.tensor([512])
    mean, literal = (head_weights(products, rows, 1.0, similarity) for similarity in ("mean", "sum"))
    assert (mean - 0.25).abs().max() < 0.01
    assert (literal.amax(-1) - literal.amin(-1)).max() > 0.1
    torch.testing.assert_close(literal, (products - products.amax(-1, keepdim=True)).softmax(-1))
    assert torch.allclose(literal, head_weights(products, rows, 1 / 512, "mean"), atol=1e-5)


@pytest.mark.parametrize("teacher_heads", [1, 3, 6])
@pytest.mark.parametrize("student_heads", [(1, 1), (4, 4), (6, 2)])
def test_float32_is_within_a_hundred_thousandth(student_heads: tuple[int, int], teacher_heads: int) -> None:
    ours = layer(1, heads=student_heads[0], key_heads=student_heads[1], tokens=12)
    theirs = layer(2, heads=teacher_heads, key_heads=1, tokens=12)
    masks = (everything(ours), everything(ours))
    made = attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation(chunk=5))
    assert made.dtype == torch.float32
    assert_same(made, plain_loss([ours], [theirs], [(0, 0)], *masks), ours)


def test_several_layers_are_averaged_and_found_by_their_numbers() -> None:
    students = [layer(seed, number=seed) for seed in range(2)]
    teachers = [layer(10 + seed, number=seed, heads=6) for seed in range(3)]
    pairs = [(0, 0), (1, 2)]
    masks = (everything(students[0]), everything(students[0]))
    made = attention_distillation(students[::-1], teachers[::-1], pairs, *masks, AttentionDistillation())
    wanted = plain_loss(students, teachers, pairs, *masks)
    for student in students:
        assert made.item() == pytest.approx(wanted.item(), rel=1e-5)
        for mine, plain in zip(
            torch.autograd.grad(made, [student.queries, student.keys], retain_graph=True),
            torch.autograd.grad(wanted, [student.queries, student.keys], retain_graph=True),
            strict=True,
        ):
            assert (mine - plain).norm() <= 1e-5 * plain.norm()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_counts_nowhere(side: str) -> None:
    lengths = (11, 4, 7)
    real = torch.zeros(3, 11, dtype=torch.bool)
    for row, length in zip(real, lengths, strict=True):
        row[-length:] = side == "left"
        row[:length] |= side == "right"
    mask = padding_mask(real)
    ours, theirs = (
        layer(1, batch=3, tokens=11, mask=mask),
        layer(2, batch=3, tokens=11, heads=6, mask=mask),
    )
    made, again = (
        attention_distillation([ours], [theirs], [(0, 0)], real, real, AttentionDistillation(chunk=3))
        for _ in range(2)
    )
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
        alone.append(attention_distillation([cut[0]], [cut[1]], [(0, 0)], *masks, AttentionDistillation()))
    assert_same(made, sum_of(alone) / 3, ours)
    assert_same(again, plain_loss([ours], [theirs], [(0, 0)], real, real), ours)


def test_the_size_of_chunks_does_not_matter() -> None:
    ours, theirs = layer(1, tokens=33), layer(2, tokens=33, heads=6)
    masks = (everything(ours), everything(ours))
    results = [
        attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation(chunk=chunk))
        for chunk in (1, 7, 33, 500)
    ]
    for result in results[1:]:
        assert result.item() == pytest.approx(results[0].item(), rel=1e-6)
    first, *others = [gradients(result, ours) for result in results]
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert (one - two).norm() <= 1e-6 * one.norm()


def test_a_window_of_one_model_bounds_both() -> None:
    near = torch.ones(9, 9, dtype=torch.bool).tril() & torch.ones(9, 9, dtype=torch.bool).triu(-3)
    ours, theirs = layer(1), layer(2, mask=near[None, None])
    masks = (everything(ours), everything(ours))
    made = attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation(chunk=4))
    assert_same(made, plain_loss([ours], [theirs], [(0, 0)], *masks), ours)


def test_columns_of_the_image_alone_sum_to_one_and_rows_before_it_do_not_count() -> None:
    image = torch.tensor([[False, False, True, True, False, True, False, False, False]])
    ours, theirs = layer(1, heads=6), layer(2)
    config = AttentionDistillation(columns="image", chunk=2)
    rows = everything(ours)
    columns = config.columns_mask(rows, image)
    assert torch.equal(columns, image)
    made = attention_distillation([ours], [theirs], [(0, 0)], rows, columns, config)
    assert_same(made, plain_loss([ours], [theirs], [(0, 0)], rows, image), ours)
    later = rows.clone()
    later[:, :2] = False
    assert made.item() == pytest.approx(
        attention_distillation([ours], [theirs], [(0, 0)], later, columns, config).item(), rel=1e-6
    )


def test_rows_of_the_answer_are_those_that_predict_it() -> None:
    labels = torch.full((2, 9), -100)
    labels[0, 6:] = 5
    labels[1, 4] = 5
    attention_mask = torch.ones(2, 9, dtype=torch.long)
    attention_mask[1, 5:] = 0
    config = AttentionDistillation(rows="answer", chunk=2)
    rows = config.rows_mask(attention_mask, labels)
    assert rows.nonzero().tolist() == [[0, 5], [0, 6], [0, 7], [1, 3]]
    assert torch.equal(AttentionDistillation().rows_mask(attention_mask, labels), attention_mask.bool())
    ours, theirs = layer(1, batch=2), layer(2, batch=2)
    columns = config.columns_mask(attention_mask, torch.zeros(2, 9))
    assert torch.equal(columns, attention_mask.bool())
    made = attention_distillation([ours], [theirs], [(0, 0)], rows, columns, config)
    assert_same(made, plain_loss([ours], [theirs], [(0, 0)], rows, columns), ours)


def test_like_models_of_one_head_have_nothing_to_learn() -> None:
    ours = layer(1, heads=1, key_heads=1)
    theirs = layer(1, heads=1, key_heads=1)
    masks = (everything(ours), everything(ours))
    loss = attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation())
    assert loss.item() == 0.0
    assert all(float(part.abs().max()) < 1e-6 for part in gradients(loss, ours))


def test_like_heads_find_each_other_by_the_sum_or_by_a_low_temperature() -> None:
    """Not by the mean over rows at the published temperature, which all heads share in."""
    ours = layer(1, heads=4, key_heads=4, tokens=20, spread=4.0)
    theirs = TappedLayer(0, ours.queries.flip(1), ours.keys.flip(1), ours.scaling)
    masks = (everything(ours), everything(ours))
    literal, sharp, mean = (
        attention_distillation([ours], [theirs], [(0, 0)], *masks, config).item()
        for config in (
            AttentionDistillation(),
            AttentionDistillation(similarity="mean", temperature=0.01),
            AttentionDistillation(similarity="mean"),
        )
    )
    assert max(literal, sharp) < 1e-3 < mean


def test_only_the_student_gets_a_gradient() -> None:
    ours, theirs = layer(1), layer(2)
    masks = (everything(ours), everything(ours))
    attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation()).backward()
    assert theirs.queries.grad is None
    assert theirs.keys.grad is None
    for part in (ours.queries, ours.keys):
        assert part.grad is not None and part.grad.abs().sum() > 0


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_within_a_percent(autocast: bool) -> None:
    ours, theirs = layer(1, tokens=64, channels=32), layer(2, tokens=64, channels=32, heads=6)
    masks = (everything(ours), everything(ours))
    exact = attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation())
    halves = [
        TappedLayer(
            0,
            whole.queries.detach().bfloat16().requires_grad_(),
            whole.keys.detach().bfloat16().requires_grad_(),
            whole.scaling,
        )
        for whole in (ours, theirs)
    ]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        made = attention_distillation([halves[0]], [halves[1]], [(0, 0)], *masks, AttentionDistillation())
    assert made.dtype == torch.float32
    assert made.item() == pytest.approx(exact.item(), rel=1e-2)
    for mine, plain in zip(gradients(made, halves[0]), gradients(exact, ours), strict=True):
        assert (mine - plain).norm() <= 1e-2 * plain.norm()


@pytest.mark.parametrize("pool", [None, 4])
def test_autocast_leaves_the_loss_in_full_precision(pool: int | None) -> None:
    ours, theirs, config = layer(1), layer(2), AttentionDistillation(pool=pool)
    masks = (everything(ours), everything(ours))
    with torch.autocast("cpu", torch.bfloat16):
        made = attention_distillation([ours], [theirs], [(0, 0)], *masks, config)
    wanted = attention_distillation([ours], [theirs], [(0, 0)], *masks, config)
    assert made.item() == wanted.item()
    for one, two in zip(gradients(made, ours), gradients(wanted, ours), strict=True):
        assert torch.equal(one, two)


def test_a_key_that_a_head_hardly_looks_at_costs_what_it_should() -> None:
    """A share of a billionth of a billionth is still a share, with a gradient."""
    ours, theirs = layer(1, heads=1, key_heads=1, spread=3.0), layer(2, heads=1, key_heads=1)
    masks = (everything(ours), everything(ours))
    made = attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation())
    assert 1e-30 < ours.maps()[ours.maps() > 0].min() < 1e-12
    assert_same(made, plain_loss([ours], [theirs], [(0, 0)], *masks), ours)


def test_heads_that_look_elsewhere_entirely_have_a_finite_loss() -> None:
    """A student's head that gives a key nothing at all, where the teacher gives it everything."""
    ours, theirs = layer(1, spread=100.0), layer(2, spread=100.0)
    masks = (everything(ours), everything(ours))
    loss = attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation())
    assert math.isfinite(loss.item())
    assert all(torch.isfinite(part).all() for part in gradients(loss, ours))


def test_a_batch_without_rows_costs_nothing_and_still_has_a_gradient() -> None:
    ours, theirs = layer(1, batch=2), layer(2, batch=2)
    nothing = torch.zeros(2, 9, dtype=torch.bool)
    loss = attention_distillation([ours], [theirs], [(0, 0)], nothing, ~nothing, AttentionDistillation())
    assert loss.item() == 0.0
    loss.backward()
    assert ours.queries.grad is not None
    assert float(ours.queries.grad.abs().sum()) == 0.0


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
        attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation(chunk=chunk))
    assert max(kept, default=0) < chunk * tokens


@pytest.mark.parametrize("arguments", [{"temperature": 0.0}, {"temperature": -1.0}, {"chunk": 0}])
def test_options_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="but must be"):
        AttentionDistillation(**arguments)


def test_models_that_saw_different_tokens_are_refused() -> None:
    ours, theirs = layer(1, tokens=9), layer(2, tokens=10)
    masks = (everything(ours), everything(ours))
    with pytest.raises(
        ModelError, match="student saw 1 sequences of 9 tokens, the teacher 1 sequences of 10"
    ):
        attention_distillation([ours], [theirs], [(0, 0)], *masks, AttentionDistillation())


@pytest.mark.parametrize("padding_left", [True, False])
@pytest.mark.parametrize("rows", ["all", "some", "none of the first"])
def test_short_samples_taken_together_are_the_same_as_one_by_one(
    monkeypatch: pytest.MonkeyPatch, padding_left: bool, rows: str
) -> None:
    """Blocks of several samples against blocks of one, with rows, columns and padding of their own."""
    real = torch.ones(5, 9, dtype=torch.bool)
    for sample, length in enumerate((9, 4, 7, 1, 8)):
        real[sample, slice(0, 9 - length) if padding_left else slice(length, 9)] = False
    rows_mask, columns_mask = real.clone(), real.clone()
    if rows != "all":
        rows_mask &= torch.rand(5, 9, generator=torch.Generator().manual_seed(1)) < 0.6
        columns_mask &= torch.rand(5, 9, generator=torch.Generator().manual_seed(2)) < 0.7
    if rows == "none of the first":
        rows_mask[0] = False
    ours = layer(1, batch=5, mask=padding_mask(real), exact=True)
    theirs = layer(2, batch=5, heads=3, key_heads=1, mask=padding_mask(real), exact=True)
    config = AttentionDistillation(chunk=4)
    made = {}
    for cells in (1, 2 * 4 * 9, 2**19):
        monkeypatch.setattr("lightning_modules.distillation.attention.blocks.CELLS", cells)
        made[cells] = attention_distillation([ours], [theirs], [(0, 0)], rows_mask, columns_mask, config)
    assert_same(made[2 * 4 * 9], made[1], ours, 1e-12)
    made[1] = attention_distillation([ours], [theirs], [(0, 0)], rows_mask, columns_mask, config)
    assert_same(made[2**19], made[1], ours, 1e-12)
