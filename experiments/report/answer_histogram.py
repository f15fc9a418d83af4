"""Which answers are true, and which a model gives: who prefers an answer gives it more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

MOST_ANSWERS = 8
"""So many of the most frequent answers are shown of each task."""

UNREADABLE = "unreadable"

Histogram = dict[str, dict[str, tuple[int, int]]]
"""By task and answer: how often it is true, and how often it is given."""


def answer_histogram(lines: Mapping[str, Mapping[str, Any]]) -> Histogram:
    """The most frequent answers of each task; nothing where the true ones are not known.

    Args:
        lines: those of a `predictions.jsonl`, by the question's id.
    """
    tasks: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for line in lines.values():
        if line.get("answer") is not None:
            true, given = tasks.setdefault(str(line.get("task", "")), (Counter(), Counter()))
            true[str(line["answer"])] += 1
            given[UNREADABLE if line["prediction"] is None else str(line["prediction"])] += 1
    return {task: _rows(*counted) for task, counted in sorted(tasks.items())}


def _rows(true: Counter[str], given: Counter[str]) -> dict[str, tuple[int, int]]:
    shown = {*dict(true.most_common(MOST_ANSWERS)), *dict(given.most_common(MOST_ANSWERS))}
    return {answer: (true[answer], given[answer]) for answer in sorted(shown)}
