"""Paired comparisons against independent references and simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.statistics.paired import (
    ComparisonError,
    design_effect,
    holm,
    paired_bootstrap,
    sign_flip_test,
)
from tests.helpers.plain_statistics import sign_flips

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(PAIRS, st.integers(1, 4))
def test_all_signs_are_flipped_in_every_combination(pairs: list[tuple[bool, bool]], of_image: int) -> None:
    a, b = np.array(pairs).T
    groups = np.arange(len(a)) // of_image
    assert sign_flip_test(a, b, groups) == pytest.approx(sign_flips(a, b, groups))
    assert sign_flip_test(a, b, groups) == pytest.approx(sign_flip_test(b, a, groups))


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(1, 7, 10 / 256), (1, 9, 12 / 1024), (5, 5, 1 - math.comb(10, 5) / 2048), (0, 1, 0.5)],
)
def test_with_one_question_an_image_it_is_mcnemars_mid_p(only_a: int, only_b: int, p: float) -> None:
    """1 against 7 is Fagerland's example: .039, where the exact form has .070."""
    a = np.array([1] * only_a + [0] * only_b + [1] * 50)
    b = np.array([0] * only_a + [1] * only_b + [1] * 50)
    assert sign_flip_test(a, b, np.arange(len(a))) == pytest.approx(p)


def test_a_step_that_an_image_takes_as_a_whole_counts_once() -> None:
    """Ten questions of one image that B repairs prove as much as one."""
    a, b = np.zeros(30, bool), np.ones(30, bool)
    assert sign_flip_test(a, b, np.repeat(np.arange(3), 10)) == pytest.approx(1 / 8)
    assert sign_flip_test(a, b, np.arange(30)) < 1e-8


def test_chance_alone_is_rejected_as_often_as_is_said_where_images_have_many_questions() -> None:
    """Images make questions hard for one system or the other; a test of questions rejects far too often."""
    random, groups = np.random.default_rng(3), np.repeat(np.arange(60), 5)
    by_image = by_question = 0
    for _ in range(400):
        shift = random.normal(0, 0.3, 60)[groups]
        a, b = random.random(300) < 0.5, random.random(300) < np.clip(0.5 + shift, 0, 1)
        by_image += sign_flip_test(a, b, groups) < 0.05
        by_question += sign_flip_test(a, b, np.arange(300)) < 0.05
    assert 0.025 <= by_image / 400 <= 0.08
    assert by_question / 400 > 0.1


def test_the_design_effect_is_that_of_the_variances() -> None:
    alone = np.array([1, 0, 0, 1, 0, 1, 1, 0], bool), np.array([0, 0, 1, 1, 0, 0, 1, 1], bool)
    assert design_effect(*alone, np.arange(8)) == pytest.approx(8 / 7)
    # Each question asked four times: the same knowledge, four times the variance that is believed.
    a, b, images = (np.repeat(each, 4) for each in (*alone, np.arange(8)))
    assert design_effect(a, b, images) == pytest.approx(4 * 8 / 7)
    assert design_effect(alone[0], alone[0], np.arange(8)) == 1.0
    with pytest.raises(ComparisonError, match="All 8 questions are of one image"):
        design_effect(*alone, np.zeros(8))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_as_its_steps_say(p_values: list[float]) -> None:
    """A comparison stays at level x where it and all smaller ones pass x over how many are left."""
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2, 0.7):
        passed: set[int] = set()
        for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[place] * (len(p_values) - rank) > level:
                break
            passed.add(place)
        assert {place for place, p in enumerate(adjusted) if p <= level} == passed
    assert all(0 <= p <= 1 and p >= own for p, own in zip(adjusted, p_values, strict=True))


def test_a_large_family_is_refused() -> None:
    with pytest.raises(ComparisonError, match=r"7 comparisons at once .* at most 6"):
        holm([0.01] * 7)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


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
    assert sign_flip_test(a, b, np.arange(1533)) < 1e-6


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
    assert sign_flip_test(empty, empty, empty) == 1.0
