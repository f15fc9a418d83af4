"""How small a difference of two systems a set of questions can show at all."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import binom

from datamodules.statistics.intervals import TAIL

ENOUGH = 0.8
"""How often a difference that is called detectable is found."""

STANDARD_DEVIATIONS = 7
"""How far from their mean numbers of discordant questions are looked at; beyond lies less than 1e-10."""


def paired_power(n: int, discordance: float, difference: float) -> float:
    """How often the mid-p McNemar test finds a difference, at 5 %.

    The power given the number of discordant questions, averaged over that number, which is binomial: sums
    without approximation (Miettinen 1968, eq. 4 with the mid-p's critical values).

    Args:
        n: questions of both systems.
        discordance: share of the questions that one system has right and the other wrong.
        difference: of the accuracies, as a share, at most the discordance.
    """
    mean, spread = n * discordance, np.sqrt(n * discordance * (1 - discordance))
    low = max(0, int(mean - STANDARD_DEVIATIONS * spread) - 1)
    high = min(n, int(mean + STANDARD_DEVIATIONS * spread) + 1)
    discordant = np.arange(low, high + 1)
    better = (1 + min(difference / discordance, 1.0)) / 2
    most = _largest_rejected(low, high)
    rejected = binom.cdf(most, discordant, better) + binom.sf(discordant - most - 1, discordant, better)
    return float((binom.pmf(discordant, n, discordance) * np.where(most < 0, 0.0, rejected)).sum())


def detectable_difference(n: int, discordance: float, effect: float = 1.0, power: float = ENOUGH) -> float:
    """The smallest difference, in points, that is found as often as `power` says.

    Args:
        n: questions of both systems.
        discordance: share of the questions that one system has right and the other wrong.
        effect: the design effect, of questions that share a picture: it makes all differences larger by its
            root.
        power: how often the difference is to be found.

    Returns:
        points, or infinity where not even a difference as large as the discordance is found so often.
    """
    if not n or not 0 < discordance <= 1 or paired_power(n, discordance, discordance) < power:
        return float("inf")
    low, high = 0.0, discordance
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if paired_power(n, discordance, middle) < power else (low, middle)
    return 100 * high * float(np.sqrt(max(effect, 1.0)))


@lru_cache(maxsize=8)
def _largest_rejected(low: int, high: int) -> np.ndarray:
    """For each number of discordant questions the largest smaller side that the test rejects, or -1."""
    most = np.full(high - low + 1, -1)
    for index, discordant in enumerate(range(low, high + 1)):
        # Mid-p of k on the smaller side: twice the chance of fewer, and that of as many.
        k = np.arange(discordant // 2 + 1)
        below, here = binom.cdf(k - 1, discordant, 0.5), binom.pmf(k, discordant, 0.5)
        rejected = np.flatnonzero(2 * below + here < 2 * TAIL)
        most[index] = rejected[-1] if len(rejected) else -1
    return most
