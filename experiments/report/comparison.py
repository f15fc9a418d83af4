"""Two runs on the same questions: is one better, or may it be chance?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.scoring.prediction_files import records_by_id
from datamodules.statistics.paired import PairedDifference, mcnemar, paired_bootstrap
from experiments.report.results import further_scores, interval, kind_of, percent, read_results
from experiments.run_folders.run_folder import RunError, RunFolder

NEEDED = ("group", "task", "answer", "correct")
"""What a line of predictions must tell beside the question's id."""

ALL = "all questions"

NOTE = """\
The rows hold plain accuracy, the share of right answers: the paired tests need a right or wrong for
each question, which official scores that weigh tasks or sources (above) are not made of. The
interval draws whole images; McNemar's p takes questions as independent. Rows of single tasks are
not corrected for looking at several."""


@dataclass(frozen=True)
class PairedAnswers:
    """Two runs' verdicts on the same questions, `[questions]` each."""

    correct_a: np.ndarray
    correct_b: np.ndarray
    images: np.ndarray
    tasks: np.ndarray


@dataclass(frozen=True)
class ComparedScore:
    """Both runs on some questions: accuracies in percent, their difference, and how likely chance is."""

    name: str
    n: int
    score_a: float
    score_b: float
    difference: PairedDifference
    p_value: float


def paired_answers(file_a: Path, file_b: Path) -> PairedAnswers:
    """Bring the predictions of two runs together by their questions.

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
    if other:
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
    )


def compare(answers: PairedAnswers) -> list[ComparedScore]:
    """Both runs on all questions, then on those of each task."""
    everything = np.ones(len(answers.tasks), bool)
    tasks = list(dict.fromkeys(answers.tasks.tolist()))
    parts = [(ALL, everything)]
    parts += [(task, answers.tasks == task) for task in tasks if len(tasks) > 1]
    return [_compared(name, answers, chosen) for name, chosen in parts]


def as_text(run_a: RunFolder, run_b: RunFolder, scores: list[ComparedScore]) -> str:
    """The comparison as a table to read, closed by what it means in words."""
    width = max(len(score.name) for score in scores)
    lines = [
        f"A: {run_a.path}{_reported(run_a)}",
        f"B: {run_b.path}{_reported(run_b)}",
        "",
        f"{'accuracy':{width}}  {'A':>6}  {'B':>6}  {'B - A':>7}  {'95 % interval':>16}  {'McNemar p':>9}"
        f"  {'n':>6}",
        *(_line(score, width) for score in scores),
        "",
        NOTE,
        "",
        conclusion(scores[0]),
    ]
    return "\n".join(lines)


def conclusion(score: ComparedScore) -> str:
    """What a comparison means, in a sentence."""
    low, high = score.difference.interval
    points = f"{abs(score.difference.difference):.2f} points, 95 % interval of B - A {low:.2f} to {high:.2f}"
    leader = "B" if score.difference.difference > 0 else "A"
    shown, unlikely = not low <= 0 <= high, score.p_value < 0.05
    if shown and unlikely:
        return f"{leader} is better, by {points}."
    if shown != unlikely:
        return f"Not clear: {leader} leads by {points}, and interval and test disagree. Take more questions."
    return f"No difference shown ({points}). That does not show them equal: see the interval."


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
    a, b = answers.correct_a[chosen], answers.correct_b[chosen]
    return ComparedScore(
        name,
        len(a),
        float(100 * a.mean()),
        float(100 * b.mean()),
        paired_bootstrap(a, b, answers.images[chosen]),
        mcnemar(a, b),
    )


def _line(score: ComparedScore, width: int) -> str:
    low, high = score.difference.interval
    between = f"{low:+.2f} to {high:+.2f}"
    return (
        f"{score.name:{width}}  {score.score_a:6.2f}  {score.score_b:6.2f}"
        f"  {score.difference.difference:+7.2f}  {between:>16}  {score.p_value:9.2g}  {score.n:6,}"
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
