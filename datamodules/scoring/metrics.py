"""Benchmark scores as torchmetrics: safe in distributed runs and where a question is answered twice."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from datamodules.answers import NUMBER_WORDS, SIDES, WEAK, find_answer
from datamodules.benchmarks.track3_records import CATEGORIES
from datamodules.samples import Answer, AnswerType, DataError
from datamodules.scoring.official_rules import track3_official
from datamodules.statistics.intervals import Combination, Score, mean_over_tasks, score_with_intervals

_FACTS = 7
"""Columns of a row before the notes."""

HAS_CHOICES = (
    "Questions were given choices by a view, which the challenge's rules do not know: letters are compared."
)
"""Why Track 3 has no official score where a view has changed the form of its answers."""


@dataclass(frozen=True)
class Judgement:
    """What was read out of an answer (None where nothing could be), and whether it is correct.

    `notes` are further facts about the answer, one for each of the metric's `notes`; `read_by` is the form by
    which it was read (`datamodules.answers.FORMS`).
    """

    prediction: str | None
    correct: bool
    notes: tuple[bool, ...] = ()
    read_by: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Verdicts:
    """What is kept of the judged questions, each once: columns of integers, `[questions]`.

    `tasks` and `sources` are places in the metric's lists (-1 for a source that is not listed); `weak` says
    whether the answer was read by a form that a person may read otherwise; `notes` are `[questions, notes]`.
    """

    images: np.ndarray
    tasks: np.ndarray
    sources: np.ndarray
    correct: np.ndarray
    unreadable: np.ndarray
    weak: np.ndarray
    notes: np.ndarray

    def where(self, chosen: np.ndarray) -> Verdicts:
        """Some of the questions, by booleans `[questions]`."""
        return Verdicts(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def by_task(self, tasks: int, combine: Combination = mean_over_tasks) -> tuple[Score, list[Score]]:
        """The combined score and that of each of so many tasks."""
        return score_with_intervals(self.correct, self.tasks, self.images, tasks, combine)

    def by_source(self, sources: int, combine: Combination = mean_over_tasks) -> tuple[Score, list[Score]]:
        """The combined score and that of each of so many sources; every question needs a listed source."""
        return score_with_intervals(self.correct, self.sources, self.images, sources, combine)

    def accuracy(self) -> Score:
        """The share of correct answers, whatever the task."""
        return score_with_intervals(self.correct, np.zeros_like(self.tasks), self.images, 1)[0]

    def judged_by(self, note: int) -> Verdicts:
        """The same questions, correct where the note of this place says so."""
        return dataclasses.replace(self, correct=self.notes[:, note])


class SpatialMetric(Metric):
    """Base of the benchmarks' scores.

    A subclass names its `tasks`, may say how they `combine`, and judges one answer. It may list `sources` of
    images and `notes` (further facts about each answer) and `summarise` them beside the score.

    `compute` returns plain numbers: `{"score", "n", "interval", "unreadable", "weakly_read", "tasks": {task:
    {"score", "n", "interval"}}}`, scores in 0..100 and intervals of 95 % clustered by image. Tasks without
    questions are left out.

    What is kept is one row of integers a question, which the processes of a distributed run can gather.
    A question answered twice (a padded sampler, a repeated pass) counts once, by its id.
    """

    full_state_update = False
    higher_is_better = True
    tasks: ClassVar[tuple[str, ...]]
    sources: ClassVar[tuple[str, ...]] = ()
    notes: ClassVar[tuple[str, ...]] = ()
    rows: list[Tensor]

    def __init__(self, **options: Any) -> None:
        """`options` are those of every torchmetrics metric."""
        super().__init__(**options)
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def judge(self, answer: Answer) -> Judgement:
        """Read one answer and compare it with the truth; raises `DataError` where there is no truth."""

    def combine(self, correct: np.ndarray, count: np.ndarray) -> np.ndarray:
        """The score in 0..100, `[...]`, from correct answers and questions of each task, `[..., tasks]`.

        By default the mean of the tasks' accuracies.
        """
        return mean_over_tasks(correct, count)

    def update(self, answers: list[Answer]) -> None:
        """Judge some answers and remember the verdicts.

        Raises:
            DataError: a question has no known answer, or a task the benchmark does not have.
        """
        self.rows.append(self._rows_of([(answer, self.judge(answer)) for answer in answers]))

    def compute(self) -> dict[str, Any]:
        """The score of everything seen, by all processes."""
        rows = dim_zero_cat(self.rows).cpu().numpy() if len(self.rows) else self._rows_of([]).cpu().numpy()
        _, first = np.unique(rows[:, 0], return_index=True)
        images, tasks, sources, correct, unreadable, weak = rows[first, 1:_FACTS].T
        return self.summarise(
            Verdicts(images, tasks, sources, correct, unreadable, weak, rows[first, _FACTS:])
        )

    def summarise(self, verdicts: Verdicts) -> dict[str, Any]:
        """The results as plain numbers; a subclass may add further scores under names of their own."""
        total, scores = verdicts.by_task(len(self.tasks), self.combine)
        return {
            **plain_score(total),
            **how_read(verdicts),
            "tasks": plain_scores(self.tasks, scores),
        }

    def sync(self, *args: Any, **options: Any) -> None:
        """Gather the rows of all processes, one without any included."""
        if not self.rows:
            # torchmetrics would send an empty float tensor, which the other processes cannot join to theirs.
            self.rows.append(self._rows_of([]))
        super().sync(*args, **options)

    def _rows_of(self, judged: list[tuple[Answer, Judgement]]) -> Tensor:
        """A row of integers for each: question, image, task, source, right, unreadable, weak, notes."""
        rows = [
            [
                _number(answer.sample.id),
                _number(answer.sample.group or answer.sample.id),
                self._task_number(answer),
                self._source_number(answer),
                int(judgement.correct),
                int(judgement.prediction is None),
                int(judgement.read_by in WEAK),
                *map(int, judgement.notes),
            ]
            for answer, judgement in judged
        ]
        return torch.tensor(rows, dtype=torch.int64, device=self.device).reshape(-1, _FACTS + len(self.notes))

    def _task_number(self, answer: Answer) -> int:
        if answer.sample.task not in self.tasks:
            raise DataError(
                f"Question {answer.sample.id} has the task {answer.sample.task!r}; this benchmark has "
                f"{', '.join(self.tasks)}. A split without tasks can be predicted, but not scored."
            )
        return self.tasks.index(answer.sample.task)

    def _source_number(self, answer: Answer) -> int:
        return self.sources.index(answer.sample.source) if answer.sample.source in self.sources else -1


class Track3Metric(SpatialMetric):
    """AI City Challenge Track 3: `score` is the official one, the mean of the four categories' accuracies.

    Where a set lacks a category, the mean is over those it has. The challenge scores what is submitted, which
    is what was read out of the answer. `official` is the score by its rules, `ours` the one by rules that
    take numbers for numbers (see `track3_correct`). Where a view has made multiple-choice questions, letters
    are compared, and `official` is null.
    """

    tasks = tuple(CATEGORIES)
    notes = ("right_by_our_rules", "has_choices")

    def judge(self, answer: Answer) -> Judgement:
        """Read the answer in the form of its category and apply both rules."""
        sample = answer.sample
        if sample.answer is None or sample.answer_type is None:
            raise DataError(
                f"Question {sample.id} has no known answer, so it cannot be scored. A split without answers "
                "can only be predicted."
            )
        found = find_answer(answer)
        prediction, read_by = found or (None, None)
        if sample.answer_type is AnswerType.LETTER:
            right = prediction == sample.answer
            return Judgement(prediction, right, (right, True), read_by)
        ours = prediction is not None and track3_correct(sample.task, sample.answer, prediction)
        submitted = self.submitted(answer, prediction)
        official = submitted is not None and track3_official(sample.task, sample.answer, submitted)
        return Judgement(
            None if official is None else submitted, bool(official), (bool(ours), False), read_by
        )

    def submitted(self, answer: Answer, prediction: str | None) -> str | None:
        """What the challenge is given: what was read out of the answer."""
        return prediction

    def summarise(self, verdicts: Verdicts) -> dict[str, Any]:
        """The official score and ours."""
        results = super().summarise(verdicts)
        ours, _ = verdicts.judged_by(0).by_task(len(self.tasks), self.combine)
        if verdicts.notes[:, 1].any():
            return {**results, "official": None, "official_reason": HAS_CHOICES, "ours": plain_score(ours)}
        return {**results, "official": as_score(results), "ours": plain_score(ours)}


def track3_correct(category: str, truth: str, prediction: str) -> bool | None:
    """Our rule for what was read out of an answer; None where that has no readable form.

    It is the challenge's, but for number words, which have borders, and region numbers, which are compared as
    numbers: "03" is 3, and "none" no 1.
    """
    try:
        match category:
            case "count":
                return int(float(truth)) == int(float(prediction))
            case "distance":
                return 0.90 * float(truth) <= float(prediction) <= 1.10 * float(truth)
            case "left_right":
                return SIDES[truth.lower()] == SIDES[prediction.lower()]
            case "mcq":
                return _first_number(truth) == _first_number(prediction)
            case _:
                raise DataError(f"Track 3 has no category {category!r}.")
    except (ValueError, OverflowError, KeyError):
        return None


def _first_number(text: str) -> int:
    """The first digits of the text after number words became digits; raises `ValueError` without any."""
    words = re.compile(rf"\b({'|'.join(NUMBER_WORDS)})\b")
    found = re.search(r"\d+", words.sub(lambda word: NUMBER_WORDS[word[1]], text.lower()))
    if found is None:
        raise ValueError(text)
    return int(found[0])


def _number(name: str) -> int:
    """A 63-bit integer that stands for a name, the same in every process."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1


def how_read(verdicts: Verdicts) -> dict[str, int]:
    """How many answers could not be read, and how many were read by a weak form."""
    return {"unreadable": int(verdicts.unreadable.sum()), "weakly_read": int(verdicts.weak.sum())}


def as_score(results: dict[str, Any]) -> dict[str, Any]:
    """The score of some results without what stands beside it."""
    return {key: results[key] for key in ("score", "n", "interval")}


def plain_score(score: Score) -> dict[str, Any]:
    """A score as plain numbers."""
    return {"score": score.score, "n": score.n, "interval": list(score.interval)}


def plain_scores(names: Sequence[str], scores: Sequence[Score]) -> dict[str, dict[str, Any]]:
    """Named scores as plain numbers, without those of no question."""
    return {name: plain_score(score) for name, score in zip(names, scores, strict=True) if score.n > 0}
