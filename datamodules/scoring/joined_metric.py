"""One score of questions of several benchmarks: each is judged by its own, then the mean is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torchmetrics
from torch import nn

from datamodules.samples import Answer, DataError
from datamodules.scoring.metrics import Judgement, SpatialMetric


class JoinedMetric(torchmetrics.Metric):
    """The mean of several benchmarks' scores; `part` of a sample says which of them judges its answer.

    `compute` returns what each of them returns: the score is the mean over the benchmarks that were asked
    anything, with the interval of a mean of independent figures, and a task is named `BENCHMARK/TASK`.

    Args:
        metrics: the benchmarks' names and own metrics, in the order of the parts.

    Raises:
        DataError: one of them is no benchmark's own metric.
    """

    full_state_update = False

    def __init__(self, metrics: Sequence[tuple[str, torchmetrics.Metric]]) -> None:
        super().__init__()
        self.names = [name for name, _ in metrics]
        self.metrics = nn.ModuleList(metric for _, metric in metrics)
        for name, metric in metrics:
            if not isinstance(metric, SpatialMetric):
                raise DataError(
                    f"The mean of several scores is taken of benchmarks' own alone, and {name} has a "
                    f"{type(metric).__name__}: hold back images of one part only (`val_fraction`)."
                )

    def judge(self, answer: Answer) -> Judgement:
        """Read one answer and compare it with the truth, as its own benchmark does."""
        judged: Judgement = self.metrics[answer.sample.part].judge(answer)  # type: ignore[operator]
        return judged

    def update(self, answers: list[Answer]) -> None:
        """Hand each answer to its own benchmark's metric."""
        for part, metric in enumerate(self.metrics):
            own = [answer for answer in answers if answer.sample.part == part]
            if own:
                metric.update(own)  # type: ignore[operator]

    def compute(self) -> dict[str, Any]:
        """The mean of the scores, by all processes."""
        summaries = [metric.compute() for metric in self.metrics]  # type: ignore[operator]
        asked = [(name, each) for name, each in zip(self.names, summaries, strict=True) if each["n"]]
        if not asked:
            return dict(summaries[0])
        found = [each for _, each in asked]
        score = sum(each["score"] for each in found) / len(found)
        reach = math.hypot(*((high - low) / 2 for low, high in (each["interval"] for each in found)))
        reach /= len(found)
        return {
            "score": score,
            "n": sum(each["n"] for each in found),
            "interval": [max(0.0, score - reach), min(100.0, score + reach)],
            "unreadable": sum(each["unreadable"] for each in found),
            "tasks": {
                f"{name}/{task}": result for name, each in asked for task, result in each["tasks"].items()
            },
        }

    def reset(self) -> None:
        """Forget all answers."""
        super().reset()
        for metric in self.metrics:
            metric.reset()  # type: ignore[operator]
