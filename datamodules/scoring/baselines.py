"""What a system scores that never looks and never reads: one fixed answer for each task."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torchmetrics

from datamodules.answers import read_length
from datamodules.base import SpatialDataModule
from datamodules.layouts import MissingSplit
from datamodules.loading.grouped import every_sample
from datamodules.samples import Answer, AnswerType, metric_of
from datamodules.scoring.choice_metrics import WITHIN_A_FACTOR_OF_TWO

_CENTIMETRES_PER_METRE = 100


def majority_baseline(
    datamodule: SpatialDataModule, metric: torchmetrics.Metric | None = None
) -> dict[str, Any]:
    """Answer every question that a test scores with the best fixed answer of its task in the training set.

    That is the most frequent training answer; for distances, which hardly repeat, it is the value (in whole
    centimetres) that lies within 10 % of the most training distances, which beats the median. Where lengths
    are texts with units, it is the one that lies within a factor of two of the most. A
    multiple-choice question of a kind that training does not show (or of a benchmark without a training
    split) gets its first letter.

    Args:
        datamodule: the data.
        metric: takes answers and returns a summary; the data's own when left out.

    Returns:
        `{"score", "n", "tasks"}` of the benchmark's own metric.

    Raises:
        DataError: the split that is scored is missing or has no answers, or a split is not usable.
    """
    test = datamodule.split(datamodule.scored)
    forms: dict[str, AnswerType | None] = {}
    samples = list(every_sample(test))
    for sample in samples:
        forms.setdefault(sample.task, sample.answer_type)
    try:
        labels = datamodule.split("train").labels()
    except MissingSplit:
        labels = iter(())
    fixed = best_fixed_answers(labels, forms)
    metric = metric or metric_of(datamodule, "test")
    metric.update([Answer(sample, fixed.get(sample.task) or sample.letters[:1]) for sample in samples])
    result = metric.compute()
    return {key: result[key] for key in ("score", "n", "tasks", "metric") if key in result}


def best_fixed_answers(
    labels: Iterable[tuple[str, str]], forms: dict[str, AnswerType | None]
) -> dict[str, str]:
    """The best fixed answer of each task, from pairs of task and answer; `forms` are the tasks' answer forms.

    Among equally frequent answers the smallest in alphabetical order is taken.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for task, answer in labels:
        if answer:
            counts[task][answer] += 1
    return {task: _best_fixed_answer(answers, forms.get(task)) for task, answers in counts.items()}


def _best_fixed_answer(answers: Counter[str], form: AnswerType | None) -> str:
    if form is AnswerType.DISTANCE:
        if all(map(_is_number, answers)):
            return _densest_distance(answers)
        if length := _densest_length(answers):
            return length
    return min(answers, key=lambda answer: (-answers[answer], answer))


def _is_number(text: str) -> bool:
    """Whether a distance is a number of metres, and not a text with its unit."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _densest_distance(answers: Counter[str]) -> str:
    """The distance in metres, to the centimetre, that lies within 10 % of the most training distances."""
    distances = np.sort(np.array([float(answer) for answer in answers.elements()]))
    candidates = (
        np.arange(0, np.ceil(1.1 * distances[-1] * _CENTIMETRES_PER_METRE) + 1) / _CENTIMETRES_PER_METRE
    )
    # 0.9 d <= candidate <= 1.1 d, counted from both ends of the sorted distances.
    reached = np.searchsorted(0.90 * distances, candidates, side="right")
    passed = np.searchsorted(1.10 * distances, candidates, side="left")
    return f"{candidates[np.argmax(reached - passed)]:.2f}"


def _densest_length(answers: Counter[str]) -> str | None:
    """The length that SpaceThinker's rule accepts for the most training answers; None without any length."""
    lengths = [length for answer in answers.elements() if (length := read_length(answer))]
    if not lengths:
        return None
    low, high = WITHIN_A_FACTOR_OF_TWO
    starts = np.sort([low * length.low for length in lengths])
    ends = np.sort([high * length.high for length in lengths])
    # Most are accepted where one more begins and before any of them ends.
    accepted = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, side="left")
    room = ends[np.searchsorted(ends, starts)] - starts
    # Of several the one with the most room: where one ends as another begins, rounding decides.
    best = np.lexsort((room, accepted))[-1]
    return f"{starts[best] + room[best] / 2:.6g} m"
