"""What sets of questions can show: against published figures, and against a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from datamodules.statistics.paired import sign_flip_test
from datamodules.statistics.power import detectable_difference, paired_power


@pytest.mark.parametrize(
    ("n", "points"),
    [(2638, (1.72, 2.44, 2.99)), (1533, (2.26, 3.20, 3.92)), (600, (3.61, 5.10, 6.25))],
    ids=["CV-Bench", "OmniSpatial", "a task of CV-Bench"],
)
def test_what_known_sets_can_show(n: int, points: tuple[float, ...]) -> None:
    """At 10, 20 and 30 % of questions that tell the systems apart."""
    found = [detectable_difference(n, discordance) for discordance in (0.1, 0.2, 0.3)]
    assert found == pytest.approx(points, abs=0.045)


@pytest.mark.parametrize(
    ("n", "discordance", "difference"), [(300, 0.2, 0.07), (120, 0.5, 0.2), (900, 0.1, 0.0)]
)
def test_power_is_how_often_a_simulation_finds_the_difference(
    n: int, discordance: float, difference: float
) -> None:
    random, found, draws = np.random.default_rng(5), 0, 3000
    shares = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    for better, worse, _ in random.multinomial(n, shares, size=draws):
        a = np.repeat([False, True], [better, worse])
        found += sign_flip_test(a, ~a, np.arange(len(a))) < 0.05
    power = paired_power(n, discordance, difference)
    assert found / draws == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / draws))


def test_the_difference_called_detectable_is_found_four_times_out_of_five() -> None:
    points = detectable_difference(800, 0.25)
    assert paired_power(800, 0.25, points / 100) == pytest.approx(0.8, abs=1e-3)
    assert paired_power(800, 0.25, points / 100 - 0.001) < 0.8


def test_questions_that_share_pictures_show_less_by_the_root_of_the_design_effect() -> None:
    assert detectable_difference(800, 0.25, 4.0) == pytest.approx(2 * detectable_difference(800, 0.25))
    assert detectable_difference(800, 0.25, 0.5) == detectable_difference(800, 0.25)


@pytest.mark.parametrize(("n", "discordance"), [(0, 0.2), (4, 1.0), (65, 0.1), (400, 0.0)])
def test_too_few_questions_can_show_nothing(n: int, discordance: float) -> None:
    """At 10 % of 65 questions not even if all of them fall to one side."""
    assert detectable_difference(n, discordance) == math.inf
