"""Scores with honest 95 % intervals: a bootstrap over images, since questions about one image rise and fall
together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Combination = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From correct answers and questions of each task, `[..., tasks]`, to the score in 0..100, `[...]`."""

TAIL = 0.025
"""What a 95 % interval leaves out on either side."""

_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Score:
    """A score in 0..100, over how many questions, with its 95 % interval."""

    score: float
    n: int
    interval: tuple[float, float]


_NOTHING = Score(0.0, 0, (0.0, 0.0))


def mean_over_tasks(correct: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The mean of the tasks' accuracies in percent; tasks without questions are left out."""
    percent = np.divide(100 * correct, count, out=np.zeros_like(correct, dtype=float), where=count > 0)
    return percent.sum(-1) / np.maximum((count > 0).sum(-1), 1)


def score_with_intervals(
    correct: np.ndarray,
    tasks: np.ndarray,
    groups: np.ndarray,
    number_of_tasks: int,
    combine: Combination = mean_over_tasks,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Score, list[Score]]:
    """The benchmark's score and the score of each task, with intervals.

    The interval is the percentile bootstrap: images are drawn with replacement, each with all its questions.
    Where all answers are right (or all wrong) every resample agrees and the bootstrap claims certainty; the
    exact binomial bound over images stands in there.

    Args:
        correct: whether each answer is correct, `[questions]`.
        tasks: the number of each question's task, `[questions]`.
        groups: any integer that tells images apart, `[questions]`.
        number_of_tasks: how many tasks there are, some perhaps without questions.
        combine: how the score follows from the tasks.
        resamples: how many times to draw.
        seed: makes the interval reproducible.
    """
    correct_by_image, count_by_image = _by_image(correct, tasks, groups, number_of_tasks)
    correct_total, count_total = correct_by_image.sum(0), count_by_image.sum(0)
    if not len(correct):
        return _NOTHING, [_NOTHING] * number_of_tasks
    drawn = draw_images(np.concatenate([correct_by_image, count_by_image], axis=1), resamples, seed)
    drawn_correct, drawn_count = drawn[:, :number_of_tasks], drawn[:, number_of_tasks:]

    by_task: list[Score] = []
    for task in range(number_of_tasks):
        n, images = int(count_total[task]), int((count_by_image[:, task] > 0).sum())
        seen = drawn_count[:, task] > 0
        scores = 100 * drawn_correct[seen, task] / drawn_count[seen, task]
        score = 100 * correct_total[task] / max(n, 1)
        by_task.append(Score(float(score), n, _interval(scores, score, images)) if n else _NOTHING)

    low, high = np.quantile(combine(drawn_correct, drawn_count), [TAIL, 1 - TAIL])
    if low == high:
        bounds = np.array([score.interval for score in by_task]).T / 100
        low, high = combine(bounds * count_total, np.stack([count_total, count_total]))
    total = Score(float(combine(correct_total, count_total)), len(correct), (float(low), float(high)))
    return total, by_task


def _by_image(
    correct: np.ndarray, tasks: np.ndarray, groups: np.ndarray, number_of_tasks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Correct answers and questions of each image, `[images, tasks]` each."""
    names, image = np.unique(groups, return_inverse=True)
    cell = image * number_of_tasks + tasks
    shape = (len(names), number_of_tasks)
    count = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    right = np.bincount(cell, weights=correct.astype(float), minlength=shape[0] * shape[1]).reshape(shape)
    return right, count.astype(float)


def draw_images(per_image: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draw images with replacement, as many as there are.

    Args:
        per_image: what each image contributes, `[images, columns]`.
        resamples: how many times to draw.
        seed: makes the draws reproducible; the same seed draws the same images.

    Returns:
        The sums over the drawn images, `[resamples, columns]`.
    """
    generator = np.random.default_rng(seed)
    images = len(per_image)
    totals = []
    block = max(1, _DRAWS_AT_ONCE // images)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images)
        totals.append(weights @ per_image)
    return np.concatenate(totals)


def _interval(drawn: np.ndarray, score: float, images: int) -> tuple[float, float]:
    """The middle 95 % of resampled scores, or the exact bound over images where all are 0 or all are 100."""
    if score == 0:
        return 0.0, 100 * (1 - TAIL ** (1 / images))
    if score == 100:
        return 100 * TAIL ** (1 / images), 100.0
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return float(low), float(high)
