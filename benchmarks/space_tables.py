"""The tables of `measure_space`: from judged answers to rows of numbers, and to text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamodules.benchmarks.reasoning_steps import steps_before_answer
from datamodules.benchmarks.track3_records import CATEGORIES
from datamodules.samples import SpatialSample
from datamodules.scoring.metrics import track3_correct
from datamodules.statistics.intervals import Score, score_with_intervals
from datamodules.statistics.paired import paired_bootstrap
from datamodules.views.mirrored import mirrored_answer
from datamodules.views.mirrored_texts import UnknownDirection
from experiments.report.comparison import ComparedScore, PairedAnswers, compare

BANDS_M = ((0.0, 2.0), (2.0, 5.0), (5.0, float("inf")))
"""True distances that are looked at together, in metres; the upper bound is none of them."""

_PALLETS = re.compile(r"\bpallets?\s+<mask>", re.IGNORECASE)

Row = dict[str, Any]
"""What a row of a table holds: what it is about, `n`, and figures in percent or metres."""


@dataclass(frozen=True)
class Judged:
    """A question with what was read out of its answer (None where nothing was), and whether that is right."""

    sample: SpatialSample
    prediction: str | None
    correct: bool


Answers = Mapping[str, Judged]
"""Judged answers by the ids of their questions."""


def names_pallets(question: str) -> bool:
    """Whether a pallet is among the regions that a question names."""
    return _PALLETS.search(question) is not None


def by_category(answers: Answers) -> list[Row]:
    """The score, which is the mean of the categories, and that of each category."""
    everything = list(answers.values())
    tasks = [list(CATEGORIES).index(each.sample.task) for each in everything]
    total, scores = score_with_intervals(
        _correct(everything), np.array(tasks, int), _images(everything), len(CATEGORIES)
    )
    named = zip(CATEGORIES, scores, strict=True)
    return [_scored("all", total), *(_scored(name, score) for name, score in named if score.n)]


def by_steps(answers: Answers) -> list[Row]:
    """What is right by the steps before the answer, kind by kind, and counts where no pallet is named."""
    rows = []
    for task in ("mcq", "distance", "count"):
        asked = _of_task(answers, task)
        steps = [steps_before_answer(each.sample.rationale) for each in asked]
        for number in sorted(set(steps)):
            of_number = [each for each, count in zip(asked, steps, strict=True) if count == number]
            rows.append(share_row(f"{task} after {number}", of_number))
    counts = _of_task(answers, "count")
    return [*rows, share_row("bare counts", [c for c in counts if not names_pallets(c.sample.question)])]


def distance_bands(answers: Answers) -> list[Row]:
    """Error of distance by the true distance, with and without a pallet among the question's regions."""
    distances = _of_task(answers, "distance")
    kinds: list[tuple[str, Callable[[Judged], bool]]] = [
        ("", lambda each: True),
        (", with a pallet", lambda each: names_pallets(each.sample.question)),
        (", without", lambda each: not names_pallets(each.sample.question)),
    ]
    rows = []
    for low, high in BANDS_M:
        name = f"{low:g} m and more" if high == float("inf") else f"{low:g} to {high:g} m"
        for kind, holds in kinds:
            chosen = [each for each in distances if low <= _metres(each.sample.answer) < high and holds(each)]
            errors = [_relative_error(each) for each in chosen]
            median = float(np.median(errors)) if errors else np.inf
            # Where most cannot be read there is none.
            shown = 100 * median if np.isfinite(median) else None
            rows.append({**share_row(f"{name}{kind}", chosen), "median relative error": shown})
    return rows


