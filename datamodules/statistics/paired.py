"""Two systems on the same questions: how much better one is, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.samples import SmallSpatialError
from datamodules.statistics.intervals import TAIL, draw_images

FEW_IMAGES = 40
"""With fewer images than this, intervals and tests over images are known to be too sure of themselves."""

FEW_LOSING = 10
"""With fewer images that lose something, the bootstrap knows too little of how many may."""

LARGEST_FAMILY = 6
"""So many comparisons at most are looked at together: with more, none of them could show anything."""


class ComparisonError(SmallSpatialError):
    """Answers cannot be compared as asked."""


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


def largest_loss(correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray) -> float:
    """How many points B may be worse than A at most, as sure as the lower end of a 95 % interval.

    The bootstrap's lower end, or, where that is larger, an exact bound: of few images that lose something it
    cannot tell that there may be more of them. So many images may lose (Clopper and Pearson 1934) as much as
    the worst of those that do, or all of their questions where none does.

    Args:
        correct_a: whether A is correct, `[questions]`.
        correct_b: whether B is correct, `[questions]`, in the same order.
        groups: any integer that tells images apart, `[questions]`.
    """
    from scipy.stats import beta  # loaded late: most of what imports this file compares nothing

    _, image = np.unique(groups, return_inverse=True)
    asked = np.bincount(image)
    lost = -_by_image(correct_a, correct_b, groups) / asked
    losing, images = int((lost > 0).sum()), len(asked)
    may_lose = 1.0 if losing == images else float(beta.ppf(1 - TAIL, losing + 1, images - losing))
    exact = 100 * may_lose * float(lost[lost > 0].max() if losing else 1.0)
    drawn = -paired_bootstrap(correct_a, correct_b, groups).interval[0]
    return max(drawn, exact if losing < FEW_LOSING else drawn)


def sign_flip_test(correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray) -> float:
    """The probability of a difference at least as large if the systems were alike, exactly.

    If they are, each image's difference might as well be the other way round: all signs are flipped in every
    combination, and the sums counted. Half of those as large as the observed sum count (the mid-p). Where
    each image has one question this is McNemar's test in its mid-p form (Fagerland et al. 2013, eq. 6), which
    rejects about as often as it says; the exact form rejects less often.

    Args:
        correct_a: whether A is correct, `[questions]`.
        correct_b: whether B is correct, `[questions]`, in the same order.
        groups: any integer that tells images apart, `[questions]`.

    Returns:
        The two-sided p-value; 1 where no image tells the systems apart.
    """
    differences = _by_image(correct_a, correct_b, groups)
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return 1.0
    # The distribution of the sum of sizes with random signs, from -total to total in steps of one: of so many
    # images with one size it is binomial, and the sizes add up.
    from scipy.stats import binom  # loaded late: most of what imports this file compares nothing

    chances = np.ones(1)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        of_size = np.zeros(2 * size * count + 1)
        of_size[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, of_size)
    total = int(sizes.sum())
    sums, observed = np.abs(np.arange(-total, total + 1)), abs(int(differences.sum()))
    return min(1.0, float(chances[sums > observed].sum() + chances[sums == observed].sum() / 2))


def design_effect(correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray) -> float:
    """How much larger the variance of a difference is than if all questions were of different images.

    The variance over images with G / (G - 1) (Cameron and Miller 2015, eq. 12 for a mean), over that of
    independent questions. 1 where no question tells the systems apart.

    Args:
        correct_a: whether A is correct, `[questions]`.
        correct_b: whether B is correct, `[questions]`, in the same order.
        groups: any integer that tells images apart, `[questions]`.

    Raises:
        ComparisonError: all questions are of one image, which says nothing of how images differ.
    """
    names, image = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ComparisonError(
            f"All {len(image)} questions are of one image, so that nothing is known of other images. Compare "
            "on questions of at least two."
        )
    differences = np.asarray(correct_b, float) - np.asarray(correct_a, float)
    left = differences - differences.mean()
    alone = float((left**2).sum())
    together = float((np.bincount(image, weights=left) ** 2).sum()) * len(names) / (len(names) - 1)
    return together / alone if alone else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of a family of comparisons, adjusted for there being several (Holm 1979).

    The smallest is multiplied by how many there are, the next by one less, and none is below one before it.

    Raises:
        ComparisonError: there are more comparisons than can be looked at together.
    """
    if len(p_values) > LARGEST_FAMILY:
        raise ComparisonError(
            f"{len(p_values)} comparisons at once show next to nothing: name at most {LARGEST_FAMILY} that "
            "matter before looking at any."
        )
    adjusted, reached = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        reached = max(reached, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = reached
    return adjusted


def _by_image(correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """How many more questions of each image B has right than A, `[images]`."""
    _, image = np.unique(groups, return_inverse=True)
    gained = np.asarray(correct_b, bool).astype(float) - np.asarray(correct_a, bool)
    sums: np.ndarray = np.rint(np.bincount(image, weights=gained)).astype(int)
    return sums
