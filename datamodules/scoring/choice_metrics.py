"""The scores of the multiple-choice benchmarks and of SpaceThinker."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from datamodules.answers import FINDERS, Length, find_choice, find_count, find_length, read_count, read_length
from datamodules.answers.choice_texts import words_of
from datamodules.answers.final_answer import final_answer
from datamodules.benchmarks.space_thinker_text import answer_type_of
from datamodules.samples import Answer, AnswerType, DataError, SpatialSample
from datamodules.scoring.metrics import (
    Judgement,
    SpatialMetric,
    Verdicts,
    as_score,
    how_read,
    plain_score,
    plain_scores,
)
from datamodules.scoring.official_rules import asks_for_answer_line, omni_spatial_official

WITHIN_A_FACTOR_OF_TWO = (0.5, 2.0)
"""How far SpatialVLM lets an answer lie below and above the true length, as factors."""

WITHIN_25_PERCENT = (0.75, 1.25)
"""The same, stricter."""

ASKED_OTHERWISE = (
    "The official protocol reads a written line `Answer: X` alone and takes every other answer for A, and "
    "not all of these answers were asked for in that form: say so in `prompt`, and set `answering: generate`."
)
"""Why OmniSpatial has no official score of a run."""


class ChoiceMetric(SpatialMetric):
    """Base of the multiple-choice benchmarks: letters as `find_choice` reads them.

    An unreadable answer is wrong. The score is the micro-accuracy (the share of correct answers, whatever the
    task), which stands under `ours` as well where there is an official one; that may take its place.
    """

    def judge(self, answer: Answer) -> Judgement:
        """Compare the letter that the answer decides for with the true one."""
        truth = true_answer(answer)
        if not answer.sample.letters:
            raise DataError(
                f"Question {answer.sample.id} is no multiple-choice question, and {type(self).__name__} "
                "scores only those. Score it with the metric of its own dataset."
            )
        sample = answer.sample
        letter, read_by = find_choice(answer.raw, sample.letters, sample.choices, sample.question) or (
            None,
            None,
        )
        return Judgement(letter, letter == truth, read_by=read_by)

    def summarise(self, verdicts: Verdicts) -> dict[str, Any]:
        """The micro-accuracy, also by task and (where the benchmark names them) by source."""
        _, by_task = verdicts.by_task(len(self.tasks))
        results = {
            **plain_score(verdicts.accuracy()),
            **how_read(verdicts),
            "tasks": plain_scores(self.tasks, by_task),
        }
        listed = verdicts.where(verdicts.sources >= 0)
        _, by_source = listed.by_source(len(self.sources))
        if by_source and listed.images.size:
            results["sources"] = plain_scores(self.sources, by_source)
        return results


class CvBenchMetric(ChoiceMetric):
    """CV-Bench: `score` is the official one, (2D + 3D) / 2 with 2D = (ADE20K + COCO) / 2 and 3D = Omni3D.

    A part without questions is left out of its mean. It stands under `official` as well, and under `ours` the
    plain micro-accuracy, which some report instead. Both intervals come from the same drawn images.
    """

    tasks = ("Count", "Relation", "Depth", "Distance")
    sources = ("ADE20K", "COCO", "Omni3D")

    def judge(self, answer: Answer) -> Judgement:
        """Compare letters; raises `DataError` where the source is none of those that the score combines."""
        if answer.sample.source not in self.sources:
            raise DataError(
                f"Question {answer.sample.id} has the source {answer.sample.source!r}; the official score of "
                f"CV-Bench combines {', '.join(self.sources)}."
            )
        return super().judge(answer)

    def summarise(self, verdicts: Verdicts) -> dict[str, Any]:
        """The official score, the micro-accuracy, and both parts by task and source."""
        official, _ = verdicts.by_source(len(self.sources), cv_bench_score)
        results = super().summarise(verdicts)
        ours = as_score(results)
        return {**results, **plain_score(official), "official": plain_score(official), "ours": ours}


def cv_bench_score(correct: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The official score from correct answers and questions of ADE20K, COCO and Omni3D, `[..., 3]`.

    Returns:
        The score in 0..100, `[...]`; sources and parts without questions are left out.
    """
    asked = count > 0
    percent = np.divide(100 * correct, count, out=np.zeros_like(correct, dtype=float), where=asked)
    flat = percent[..., :2].sum(-1) / np.maximum(asked[..., :2].sum(-1), 1)
    parts = asked[..., :2].any(-1).astype(int) + asked[..., 2]
    score: np.ndarray = (flat + percent[..., 2]) / np.maximum(parts, 1)
    return score


