"""Paired comparisons against independent references and simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.statistics.paired import mcnemar, paired_bootstrap

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(PAIRS)
def test_mcnemar_equals_the_sum_of_binomial_probabilities(pairs: list[tuple[bool, bool]]) -> None:
    """Written down from its definition: both tails of a fair coin's throws."""
    a, b = np.array(pairs).T
    only_a, only_b = sum(x and not y for x, y in pairs), sum(y and not x for x, y in pairs)
    thrown = only_a + only_b
    tail = sum(math.comb(thrown, k) for k in range(min(only_a, only_b) + 1)) / 2**thrown
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_of_a_textbook_table() -> None:
    """Of 10 questions that tell A and B apart, 1 falls to A: 2 * (1 + 10) / 1024."""
    a = np.array([1] * 1 + [0] * 9 + [1] * 50)
    b = np.array([0] * 1 + [1] * 9 + [1] * 50)
    assert mcnemar(a, b) == pytest.approx(22 / 1024)


@given(PAIRS)
def test_the_difference_is_that_of_the_accuracies_and_changes_sign(pairs: list[tuple[bool, bool]]) -> None:
    a, b = np.array(pairs).T
    groups = np.arange(len(a)) // 2
    there, back = paired_bootstrap(a, b, groups, 200), paired_bootstrap(b, a, groups, 200)
    assert there.difference == pytest.approx(100 * (b.mean() - a.mean()))
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    low, high = there.interval
    assert -100 - 1e-9 <= low <= there.difference + 1e-9
    assert there.difference - 1e-9 <= high <= 100 + 1e-9


def test_pairs_make_a_small_difference_visible() -> None:
    """B repairs 3 % of A's answers and breaks none: hidden between two separate intervals."""
    random = np.random.default_rng(0)
    a = random.random(1533) < 0.42
    b = a | (random.random(1533) < 0.05)
    paired = paired_bootstrap(a, b, np.arange(1533))
    gained = (b & ~a).mean()
    deviation = 100 * math.sqrt(gained * (1 - gained) / 1533)
    assert paired.interval == pytest.approx(
        (100 * gained - 1.96 * deviation, 100 * gained + 1.96 * deviation), abs=0.15
    )
    assert paired.interval[0] > 0
    assert mcnemar(a, b) < 1e-6


def test_the_interval_covers_the_truth_as_often_as_it_says_where_images_have_many_questions() -> None:
    """Both systems are equally good on average, and B is better on some images and worse on others."""
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(80), 6)
    clustered = alone = 0
    for seed in range(200):
        shift = random.normal(0, 0.25, 80)[groups]
        a = random.random(480) < 0.5
        b = random.random(480) < 0.5 + np.clip(shift, -0.5, 0.5)
        low, high = paired_bootstrap(a, b, groups, 400, seed).interval
        clustered += low <= 0 <= high
        low, high = paired_bootstrap(a, b, np.arange(480), 400, seed).interval
        alone += low <= 0 <= high
    assert 0.90 <= clustered / 200 <= 0.99
    assert alone < clustered


@pytest.mark.parametrize(
    ("a", "b", "interval"), [(1, 1, (-30.85, 30.85)), (0, 1, (100 - 2 * 30.85, 100)), (1, 0, (-100, -38.3))]
)
def test_no_certainty_from_ten_equal_pairs(a: int, b: int, interval: tuple[float, float]) -> None:
    """Three questions about an image say no more than one."""
    for copies in (1, 3):
        groups = np.repeat(np.arange(10), copies)
        paired = paired_bootstrap(np.full(10 * copies, a), np.full(10 * copies, b), groups)
        assert paired.interval == pytest.approx(interval, abs=0.01)


def test_nothing_to_compare() -> None:
    empty = np.zeros(0, bool)
    assert paired_bootstrap(empty, empty, empty).interval == (0.0, 0.0)
    assert mcnemar(empty, empty) == 1.0
