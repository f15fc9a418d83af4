"""Intervals: honest about images with many questions, about few questions, and fast."""

import time

import numpy as np
import pytest
from scipy.stats import binomtest

from datamodules.statistics.intervals import score_with_intervals


def one_task(correct: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    total, _ = score_with_intervals(correct, np.zeros(len(correct), int), groups, 1)
    return total.interval


def test_questions_of_one_image_count_as_one_draw() -> None:
    """Ten copies of each verdict add no knowledge."""
    correct = np.random.default_rng(0).random(100) < 0.6
    single = one_task(correct, np.arange(100))
    copied = one_task(np.repeat(correct, 10), np.repeat(np.arange(100), 10))
    assert copied == pytest.approx(single)
    naive = one_task(np.repeat(correct, 10), np.arange(1000))
    assert naive[1] - naive[0] < 0.5 * (copied[1] - copied[0])


def test_close_to_the_binomial_interval_when_images_have_one_question() -> None:
    correct = np.arange(1533) < 640
    low, high = one_task(correct, np.arange(1533))
    assert (high - low) / 2 == pytest.approx(1.96 * 1.26, rel=0.08)


@pytest.mark.parametrize("images", [1, 3, 40])
@pytest.mark.parametrize("right", [False, True])
def test_where_all_are_alike_the_bound_is_clopper_and_pearsons_over_images(images: int, right: bool) -> None:
    answers = np.full(2 * images, right)
    expected = binomtest(images if right else 0, images).proportion_ci(method="exact")
    found = one_task(answers, np.repeat(np.arange(images), 2))
    assert found == pytest.approx((100 * expected.low, 100 * expected.high))


def test_the_mean_over_tasks_weighs_tasks_alike() -> None:
    correct = np.array([1] * 90 + [0] * 10)
    tasks = np.array([0] * 90 + [2] * 10)
    total, by_task = score_with_intervals(correct, tasks, np.arange(100), 3)
    assert (total.score, total.n) == (50.0, 100)
    assert [score.score for score in by_task] == [100, 0, 0]
    assert by_task[1].n == 0
    assert total.interval[0] < 50 < total.interval[1]


def test_the_seed_makes_it_reproducible_and_it_is_fast() -> None:
    generator = np.random.default_rng(1)
    arguments = (
        generator.random(2000) < 0.7,
        generator.integers(4, size=2000),
        generator.integers(310, size=2000),
        4,
    )
    started = time.perf_counter()
    first = score_with_intervals(*arguments)
    assert time.perf_counter() - started < 1
    assert score_with_intervals(*arguments) == first
