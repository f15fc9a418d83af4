"""Two runs on the same questions: is one better, or may it be chance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datamodules import views
from datamodules.scoring.prediction_files import records_by_id
from datamodules.statistics.paired import (
    FEW_IMAGES,
    LARGEST_FAMILY,
    PairedDifference,
    design_effect,
    holm,
    paired_bootstrap,
    sign_flip_test,
)
from datamodules.statistics.power import detectable_difference
from experiments.experiment_files.registry import read_yaml
from experiments.report.results import further_scores, interval, kind_of, percent, read_results
from experiments.run_folders.run_folder import RunError, RunFolder

NEEDED = ("group", "task", "answer", "correct")
"""What a line of predictions must tell beside the question's id."""

ALL = "all questions"

DECIDES_QUESTIONS = (
    "class_path",
    "root",
    "splits",
    "tasks",
    "questions",
    "difficulty",
    "size",
    "scenes_seed",
)
"""Settings of data by which the questions of a test differ, beside how many scenes are rendered."""

NOTE = """\
The rows hold plain accuracy, the share of right answers: the paired tests need a right or wrong for
each question, which official scores that weigh tasks or sources (above) are not made of. The
interval draws whole images, and p flips the signs of whole images' differences (mid-p; McNemar's
where each image has one question). The tasks are one family, named before anything was seen:
Holm p is corrected for their number, where there are at most six. "Can show" is the smallest
difference that so many questions with so much disagreement find four times out of five."""


@dataclass(frozen=True)
class PairedAnswers:
    """Two runs' verdicts on the same questions, `[questions]` each.

    `other_truths` says of how many questions the true answers differ, since a view has moved them.
    """

    correct_a: np.ndarray
    correct_b: np.ndarray
    images: np.ndarray
    tasks: np.ndarray
    other_truths: int = 0


@dataclass(frozen=True)
class ComparedScore:
    """Both runs on some questions.

    Attributes:
        name: which questions.
        n: how many.
        images: of how many images.
        score_a, score_b: accuracies in percent.
        difference: of the two.
        p_value: how likely chance is to show as much.
        detectable: the smallest difference, in points, that these questions could show.
        adjusted: the p-value, adjusted for its family, where it is one of a family.
    """

    name: str
    n: int
    images: int
    score_a: float
    score_b: float
    difference: PairedDifference
    p_value: float
    detectable: float
    adjusted: float | None = None


def paired_answers(file_a: Path, file_b: Path, moved_by: Sequence[str] = ()) -> PairedAnswers:
    """Bring the predictions of two runs together by their questions.

    Args:
        file_a: predictions of one run.
        file_b: those of the other.
        moved_by: views of one of them that move true answers, such as a mirror; without any, questions have
            the same true answer in both.

    Raises:
        DataError: a file is malformed or repeats an id.
        RunError: the runs answered different questions, hold different truths for some, or are not judged.
    """
    lines_a, lines_b = records_by_id(file_a), records_by_id(file_b)
    only_a, only_b = lines_a.keys() - lines_b.keys(), lines_b.keys() - lines_a.keys()
    if only_a or only_b:
        raise RunError(
            f"The runs answered different questions: {len(only_a)} ids are only in {file_a} and "
            f"{len(only_b)} only in {file_b}; {len(lines_a.keys() & lines_b.keys())} are in both. Test both "
            "runs on the same split."
        )
    for lines, file in ((lines_a, file_a), (lines_b, file_b)):
        _require_judged(lines, file)
    other = [name for name, line in lines_a.items() if line["answer"] != lines_b[name]["answer"]]
    if other and not moved_by:
        raise RunError(
            f"{len(other)} of {len(lines_a)} questions have other true answers in {file_b} than in {file_a}, "
            f"for example {other[0]!r}: the data (or a view on them) differ, so the runs cannot be compared."
        )
    names = list(lines_a)
    group = [lines_a[name]["group"] or name for name in names]
    return PairedAnswers(
        np.array([lines_a[name]["correct"] for name in names], bool),
        np.array([lines_b[name]["correct"] for name in names], bool),
        np.unique(group, return_inverse=True)[1],
        np.array([lines_a[name]["task"] for name in names]),
        len(other),
    )


def views_that_move_truth(run_a: RunFolder, run_b: RunFolder) -> list[str]:
    """The views of only one of two runs through which questions have other true answers, by name."""
    if _questions(run_a) != _questions(run_b):
        return []  # other questions have other true answers, whatever the views
    views_a, views_b = _views(run_a), _views(run_b)
    apart = [view for view in views_a if view not in views_b]
    apart += [view for view in views_b if view not in views_a]
    names = [view["class_path"].rpartition(".") for view in apart]
    return [
        name
        for package, _, name in names
        if package == views.__name__ and getattr(getattr(views, name, None), "moves_truth", False)
    ]


def compare(answers: PairedAnswers) -> list[ComparedScore]:
    """Both runs on all questions, then on those of each task.

    Raises:
        ComparisonError: all questions are of one image.
    """
    everything = np.ones(len(answers.tasks), bool)
    tasks = list(dict.fromkeys(answers.tasks.tolist()))
    parts = [(ALL, everything)]
    parts += [(task, answers.tasks == task) for task in tasks if len(tasks) > 1]
    whole, *of_tasks = [_compared(name, answers, chosen) for name, chosen in parts]
    if len(of_tasks) <= LARGEST_FAMILY:
        adjusted = holm([score.p_value for score in of_tasks])
        of_tasks = [replace(score, adjusted=p) for score, p in zip(of_tasks, adjusted, strict=True)]
    return [whole, *of_tasks]


