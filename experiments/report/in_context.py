"""What solved examples did to a test: how many there was room for, their vote, whether one was copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from datamodules.scoring.metrics import plain_score, plain_scores
from datamodules.statistics.intervals import score_with_intervals

VOTE = "vote of the examples"

LINES = {
    VOTE: "vote_correct",
    "last example's answer given": "copied",
    "last example's answer right": "last_correct",
}
"""The lines of the table, and what each counts in the predictions."""


def in_context_table(records: Collection[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Shares of the questions with intervals, from the lines of predictions; empty without examples.

    Each has its share of every task. There is one line for each number of examples that questions were asked
    with: what does not fit into a model's window falls away. The answer of the last example is the one that
    is copied, where one is; how often that would be right says how often it is copied for good reason.
    """
    shown = [record for record in records if "examples" in record]
    if not shown:
        return {}
    groups = np.unique([str(record["group"] or record["id"]) for record in shown], return_inverse=True)[1]
    names = list(dict.fromkeys(str(record["task"]) for record in shown))
    tasks = np.array([names.index(str(record["task"])) for record in shown])

    def share(counted: list[bool]) -> dict[str, Any]:
        whole, _ = score_with_intervals(np.array(counted), np.zeros(len(counted), int), groups, 1)
        _, by_task = score_with_intervals(np.array(counted), tasks, groups, len(names))
        return {**plain_score(whole), "tasks": plain_scores(names, by_task)}

    numbers = [len(record["examples"]) for record in shown]
    table = {
        f"asked with {number}": share([each == number for each in numbers])
        for number in sorted(set(numbers), reverse=True)
    }
    for name, key in LINES.items():
        if all(record.get(key) is not None for record in shown):
            table[name] = share([bool(record[key]) for record in shown])
    return table
