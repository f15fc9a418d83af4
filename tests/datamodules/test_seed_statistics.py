"""Means over seeds against a plain loop, closed forms, and simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.statistics.over_seeds import bootstrap_over_seeds, seeds_test


def bootstrapped_by_a_loop(values: np.ndarray, groups: np.ndarray, resamples: int) -> tuple[float, float]:
    """One system, `[seeds, questions]`: draw seeds, draw images, take every question of both, one by one."""
    random = np.random.default_rng(7)
    images = sorted(set(groups.tolist()))
    means = []
    for _ in range(resamples):
        drawn_images = [images[number] for number in random.integers(len(images), size=len(images))]
        questions = [question for image in drawn_images for question in np.flatnonzero(groups == image)]
        drawn_seeds = random.integers(len(values), size=len(values))
        means.append(100 * sum(values[seed][questions].sum() for seed in drawn_seeds))
        means[-1] /= len(values) * len(questions)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def test_the_bootstrap_equals_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(12, size=40)  # images with different numbers of questions
    values = (random.random((2, 3, 40)) < np.array([[[0.2]] * 3, [[0.4], [0.6], [0.8]]])).astype(float)
    for system, mean in enumerate(bootstrap_over_seeds(values, groups, lowest=0, resamples=20_000)):
        assert mean.mean == pytest.approx(100 * values[system].mean())
        assert mean.interval == pytest.approx(bootstrapped_by_a_loop(values[system], groups, 4000), abs=1.5)


@pytest.mark.parametrize("seed", range(3))
def test_seeds_and_images_are_drawn_apart(seed: int) -> None:
    """Of two seeds and two images, each seed meets each image, both drawn twice, in one draw of sixteen.

    A system that is right with that seed at that image alone scores 100 then: in more than 2.5 % of draws.
    """
    values = np.eye(4).reshape(4, 2, 2)
    for mean in bootstrap_over_seeds(values, np.arange(2), lowest=0, seed=seed):
        assert (mean.mean, mean.interval) == (25, (0, 100))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(1, 8), st.integers(0, 1000))
def test_a_difference_changes_sign_with_its_runs(seeds: int, questions: int, images: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(images, size=questions)
    gained = random.integers(-1, 2, size=(1, seeds, questions)).astype(float)
    there, back = bootstrap_over_seeds(np.concatenate([gained, -gained]), groups, lowest=-1, resamples=100)
    assert there.mean == pytest.approx(-back.mean)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    low, high = there.interval
    assert -100 - 1e-9 <= low <= high <= 100 + 1e-9


def test_systems_are_drawn_alike_whatever_stands_beside_them() -> None:
    random = np.random.default_rng(1)
    values = (random.random((3, 3, 60)) < 0.5).astype(float)
    groups = np.arange(60) // 3
    together = bootstrap_over_seeds(values, groups, lowest=0)
    assert together[1] == bootstrap_over_seeds(values[1:2], groups, lowest=0)[0]


@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_no_difference_is_found_about_as_seldom_as_the_interval_says(spread: float) -> None:
    """Both systems are alike on average; images are hard for both, seeds differ a little or not at all."""
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(100), 2)
    held = 0
    for seed in range(150):
        easy = 0.5 + random.normal(0, 0.2, 100)[groups]
        a, b = (random.random((3, 200)) < easy + random.normal(0, spread, (3, 1)) for _ in range(2))
        gained = (b.astype(float) - a)[None]
        low, high = bootstrap_over_seeds(gained, groups, lowest=-1, resamples=300, seed=seed)[0].interval
        held += low <= 0 <= high
    assert held / 150 >= 0.93


def test_seeds_that_disagree_widen_the_interval() -> None:
    """The same number of right answers, once spread evenly over seeds and once not."""
    questions = np.arange(300)
    alike = np.stack([questions % 10 < 5] * 3).astype(float)
    disagreeing = np.stack([questions % 10 < share for share in (3, 5, 7)]).astype(float)
    narrow, wide = bootstrap_over_seeds(np.stack([alike, disagreeing]), questions, lowest=0)
    assert narrow.mean == wide.mean == pytest.approx(50)
    assert np.ptp(wide.interval) > 2 * np.ptp(narrow.interval)
    # No seed that is drawn lies beyond the worst and the best one.
    assert wide.interval == pytest.approx((30, 70), abs=8)


@pytest.mark.parametrize(
    ("value", "lowest", "interval"),
    [(1, 0, (69.15, 100)), (0, 0, (0, 30.85)), (0, -1, (-30.85, 30.85)), (-1, -1, (-100, -38.3))],
)
def test_no_certainty_from_ten_images_that_agree(
    value: int, lowest: int, interval: tuple[float, float]
) -> None:
    """0.025 ** (1 / 10) = 0.6915: so many images could show the same by chance."""
    for copies in (1, 3):  # of each question
        groups = np.repeat(np.arange(10), copies)
        (mean,) = bootstrap_over_seeds(np.full((1, 3, 10 * copies), float(value)), groups, lowest)
        assert mean.interval == pytest.approx(interval, abs=0.01)


def test_the_t_test_of_three_seeds() -> None:
    """With two degrees of freedom the p-value is 1 - t / sqrt(2 + t^2), here with t = 2 sqrt(3)."""
    test = seeds_test(np.array([1.0, 2.0, 3.0]))
    assert test is not None
    assert test.p_value == pytest.approx(1 - math.sqrt(12 / 14))
    assert test.interval == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


@pytest.mark.parametrize("differences", [[], [3.0], [0.0, 0.0], [2.0, 2.0, 2.0]])
def test_seeds_that_do_not_vary_are_not_tested(differences: list[float]) -> None:
    assert seeds_test(np.array(differences)) is None
