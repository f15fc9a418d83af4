"""How much may have been lost: never less than was, and as often right as it says."""

from __future__ import annotations

import numpy as np
import pytest

from datamodules.statistics.paired import FEW_LOSING, largest_loss, paired_bootstrap


def drawn(random: np.random.Generator, n: int, wrong: float, right: float) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts before and after, of which shares become wrong and right."""
    fate = random.random(n)
    before = random.random(n) < 0.7
    before = np.where(fate < wrong, True, np.where(fate < wrong + right, False, before))
    after = np.where(fate < wrong, False, np.where(fate < wrong + right, True, before))
    return before.astype(bool), after.astype(bool)


@pytest.mark.parametrize("n", [40, 60, 100, 300])
@pytest.mark.parametrize(("wrong", "right"), [(0.02, 0.0), (0.03, 0.01), (0.05, 0.03)])
def test_a_loss_of_two_points_is_seldom_called_less(n: int, wrong: float, right: float) -> None:
    random = np.random.default_rng([n, int(1000 * wrong)])
    repeats = 400
    missed = sum(largest_loss(*drawn(random, n, wrong, right), np.arange(n)) < 2.0 for _ in range(repeats))
    # 2.5 %, and three standard deviations of that many repeats.
    assert missed / repeats < 0.025 + 3 * (0.025 * 0.975 / repeats) ** 0.5


def test_where_nothing_is_lost_so_many_images_may_lose_all_that_the_number_of_them_leaves_possible() -> None:
    right = np.ones(200, bool)
    assert largest_loss(right, right, np.arange(200)) == pytest.approx(
        100 * (1 - 0.025 ** (1 / 200)), abs=0.01
    )
    # Two images say nothing.
    assert largest_loss(right, right, np.arange(200) % 2) > 80


def test_many_losses_are_the_bootstraps_affair() -> None:
    random = np.random.default_rng(0)
    before, after = drawn(random, 2000, 0.05, 0.02)
    low, _ = paired_bootstrap(before, after, np.arange(2000)).interval
    assert (before & ~after).sum() > FEW_LOSING
    assert largest_loss(before, after, np.arange(2000)) == pytest.approx(-low)


def test_images_with_several_questions_lose_what_the_worst_of_them_loses() -> None:
    groups = np.repeat(np.arange(100), 10)
    before, after = np.ones(1000, bool), np.ones(1000, bool)
    after[:2] = False  # one image loses a fifth of its questions
    bound = largest_loss(before, after, groups)
    assert bound == pytest.approx(100 * 0.0545 * 0.2, rel=0.02)  # Clopper and Pearson's bound for 1 of 100