def as_text(run_a: RunFolder, run_b: RunFolder, scores: list[ComparedScore], moved: str = "") -> str:
    """The comparison as a table to read, closed by what it means in words.

    Args:
        run_a: one run.
        run_b: the other.
        scores: both on all questions and on those of each task.
        moved: what is to be said of true answers that differ.
    """
    width = max(len(score.name) for score in scores)
    lines = [
        f"A: {run_a.path}{_reported(run_a)}",
        f"B: {run_b.path}{_reported(run_b)}",
        "",
        f"{'accuracy':{width}}  {'A':>6}  {'B':>6}  {'B - A':>7}  {'95 % interval':>16}  {'p':>7}"
        f"  {'Holm p':>7}  {'can show':>8}  {'n':>6}",
        *(_line(score, width) for score in scores),
        "",
        NOTE,
        "",
        *([moved, ""] if moved else []),
        conclusion(scores[0]),
    ]
    return "\n".join(lines)


def said_of_truths(answers: PairedAnswers, moved_by: Sequence[str]) -> str:
    """That true answers differ, and why; "" where they do not."""
    if not answers.other_truths:
        return ""
    return (
        f"{answers.other_truths:,} questions have other true answers in B than in A, since one of them was "
        f"asked through {' and '.join(moved_by)}: right and wrong are compared, each by its own truth."
    )


def conclusion(score: ComparedScore) -> str:
    """What a comparison means, in a sentence."""
    low, high = score.difference.interval
    points = f"{abs(score.difference.difference):.2f} points, 95 % interval of B - A {low:.2f} to {high:.2f}"
    few = ""
    if score.images < FEW_IMAGES:
        few = f" There are {score.images} images only, so that interval and p are too sure."
    leader = "B" if score.difference.difference > 0 else "A"
    shown, unlikely = not low <= 0 <= high, score.p_value < 0.05
    if shown and unlikely:
        return f"{leader} is better, by {points}.{few}"
    if shown != unlikely:
        unclear = "and interval and test disagree. Take more questions."
        return f"Not clear: {leader} leads by {points}, {unclear}{few}"
    return (
        f"No difference shown ({points}). That does not show them equal: see the interval. "
        f"{_could_show(score)}{few}"
    )


def _data(run: RunFolder) -> dict[str, Any]:
    """The settings of a run's data; of a mixture those of the benchmark that is scored."""
    data = (read_yaml(run.config).get("data") or {}) if run.config.is_file() else {}
    arguments = dict(data.get("init_args") or {})
    scored = arguments.get("evaluation")
    if isinstance(scored, dict):
        own = dict(scored.get("init_args") or {})
        views = [*(own.get("views") or []), *(arguments.get("views") or [])]
        return {**arguments, **own, "views": views, "class_path": scored.get("class_path")}
    return {**arguments, "class_path": data.get("class_path")}


def _views(run: RunFolder) -> list[dict[str, Any]]:
    return list(_data(run).get("views") or [])


def _questions(run: RunFolder) -> dict[str, Any]:
    """The settings that decide which questions are asked, but for the views."""
    data = _data(run)
    scenes = data.get("scenes")
    tested = {split: count for split, count in scenes.items() if split != "train"} if scenes else None
    return {**{name: data.get(name) for name in DECIDES_QUESTIONS}, "scenes": tested}


def _could_show(score: ComparedScore) -> str:
    if math.isinf(score.detectable):
        return "So few questions with so little disagreement could show no difference at all."
    return f"A difference of {score.detectable:.2f} points would be found four times out of five."


def _require_judged(lines: dict[str, dict[str, Any]], file: Path) -> None:
    for name, line in lines.items():
        missing = [key for key in NEEDED if key not in line]
        if missing:
            raise RunError(
                f"Question {name} of {file} has no {' and no '.join(missing)}, so the file is not what a run "
                "writes as predictions.jsonl."
            )
        if line["correct"] is None:
            raise RunError(
                f"Question {name} of {file} was answered, but not judged. Only a test on a split with known "
                "answers can be compared."
            )


def _compared(name: str, answers: PairedAnswers, chosen: np.ndarray) -> ComparedScore:
    a, b, images = answers.correct_a[chosen], answers.correct_b[chosen], answers.images[chosen]
    count = len(np.unique(images))
    # A task may have one image alone; of all questions that is refused.
    effect = design_effect(a, b, images) if count > 1 or name == ALL else 1.0
    return ComparedScore(
        name,
        len(a),
        count,
        float(100 * a.mean()),
        float(100 * b.mean()),
        paired_bootstrap(a, b, images),
        sign_flip_test(a, b, images),
        detectable_difference(len(a), float((a != b).mean()), effect) if count > 1 else math.inf,
    )


def _line(score: ComparedScore, width: int) -> str:
    low, high = score.difference.interval
    between = f"{low:+.2f} to {high:+.2f}"
    return (
        f"{score.name:{width}}  {score.score_a:6.2f}  {score.score_b:6.2f}"
        f"  {score.difference.difference:+7.2f}  {between:>16}  {score.p_value:7.2g}"
        f"  {'-' if score.adjusted is None else format(score.adjusted, '.2g'):>7}"
        f"  {'-' if math.isinf(score.detectable) else format(score.detectable, '.2f'):>8}  {score.n:6,}"
    )


def _reported(run: RunFolder) -> str:
    """The run's own scores, as far as it has written them down."""
    results = read_results(run)
    if results is None:
        return ""
    scores = {f"score{kind_of(results)}": results, **further_scores(results)}
    said = [f"{name} {percent(score)} ({interval(score)})" for name, score in scores.items() if score["n"]]
    if "official_reason" in results:
        said.append(f"no official score: {results['official_reason']}")
    return "".join(f"\n   {line}" for line in said)
