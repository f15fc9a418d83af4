"""Any torchmetrics metric as the score of a run: it gives its one number."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from datamodules.samples import Answer, AnswerType, SmallSpatialError, SpatialSample

ReadAnswer = Callable[[Answer], str | None]
"""Reads the normalised answer ("B", "2", "left") out of what a model wrote; None where it finds none."""

SIDES = ("left", "right")


class MetricError(SmallSpatialError):
    """A metric cannot be the score of a run."""


def taking_answers(metric: Metric, read: ReadAnswer | None = None) -> Metric:
    """A metric that takes answers and returns a summary: a benchmark's own, or any other in `OneNumber`.

    Args:
        metric: the data's metric.
        read: how the data read answers; as they were written, when left out.
    """
    return metric if hasattr(metric, "judge") else OneNumber(metric, read)


class OneNumber(Metric):
    """Asks any metric of torchmetrics as the benchmarks' own are asked.

    What it is given depends on the arguments of its `update`: `preds` and `target` get the answers and the
    true ones, as texts or, where they are tensors, as numbers (the place of a letter or a choice, the index
    of a region, 0 for left and 1 for right, a count, a distance in metres); `value` gets 1 for every right
    answer and 0 for a wrong one; anything else gets the list of `Answer`s.

    `compute` returns `{"score", "n", "interval", "unreadable", "tasks", "metric"}`. The score is the metric's
    number as it is, and its interval is not known.

    Args:
        metric: the metric.
        read: how answers are read where they are compared as numbers.

    Raises:
        MetricError: the metric is none of torchmetrics, or returns several numbers.
    """

    full_state_update = False

    def __init__(self, metric: Metric, read: ReadAnswer | None = None) -> None:
        super().__init__()
        if not isinstance(metric, Metric):
            raise MetricError(
                f"metric() has returned a {type(metric).__name__}; it must return one torchmetrics.Metric."
            )
        self.metric = metric
        self.read = read or (lambda answer: answer.raw.strip() or None)
        self.counted: Tensor
        self.unread: Tensor
        self.add_state("counted", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("unread", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, answers: list[Answer]) -> None:
        """Give the metric some answers.

        Raises:
            MetricError: the metric compares numbers, and a true answer is none.
        """
        parameters = inspect.signature(type(self.metric).update).parameters
        self.counted += len(answers)
        if {"preds", "target"} <= parameters.keys():
            if _is_tensor(parameters["preds"].annotation):
                self._update_numbers(answers)
            else:
                self.metric.update([answer.raw for answer in answers], [_truth(answer) for answer in answers])
        elif "value" in parameters:
            right = [float(self.read(answer) == _truth(answer)) for answer in answers]
            self.metric.update(torch.tensor(right, device=self.device))
        else:
            self.metric.update(answers)

    def compute(self) -> dict[str, Any]:
        """The metric's number, and how many answers it is of."""
        value = self.metric.compute()
        summary = dict(value) if isinstance(value, Mapping) and "score" in value else {"score": value}
        summary["score"] = _number(summary["score"], type(self.metric).__name__)
        return {
            "n": int(self.counted),
            "interval": None,
            "unreadable": int(self.unread),
            "tasks": {},
            "metric": type(self.metric).__name__,
            **summary,
        }

    def reset(self) -> None:
        """Forget all answers."""
        super().reset()
        self.metric.reset()

    def _update_numbers(self, answers: list[Answer]) -> None:
        """Give the metric numbers; an unreadable answer is a wrong class, or left out of amounts."""
        given, true = [], []
        for answer in answers:
            target = _place(answer.sample, _truth(answer))
            if target is None:
                raise MetricError(
                    f"{type(self.metric).__name__} compares numbers, and the true answer of question "
                    f"{answer.sample.id}, {answer.sample.answer!r}, is none. Take a metric of texts, or one "
                    "whose update takes the list of answers."
                )
            read = self.read(answer)
            prediction = None if read is None else _place(answer.sample, read)
            if prediction is None:
                self.unread += 1
                if answer.sample.answer_type in (AnswerType.DISTANCE, AnswerType.COUNT):
                    self.counted -= 1
                    continue
                prediction = 0 if target else 1
            given.append(prediction)
            true.append(target)
        if given:
            self.metric.update(
                torch.tensor(given, device=self.device), torch.tensor(true, device=self.device)
            )


def _truth(answer: Answer) -> str:
    if answer.sample.answer is None:
        raise MetricError(f"Question {answer.sample.id} has no known answer, so it cannot be scored.")
    return answer.sample.answer


def _place(sample: SpatialSample, text: str) -> int | float | None:
    """A normalised answer as a number; None where it is none."""
    if text in (letters := list(sample.letters)):
        return letters.index(text)
    if text in SIDES:
        return SIDES.index(text)
    if text in sample.choices:
        return sample.choices.index(text)
    try:
        number = float(text)
    except ValueError:
        return None
    whole = number.is_integer() and sample.answer_type is not AnswerType.DISTANCE
    return int(number) if whole else number


def _is_tensor(annotation: Any) -> bool:
    """Whether an argument's type, or the name of it, is a tensor."""
    return annotation is Tensor or annotation in ("Tensor", "torch.Tensor")


def _number(value: Any, name: str) -> float | None:
    """A metric's value as one number; None where it is not finite.

    Raises:
        MetricError: it is several numbers.
    """
    if isinstance(value, Mapping) or torch.as_tensor(value).numel() != 1:
        what = ", ".join(map(str, value)) if isinstance(value, Mapping) else f"{len(value)} numbers"
        raise MetricError(f"{name} returns {what}; a score is one number, so set it up to return one.")
    number = float(value)
    return number if math.isfinite(number) else None
