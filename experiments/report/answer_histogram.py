"""Which answers are true, and which a model gives: who prefers an answer gives it more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

MOST_ANSWERS = 12
"""A task with more true answers than these is left out: they hardly repeat, as distances do."""

MOST_GIVEN = 8
"""So many of the most frequent given answers are shown beside the true ones."""

UNREADABLE = "unreadable"

Histogram = dict[str, dict[str, tuple[int, int]]]
"""By task and answer: how often it is true, and how often it is given."""


def answer_histogram(lines: Mapping[str, Mapping[str, Any]]) -> Histogram:
    """The answers of each task whose true ones are few; nothing where they are not known.

    Args:
        lines: those of a `predictions.jsonl`, by the question's id.
    """
    tasks: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for line in lines.values():
        if line.get("answer") is not None:
            true, given = tasks.setdefault(str(line.get("task", "")), (Counter(), Counter()))
            true[str(line["answer"])] += 1
            given[UNREADABLE if line["prediction"] is None else str(line["prediction"])] += 1
    few = {task: counted for task, counted in sorted(tasks.items()) if len(counted[0]) <= MOST_ANSWERS}
    return {task: _rows(*counted) for task, counted in few.items()}


def _rows(true: Counter[str], given: Counter[str]) -> dict[str, tuple[int, int]]:
    shown = {*true, *dict(given.most_common(MOST_GIVEN))}
    return {answer: (true[answer], given[answer]) for answer in sorted(shown)}
