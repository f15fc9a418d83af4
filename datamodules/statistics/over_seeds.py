"""Systems that were trained with several seeds: their mean over seeds and questions, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_1samp

from datamodules.statistics.intervals import TAIL, draw_images


@dataclass(frozen=True)
class MeanOverSeeds:
    """A mean over seeds and questions in percent, with its 95 % interval."""

    mean: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class SeedsTest:
    """Student's t-test of whether a mean over seeds is 0: the p-value, and its own 95 % interval."""

    p_value: float
    interval: tuple[float, float]


def bootstrap_over_seeds(
    values: np.ndarray, groups: np.ndarray, lowest: float, resamples: int = 2000, seed: int = 0
) -> list[MeanOverSeeds]:
    """Means over seeds and questions, with the percentile bootstrap over seeds and images.

    Each draw takes as many seeds and as many images as there are, both with replacement, an image with all
    its questions. The drawn seeds and images are the same for all systems of a call. For the difference of
    two systems, give the difference as a system of its own: what both share then does not blur it.

    Few seeds are drawn from few: of three, none lies beyond the lowest and the highest. Where seeds differ by
    far more than images do, the interval of three seeds holds the truth in 75 % of cases instead of 95 %, and
    `seeds_test` is the safer word; where they do not differ at all, it is wider than it had to be.

    Where every image shows the same with every seed the bootstrap claims certainty; the exact binomial bound
    over images stands in there.

    Args:
        values: what each question adds, `[systems, seeds, questions]`: 1 where a system is right and 0 where
            it is wrong, or the difference of two systems.
        groups: any integer that tells images apart, `[questions]`.
        lowest: the least that a question can add, 0 or -1; the most is 1.
        resamples: how many times to draw.
        seed: makes the intervals reproducible.

    Returns:
        One mean for each system.
    """
    systems, seeds, questions = values.shape
    names, image = np.unique(groups, return_inverse=True)
    asked = np.bincount(image).astype(float)
    by_image = np.zeros((len(names), systems * seeds))
    np.add.at(by_image, image, values.reshape(systems * seeds, questions).T)
    drawn = draw_images(np.column_stack([by_image, asked]), resamples, seed)
    # A stream of its own: the images' draws have used up the one of `seed`.
    share = np.random.default_rng([seed, 1]).multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    percent = 100 * drawn[:, :-1].reshape(resamples, systems, seeds) / drawn[:, -1, None, None]
    means = np.einsum("rms,rs->mr", percent, share)
    bounds = np.quantile(means, [TAIL, 1 - TAIL], axis=1).T
    unseen = 1 - TAIL ** (1 / len(names))  # at most this share of all images may show something else
    means_over_seeds = []
    for system, (low, high) in enumerate(bounds):
        mean = 100 * float(values[system].mean())
        rates = by_image[:, system * seeds : (system + 1) * seeds] / asked[:, None]
        if np.ptp(rates) == 0:
            low, high = mean - unseen * (mean - 100 * lowest), mean + unseen * (100 - mean)
        means_over_seeds.append(MeanOverSeeds(mean, (float(low), float(high))))
    return means_over_seeds


def seeds_test(differences: np.ndarray) -> SeedsTest | None:
    """The paired t-test over seeds: how two systems differ with each seed, against no difference.

    It knows how much seeds differ, few as they may be, and takes the questions for the only ones there are.

    Args:
        differences: one for each seed, `[seeds]`.

    Returns:
        The two-sided test and its 95 % interval; None with fewer than two seeds, or where all show the same.
    """
    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    test = ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(1 - 2 * TAIL)
    return SeedsTest(float(test.pvalue), (float(low), float(high)))
