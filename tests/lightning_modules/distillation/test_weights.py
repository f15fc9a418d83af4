"""Weights that change in the course of the training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.base import ModelError
from lightning_modules.distillation.logits.loss import LogitDistillation, LogitLossError, weighted
from lightning_modules.distillation.weights import Ramp, weight_at

SHARES = st.floats(0, 1)


@given(st.floats(-10, 10), SHARES)
def test_a_number_stays_what_it_is(weight: float, progress: float) -> None:
    assert weight_at(weight, progress) == weight


@given(st.floats(-10, 10), st.floats(-10, 10), st.tuples(SHARES, SHARES).map(sorted), SHARES)
def test_a_ramp_is_flat_then_straight_then_flat(
    start: float, end: float, course: list[float], progress: float
) -> None:
    after, until = course
    ramp = Ramp(start, end, after, until)
    found = weight_at(ramp, progress)
    assert min(start, end) - 1e-9 <= found <= max(start, end) + 1e-9
    if progress >= until:
        assert found == end
    elif progress <= after:
        assert found == start
    else:
        # The line through both corners, by the two-point form.
        assert (found - start) * (until - after) == pytest.approx(
            (end - start) * (progress - after), abs=1e-6
        )


@pytest.mark.parametrize("course", [(0.5, 0.4), (-0.1, 1.0), (0.0, 1.1)])
def test_a_course_outside_of_the_training_is_refused(course: tuple[float, float]) -> None:
    with pytest.raises(ModelError, match="two shares from 0 to 1"):
        Ramp(1.0, 0.0, *course)


def test_alpha_can_go_from_answers_to_the_teacher() -> None:
    import torch

    config = LogitDistillation(alpha=Ramp(1.0, 0.25), temperature=2.0)
    terms = {"cross_entropy": torch.tensor(3.0), "divergence": torch.tensor(5.0)}
    for progress, alpha in ((0.0, 1.0), (0.5, 0.625), (1.0, 0.25)):
        found = weighted(terms, config, progress)
        assert found["cross_entropy"].item() == pytest.approx(alpha * 3)
        assert found["divergence"].item() == pytest.approx((1 - alpha) * 4 * 5)


def test_an_alpha_that_leaves_its_range_is_refused() -> None:
    with pytest.raises(LogitLossError, match=r"alpha is 1\.5"):
        LogitDistillation(alpha=Ramp(0.5, 1.5))
