"""Quantiles of a sample with intervals by its order statistics, whatever the distribution.

Hahn & Meeker, Statistical Intervals (1991; 2nd edition with Escobar 2017), "distribution-free confidence
interval for a percentile": of n independent values of a continuous distribution, B, the number that lie below
its q-quantile, is binomial with n and q. The quantile lies between the l-th and the u-th smallest value with
the probability P(l <= B <= u - 1), which depends on the binomial distribution alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

CONFIDENCE = 0.95

METHOD = "the order statistic of rank ceil(n q), which is always a value that was measured"
"""How a quantile is taken: nothing is interpolated between a usual value and an outlier."""


@dataclass(frozen=True)
class Quantile:
    """A quantile of a sample.

    Attributes:
        value: the order statistic of rank ceil(n q).
        ranks: those of the values that bound it, counted from 1; None where so few values bound it nowhere.
        interval: these values.
    """

    value: float
    ranks: tuple[int, int] | None
    interval: tuple[float, float] | None


def quantile_of(values: Sequence[float], q: float) -> Quantile:
    """A quantile of some values with its 95 % interval.

    Args:
        values: the values, at least one.
        q: which quantile, above 0 and below 1.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    # Of 20 values the 0.95-quantile is the 19th: 20 * 0.95 must not become 19.000000000000004.
    rank = math.ceil(round(len(ordered) * q, 9))
    ranks = interval_ranks(len(ordered), q)
    interval = None if ranks is None else (float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]))
    return Quantile(float(ordered[rank - 1]), ranks, interval)


def interval_ranks(n: int, q: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Between which order statistics a quantile lies with at least this confidence.

    The fewest ranks that hold it, and of several such pairs the lowest.

    Args:
        n: how many values there are.
        q: which quantile, above 0 and below 1.
        confidence: how often, at least, such an interval holds the quantile.

    Returns:
        two ranks, counted from 1; None where even the smallest and the largest value are too near.
    """
    below = binom.cdf(np.arange(n), n, q)  # P(B <= k) for k = 0 .. n - 1
    best = None
    for low in range(1, n):
        # P(low <= B <= high - 1) grows with high: the first that is enough is the narrowest.
        high = int(np.searchsorted(below, confidence + below[low - 1])) + 1
        if low < high <= n and (best is None or high - low < best[1] - best[0]):
            best = (low, high)
    return best


def fewest_for_upper_bound(q: float, confidence: float = CONFIDENCE) -> int:
    """How many values it takes for the largest to lie above a quantile with this confidence: 59 for 0.95."""
    return math.ceil(math.log(1 - confidence) / math.log(q))
