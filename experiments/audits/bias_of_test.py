"""What the test itself gives away: chance, fixed answers, and what words alone answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datamodules.samples import SpatialSample
from datamodules.scoring.answer_bias import ladder
from datamodules.scoring.metrics import SpatialMetric
from datamodules.scoring.words_baseline import MOST_QUESTIONS
from datamodules.statistics.blind_k_fold import TooFewQuestions


def bias_of_test(samples: Sequence[SpatialSample], metric: object) -> list[dict[str, Any]]:
    """The ladder of `answer_bias` as plain numbers; none where the test is too small or too large for it."""
    if not isinstance(metric, SpatialMetric) or len(samples) > MOST_QUESTIONS:
        return []
    try:
        rungs = ladder(samples, metric.judge)
    except TooFewQuestions:
        return []
    return [
        {"name": rung.name, "score": rung.accuracy, "interval": rung.interval and list(rung.interval)}
        for rung in rungs
    ]