def consistency(plain: Answers, mirrored: Answers) -> list[Row]:
    """How often the mirror's answer, brought back, is the plain one, and how often it is right.

    Counts and regions are to be equal, distances within 10 % of the plain answer.
    """
    asked = {each.sample.task for each in plain.values()}
    rows = []
    for task in ("all", *(name for name in CATEGORIES if name in asked)):
        pairs = [(plain[name], mirrored[name]) for name in plain if task in ("all", plain[name].sample.task)]
        agree = [Judged(ours.sample, None, is_consistent(ours, other)) for ours, other in pairs]
        right = _percent(other.correct for _, other in pairs)
        rows.append({**share_row(task, agree, "consistent"), "mirrored right": right})
    return rows


def is_consistent(plain: Judged, mirrored: Judged) -> bool:
    """Whether the answer about the mirror image says of the image what the plain one says."""
    if plain.prediction is None or mirrored.prediction is None:
        return False
    try:
        back = mirrored_answer(mirrored.prediction, plain.sample.answer_type)
    except UnknownDirection:
        return False
    return bool(track3_correct(plain.sample.task, plain.prediction, back))


def alone_against_all(together: Answers, alone: Answers) -> list[Row]:
    """The score with one question an image against that with all of them, in points of plain accuracy."""
    names = list(together)
    first, second = ([answers[name] for name in names] for answers in (together, alone))
    difference = paired_bootstrap(_correct(first), _correct(second), _images(first))
    other = _percent(a.prediction != b.prediction for a, b in zip(first, second, strict=True))
    return [
        share_row("all questions of an image", first),
        share_row("one question an image", second),
        {
            "what": "difference",
            "n": len(names),
            "score": difference.difference,
            "interval": list(difference.interval),
            "other answers": other,
        },
    ]


def paired(ours: Answers, other: Answers) -> list[Row]:
    """Another run's answers against these, over images."""
    names = list(ours)
    answers = PairedAnswers(
        _correct(list(ours.values())),
        _correct([other[name] for name in names]),
        _images(list(ours.values())),
        np.array([each.sample.task for each in ours.values()]),
    )
    return [_compared(score) for score in compare(answers)]


def share_row(what: str, chosen: Sequence[Judged], name: str = "score") -> Row:
    """Which share of some answers is right, in percent, with its 95 % interval over images."""
    score, _ = score_with_intervals(_correct(chosen), np.zeros(len(chosen), int), _images(chosen), 1)
    return _scored(what, score, name)


def as_markdown(title: str, rows: Sequence[Row]) -> str:
    """A table under a heading, its columns those of any row, in order."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"## {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row.get(name)) for name in columns)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
        case [float(low), float(high)]:
            return f"{low:.1f} to {high:.1f}"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


def _scored(what: str, score: Score, name: str = "score") -> Row:
    if not score.n:
        return {"what": what, "n": 0, name: None, "interval": None}
    return {"what": what, "n": score.n, name: score.score, "interval": list(score.interval)}


def _compared(score: ComparedScore) -> Row:
    return {
        "what": score.name,
        "n": score.n,
        "this run": score.score_a,
        "other run": score.score_b,
        "difference": score.difference.difference,
        "interval": list(score.difference.interval),
        "p": score.p_value,
        "can show": score.detectable,
    }


def _of_task(answers: Answers, task: str) -> list[Judged]:
    return [each for each in answers.values() if each.sample.task == task]


def _correct(answers: Sequence[Judged]) -> np.ndarray:
    return np.array([each.correct for each in answers], bool)


def _images(answers: Sequence[Judged]) -> np.ndarray:
    """A number for each answer's image, `[answers]`."""
    names = [each.sample.group or each.sample.id for each in answers]
    return np.unique(names, return_inverse=True)[1]


def _percent(verdicts: Iterable[bool]) -> float | None:
    values = list(verdicts)
    return 100 * sum(values) / len(values) if values else None


def _metres(text: str | None) -> float:
    return float(text or "nan")


def _relative_error(each: Judged) -> float:
    """How far a distance is off, as a part of the true one; infinitely far where none was read."""
    try:
        read = float(each.prediction or "inf")
    except ValueError:
        return float("inf")
    return abs(read - _metres(each.sample.answer)) / _metres(each.sample.answer)
