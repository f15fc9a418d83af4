"""Intervals of quantiles by order statistics: the published ranks, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from datamodules.statistics.quantile_intervals import (
    fewest_for_upper_bound,
    interval_ranks,
    quantile_of,
)


@pytest.mark.parametrize(
    ("n", "q", "ranks"),
    [
        *((60, 0.95, (52, 60)), (100, 0.95, (90, 99)), (200, 0.95, (183, 196)), (500, 0.95, (464, 484))),
        *((100, 0.5, (40, 60)), (200, 0.5, (86, 114))),
    ],
)
def test_the_ranks_are_those_of_the_binomial_distribution(n: int, q: float, ranks: tuple[int, int]) -> None:
    assert interval_ranks(n, q) == ranks
    low, high = ranks
    # Counted out: between low and high - 1 of the values lie below the quantile.
    assert binom.pmf(np.arange(low, high), n, q).sum() >= 0.95
    assert binom.pmf(np.arange(low + 1, high), n, q).sum() < 0.95
    assert binom.pmf(np.arange(low, high - 1), n, q).sum() < 0.95


def test_too_few_values_bound_nothing() -> None:
    assert fewest_for_upper_bound(0.95) == 59
    assert interval_ranks(58, 0.95) is None and interval_ranks(60, 0.95) is not None
    assert interval_ranks(5, 0.5) is None and interval_ranks(6, 0.5) == (1, 6)
    assert interval_ranks(1, 0.5) is None
    assert quantile_of([3.0], 0.5).value == 3 and quantile_of([3.0], 0.5).interval is None


def test_a_quantile_is_a_value_that_was_there() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert quantile_of(values, 0.5).value == 3
    assert quantile_of(values, 0.95).value == 5
    assert quantile_of([1.0, 2.0], 0.5).value == 1
    assert quantile_of(np.arange(1.0, 21.0).tolist(), 0.95).value == 19  # numpy interpolates to 19.05
    assert quantile_of(np.arange(1.0, 101.0).tolist(), 0.95).value == 95
    assert quantile_of(np.arange(1.0, 101.0).tolist(), 0.95).interval == (90, 99)


@pytest.mark.parametrize(("n", "q"), [(100, 0.95), (200, 0.95), (60, 0.5)])
def test_the_intervals_hold_the_quantile_as_often_as_they_say(n: int, q: float) -> None:
    """Of log-normal times, as waiting for machines has them; counted by the values and not by the formula."""
    ranks = interval_ranks(n, q)
    assert ranks is not None
    drawn = np.sort(np.random.default_rng(0).lognormal(sigma=1.5, size=(20_000, n)), axis=1)
    truth = np.quantile(np.random.default_rng(1).lognormal(sigma=1.5, size=2_000_000), q)
    held = np.mean((drawn[:, ranks[0] - 1] <= truth) & (truth <= drawn[:, ranks[1] - 1]))
    low, high = ranks
    assert held == pytest.approx(binom.pmf(np.arange(low, high), n, q).sum(), abs=0.006)
    assert held >= 0.945
    # One rank less at either end holds it too seldom.
    for narrower in ((low + 1, high), (low, high - 1)):
        less = np.mean((drawn[:, narrower[0] - 1] <= truth) & (truth <= drawn[:, narrower[1] - 1]))
        assert less < held
