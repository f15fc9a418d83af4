"""What a system scores that guesses."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from datamodules.base import SpatialDataModule
from datamodules.loading.grouped import every_sample
from datamodules.samples import Answer, SpatialSample
from datamodules.scoring.metrics import SpatialMetric
from datamodules.scoring.possible_answers import possible_answers

GUESSERS = 10
"""Their mean is the score: one alone may be lucky."""


def chance_baseline(datamodule: SpatialDataModule, metric: SpatialMetric) -> dict[str, Any] | None:
    """The mean score of guessers, who take any possible answer to each question of the test.

    A question with a free answer is wrong; a test set with nothing else has no such score.

    Args:
        datamodule: the data.
        metric: judges the answers and returns a summary.

    Returns:
        `{"score", "n", "tasks"}` as the metric has them, their scores the means.

    Raises:
        DataError: the split that is scored is missing or has no answers.
    """
    samples = list(every_sample(datamodule.split(datamodule.scored)))
    if not any(map(possible_answers, samples)):
        return None
    results = []
    for guesser in range(GUESSERS):
        metric.reset()
        metric.update([Answer(sample, _guess(sample, guesser)) for sample in samples])
        results.append(metric.compute())
    if any(result["score"] is None for result in results):
        return None
    tasks = {task: _mean([result["tasks"][task] for result in results]) for task in results[0]["tasks"]}
    return {**_mean(results), "tasks": tasks}


def _guess(sample: SpatialSample, guesser: int) -> str:
    answers = possible_answers(sample)
    return Random(f"guess {guesser} of {sample.id}").choice(answers) if answers else ""


def _mean(scores: list[dict[str, Any]]) -> dict[str, Any]:
    return {"score": float(np.mean([score["score"] for score in scores])), "n": scores[0]["n"]}
