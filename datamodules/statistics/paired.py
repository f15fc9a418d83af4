"""Two systems on the same questions: how much better one is, and whether chance explains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from datamodules.statistics.intervals import TAIL, draw_images


@dataclass(frozen=True)
class PairedDifference:
    """How much B is better than A in percentage points (negative: worse), with its 95 % interval."""

    difference: float
    interval: tuple[float, float]


def paired_bootstrap(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    groups: np.ndarray,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """The difference of two accuracies on the same questions, with the percentile bootstrap over images.

    Images are drawn with replacement, each with all its questions and both systems' answers to them: what
    makes an image hard for both does not blur the difference. Where every image shows the same difference the
    bootstrap claims certainty; the exact binomial bound over images stands in there.

    Args:
        correct_a: whether A is correct, `[questions]`.
        correct_b: whether B is correct, `[questions]`, in the same order.
        groups: any integer that tells images apart, `[questions]`.
        resamples: how many times to draw.
        seed: makes the interval reproducible.
    """
    if not len(correct_a):
        return PairedDifference(0.0, (0.0, 0.0))
    names, image = np.unique(groups, return_inverse=True)
    gained = np.bincount(image, weights=correct_b.astype(float) - correct_a.astype(float))
    asked = np.bincount(image).astype(float)
    drawn = draw_images(np.stack([gained, asked], axis=1), resamples, seed)
    low, high = np.quantile(100 * drawn[:, 0] / drawn[:, 1], [TAIL, 1 - TAIL])
    difference = 100 * gained.sum() / asked.sum()
    if np.ptp(gained / asked) == 0:
        # At most this share of all images may show something else, at worst -100 or 100 points.
        unseen = 1 - TAIL ** (1 / len(names))
        low, high = difference - unseen * (100 + difference), difference + unseen * (100 - difference)
    return PairedDifference(float(difference), (float(low), float(high)))


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """McNemar's exact test: the probability of a difference at least as large if the systems were alike.

    Only questions that one system gets right and the other wrong count; if the systems are alike, each of
    those falls to either side like a fair coin. Questions are taken as independent of each other, which those
    about one image are not: there the interval of `paired_bootstrap` is the safer word.

    Args:
        correct_a: whether A is correct, `[questions]`.
        correct_b: whether B is correct, `[questions]`, in the same order.

    Returns:
        The two-sided p-value; 1 where no question tells the systems apart.
    """
    right_a, right_b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