class OmniSpatialMetric(ChoiceMetric):
    """OmniSpatial: `score` is `ours`, the micro-accuracy with unreadable answers counted as wrong.

    The official protocol reads nothing but the last `Answer: X` and counts all else as "A", which is right
    for 28.5 % of the questions. Its number stands under `official` where every answer was asked for in that
    form, or where nobody knows how it was asked for; else that is null, and `official_reason` says why.
    """

    tasks = ("Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic", "Perspective_Taking")
    sources = (
        "Manipulation",
        "Motion_Analysis",
        "Traffic_Analysis",
        "Localization",
        "Geospatial_Strategy",
        "Pattern_Recognition",
        "Geometric_Reasoning",
        "Egocentric",
        "Allocentric",
        "Hypothetical",
    )
    """The benchmark's `sub_task_type`s."""
    notes = ("right_officially", "asked_otherwise")

    def judge(self, answer: Answer) -> Judgement:
        """Compare letters, and note what the official protocol says, and whether it was followed."""
        judgement = super().judge(answer)
        official = omni_spatial_official(answer.raw) == answer.sample.answer
        otherwise = answer.asked is not None and not asks_for_answer_line(answer.asked)
        return dataclasses.replace(judgement, notes=(official, otherwise))

    def summarise(self, verdicts: Verdicts) -> dict[str, Any]:
        """The micro-accuracy, by task and sub-task, and the official number."""
        results = super().summarise(verdicts)
        ours = as_score(results)
        if verdicts.notes[:, 1].any():
            return {**results, "official": None, "official_reason": ASKED_OTHERWISE, "ours": ours}
        return {**results, "official": plain_score(verdicts.judged_by(0).accuracy()), "ours": ours}


class SpaceThinkerMetric(ChoiceMetric):
    """SpaceThinker, which has no official score: `score` is the micro-accuracy.

    - A length is correct when it lies within a factor of two of the true one, as SpatialVLM counts: from half
      of the true range's lower end to twice its upper end. An answer that is a range stands for its middle.
      `within_25_percent` is the stricter share of the lengths from 75 % to 125 %, `within_factor_2` the share
      by the usual rule, both among questions for lengths only. A true length of 0 accepts only 0.
    - A count is correct when the numbers are equal, a letter when the letters are.
    - A text is correct when it is the same but for case, punctuation, articles and number words.

    A true answer that is called a length but cannot be read as one is compared as a text.
    """

    tasks = ("distance", "size", "count", "relation", "other")
    notes = ("is_length", "within_25_percent")

    def judge(self, answer: Answer) -> Judgement:
        """Read the answer in the form of the true one and compare."""
        truth, form = true_answer(answer), answer.sample.answer_type
        true_length = read_length(truth) if form is AnswerType.DISTANCE else None
        if true_length is not None:
            length, read_by = find_length(answer.raw, answer.sample.question) or (None, None)
            return Judgement(
                _written(length) if length else None,
                length is not None and within(length, true_length, WITHIN_A_FACTOR_OF_TWO),
                (True, length is not None and within(length, true_length, WITHIN_25_PERCENT)),
                read_by,
            )
        if form is AnswerType.LETTER:
            judgement = super().judge(answer)
        elif form is AnswerType.COUNT and (true_count := read_count(truth)) is not None:
            count, read_by = find_count(answer.raw, answer.sample.question) or (None, None)
            judgement = Judgement(count, count is not None and float(count) == float(true_count), (), read_by)
        else:
            text = final_answer(answer.raw)
            judgement = Judgement(text or None, bool(text) and words_of(text) == words_of(truth))
        return dataclasses.replace(judgement, notes=(False, False))

    def summarise(self, verdicts: Verdicts) -> dict[str, Any]:
        """The micro-accuracy, by task, and how exact the lengths are."""
        lengths = verdicts.where(verdicts.notes[:, 0] > 0)
        return {
            **super().summarise(verdicts),
            "within_factor_2": plain_score(lengths.accuracy()),
            "within_25_percent": plain_score(lengths.judged_by(1).accuracy()),
        }


class OwnQuestionsMetric(SpaceThinkerMetric):
    """Questions of one's own: `score` is the share of right answers, judged as SpaceThinker's are.

    Sides and regions are right when they are the same. Where the questions do not say of which form an answer
    is, the true answer does: a length with its unit, a bare number, or else a text.
    """

    def judge(self, answer: Answer) -> Judgement:
        """Read the answer in the form of the true one and compare."""
        truth, sample = true_answer(answer), answer.sample
        form = sample.answer_type or answer_type_of(truth, sample.task)
        if form in (AnswerType.SIDE, AnswerType.REGION):
            prediction, read_by = FINDERS[form](answer.raw, sample.question) or (None, None)
            meant = FINDERS[form](truth, "")
            right = prediction is not None and meant is not None and prediction == meant.value
            return Judgement(prediction, right, (False, False), read_by)
        return super().judge(Answer(sample.replace(answer_type=form), answer.raw))


def within(length: Length, truth: Length, factors: tuple[float, float]) -> bool:
    """Whether the middle of a length lies in the true range, widened by a factor at each end."""
    return factors[0] * truth.low <= length.middle <= factors[1] * truth.high


def true_answer(answer: Answer) -> str:
    """The true answer to a question; raises `DataError` where it is not known."""
    sample: SpatialSample = answer.sample
    if sample.answer is None:
        raise DataError(
            f"Question {sample.id} has no known answer, so it cannot be scored. A split without answers can "
            "only be predicted."
        )
    return sample.answer


def _written(length: Length) -> str:
    """A length in metres as it stands in the predictions."""
    low, high = (f"{end:.4g}" for end in length)
    return f"{low} m" if low == high else f"{low}-{high} m"
