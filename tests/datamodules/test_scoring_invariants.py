"""What holds for every score: images count and not questions, and the question decides what is right."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.answers import read_answer
from datamodules.base import Role
from datamodules.benchmarks.track3_records import CATEGORIES
from datamodules.samples import Answer, AnswerType, DataError, SpatialSample
from datamodules.scoring.baselines import best_fixed_answers, majority_baseline
from datamodules.scoring.choice_metrics import (
    CvBenchMetric,
    OmniSpatialMetric,
    OwnQuestionsMetric,
    SpaceThinkerMetric,
)
from datamodules.scoring.joined_metric import JoinedMetric
from datamodules.scoring.metrics import SpatialMetric, Track3Metric
from datamodules.scoring.prediction_files import read_predictions, require_same_ids
from datamodules.scoring.score_track3 import score_track3
from datamodules.statistics.intervals import draw_images, score_with_intervals
from tests.helpers.memory_data import MemoryData, MemoryQuestions

METRICS = [Track3Metric, CvBenchMetric, OmniSpatialMetric, SpaceThinkerMetric, OwnQuestionsMetric]
IMAGES = 120
SAID = {
    AnswerType.COUNT: ("3", "4"),
    AnswerType.DISTANCE: ("2 m", "9 m"),
    AnswerType.SIDE: ("left", "right"),
    AnswerType.REGION: ("3", "4"),
    AnswerType.LETTER: ("A", "B"),
}
"""A right and a wrong answer of each form."""


def answers(metric: type[SpatialMetric], copies: int = 1, part: int = 0) -> list[Answer]:
    """Each image has one question, or so many copies of it, of which a random 60 % are answered rightly."""
    right = np.random.default_rng(0).random(IMAGES) < 0.6
    made = []
    for number in range(IMAGES):
        task = metric.tasks[number % len(metric.tasks)]
        form = (
            AnswerType.DISTANCE if task in ("distance", "size") else CATEGORIES.get(task, AnswerType.LETTER)
        )
        truth, wrong = SAID[form]
        sample = SpatialSample(
            "",
            "?",
            choices=("x", "y") if form is AnswerType.LETTER else (),
            answer=truth.removesuffix(" m") if metric is Track3Metric else truth,
            answer_type=form,
            task=task,
            source=metric.sources[number // 7 % len(metric.sources)] if metric.sources else "",
            group=f"image {number}",
        )
        for copy in range(copies):
            name = f"{number}/{copy}"
            made.append(Answer(sample.replace(id=name, part=part), truth if right[number] else wrong))
    return made


def scored(metric: SpatialMetric | JoinedMetric, asked: list[Answer]) -> dict[str, Any]:
    metric.update(asked)
    result: dict[str, Any] = metric.compute()
    return result


def parts(result: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every score within a result, by its name."""
    if "interval" in result:
        yield name, result
    for key, value in result.items():
        if isinstance(value, dict):
            yield from parts(value, f"{name}/{key}")


@pytest.mark.parametrize("metric", METRICS)
def test_copies_of_a_question_make_no_interval_narrower(metric: type[SpatialMetric]) -> None:
    single, copied = (dict(parts(scored(metric(), answers(metric, copies)))) for copies in (1, 5))
    assert len(single) > len(metric.tasks) + len(metric.sources)
    for name, score in single.items():
        assert copied[name]["interval"] == pytest.approx(score["interval"]), name
        # Each image has one question, of tasks and sources that are equally large.
        deviation = math.sqrt(score["score"] * (100 - score["score"]) / score["n"])
        assert np.ptp(score["interval"]) == pytest.approx(2 * 1.96 * deviation, rel=0.3), name


def test_copies_of_a_question_in_files_make_no_interval_narrower(tmp_path: Path) -> None:
    results = []
    for copies in (1, 4):
        names = [(number, copy) for number in range(40) for copy in range(copies)]
        values: dict[str, list[dict[str, Any]]] = {
            "truth": [{"normalized_answer": 3, "image": f"{n}.png", "category": "count"} for n, _ in names],
            "said": [{"normalized_answer": 3 + (n % 3 == 0)} for n, _ in names],
        }
        for kind, records in values.items():
            rows = [{"id": f"{n}/{c}", **record} for (n, c), record in zip(names, records, strict=True)]
            (tmp_path / f"{kind}.json").write_text(json.dumps(rows))
        results.append(score_track3(tmp_path / "truth.json", tmp_path / "said.json"))
    for (name, single), (_, copied) in zip(*map(parts, results), strict=True):
        assert copied["interval"] == pytest.approx(single["interval"]), name


def test_the_exact_bounds_count_the_images_that_a_task_was_asked_of() -> None:
    """Task 0: three images with two questions each, all right; task 1: five images, none right."""
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7])
    tasks = np.array([0] * 6 + [1] * 5)
    _, (first, second) = score_with_intervals(tasks == 0, tasks, groups, 2)
    assert first.interval == pytest.approx((100 * 0.025 ** (1 / 3), 100))
    assert second.interval == pytest.approx((0, 100 - 100 * 0.025 ** (1 / 5)))


def test_every_image_is_drawn_as_often_as_any_other() -> None:
    drawn = draw_images(np.eye(8), 4000, seed=0)
    assert (drawn.sum(1) == 8).all()
    assert drawn.mean(0) == pytest.approx(np.ones(8), abs=0.08)
    assert drawn.var(0) == pytest.approx(np.full(8, 7 / 8), abs=0.1)  # of 8 throws at 1 of 8


def test_a_joined_score_is_the_mean_of_independent_scores() -> None:
    kinds: list[type[SpatialMetric]] = [Track3Metric, CvBenchMetric, SpaceThinkerMetric]
    asked = [answers(kind, part=part)[: IMAGES - 40 * part] for part, kind in enumerate(kinds[:2])]
    alone = [scored(kind(), given) for kind, given in zip(kinds, asked, strict=False)]
    joined = JoinedMetric([(kind.__name__, kind()) for kind in kinds])  # the third is asked nothing
    result = scored(joined, [*asked[1], *asked[0]])
    assert result["score"] == pytest.approx(np.mean([each["score"] for each in alone]))
    widths = [np.ptp(each["interval"]) for each in alone]
    assert np.ptp(result["interval"]) == pytest.approx(math.sqrt(np.square(widths).sum()) / 2)
    assert np.mean(result["interval"]) == pytest.approx(result["score"])
    assert (result["n"], len(result["tasks"])) == (2 * IMAGES - 40, 8)
    for part, kind in enumerate(kinds[:2]):
        for answer in asked[part][:9]:
            assert joined.judge(answer) == kind().judge(answer)


WHICH = "Which object is closer to the camera, the bus or the car?"
WHERE = "Is the pallet <mask> to the left or right of the pallet <mask>?"
LETTER = {"choices": ("bus", "car"), "answer": "B", "answer_type": AnswerType.LETTER}
SIDE: dict[str, Any] = {"answer": "left", "answer_type": AnswerType.SIDE}
BY_THE_QUESTION: list[tuple[type[SpatialMetric], str, str, dict[str, Any]]] = [
    (CvBenchMetric, WHICH, "The bus is farther away.", {**LETTER, "source": "COCO"}),
    (OmniSpatialMetric, WHICH, "The bus is farther away.", LETTER),
    (SpaceThinkerMetric, WHICH, "The bus is farther away.", LETTER),
    (OwnQuestionsMetric, WHICH, "The bus is farther away.", LETTER),
    (Track3Metric, WHICH, "The bus is farther away.", {**LETTER, "task": "mcq"}),
    (Track3Metric, WHERE, "[Region 1] is on the right of [Region 0].", {**SIDE, "task": "left_right"}),
    (OwnQuestionsMetric, WHERE, "[Region 1] is on the right of [Region 0].", SIDE),
    *(
        (metric, "How tall is the box?", "The box is 1 m tall and 2.5 m from the shelf.", length)
        for metric in (SpaceThinkerMetric, OwnQuestionsMetric)
        for length in ({"answer": "1 m", "answer_type": AnswerType.DISTANCE},)
    ),
    *(
        (metric, "How many buses are there?", "I see 2 buses and 3 cars.", count)
        for metric in (SpaceThinkerMetric, OwnQuestionsMetric)
        for count in ({"answer": "2", "answer_type": AnswerType.COUNT},)
    ),
]


@pytest.mark.parametrize(("metric", "question", "raw", "options"), BY_THE_QUESTION)
def test_every_judge_reads_an_answer_by_its_question(
    metric: type[SpatialMetric], question: str, raw: str, options: dict[str, Any]
) -> None:
    sample = SpatialSample("a", question, **options)
    assert metric().judge(Answer(sample, raw)).correct
    assert not metric().judge(Answer(sample.replace(question="What is it?"), raw)).correct
    if sample.answer_type in (AnswerType.LETTER, AnswerType.SIDE, AnswerType.COUNT):
        assert read_answer(Answer(sample, raw)) == sample.answer  # as it is submitted


@pytest.mark.parametrize("low", np.linspace(0.5, 9, 18).round(2))
@pytest.mark.parametrize("truth", [(4.0, 4.0), (2.0, 4.0), (2.5, 3.5)])
def test_a_length_is_judged_by_its_middle_and_both_borders(low: float, truth: tuple[float, float]) -> None:
    """From a half to twice, and from 75 to 125 %."""
    for high in (low, round(low * 1.5, 2)):
        written = ["-".join(f"{end:.2f}" for end in ends) + " m" for ends in ((low, high), truth)]
        sample = SpatialSample("a", "?", answer=written[1], answer_type=AnswerType.DISTANCE, task="distance")
        judged = SpaceThinkerMetric().judge(Answer(sample, written[0]))
        middle = (low + high) / 2
        assert judged.correct == (truth[0] * 0.5 <= middle <= truth[1] * 2)
        assert judged.notes == (True, truth[0] * 0.75 <= middle <= truth[1] * 1.25)


def test_a_count_is_not_cut_off() -> None:
    for said, right in {"3": True, "3.0": True, "3.7": False, "2.9": False}.items():
        sample = SpatialSample("a", "?", answer="3", answer_type=AnswerType.COUNT, task="count")
        assert SpaceThinkerMetric().judge(Answer(sample, said)).correct is right


def test_what_a_model_wrote_is_read_before_what_was_made_of_it_and_never_the_truth(tmp_path: Path) -> None:
    lines: Sequence[dict[str, Any]] = [
        {"raw": "It is B.", "prediction": "B", "answer": "C"},
        {"prediction": "B", "answer": "C"},
        {"answer": "C"},
        {"prediction": None, "answer": "C"},
        {"answer": 2.5},
    ]
    rows = [json.dumps({"id": number, **line}) for number, line in enumerate(lines)]
    (tmp_path / "predictions.jsonl").write_text("\n".join(rows))
    read = read_predictions(tmp_path / "predictions.jsonl")
    assert [written.text for written in read.values()] == ["It is B.", "B", "C", "", "2.5"]


@pytest.mark.parametrize(
    ("said", "told"), [("ab", "1 ids are missing and 0"), ("abcd", "0 ids .* 1 are extra")]
)
def test_answers_are_for_exactly_the_questions(said: str, told: str) -> None:
    require_same_ids("abc", "cab", (Path("truth"), Path("said")))
    with pytest.raises(DataError, match=told):
        require_same_ids("abc", said, (Path("truth"), Path("said")))


def test_no_fixed_distance_of_whole_centimetres_beats_the_baseline() -> None:
    for seed in range(20):
        truths = np.random.default_rng(seed).uniform(0.05, 1.5, 12).round(3)
        fixed = best_fixed_answers([("d", str(truth)) for truth in truths], {"d": AnswerType.DISTANCE})["d"]

        def reached(distance: float, truths: np.ndarray = truths) -> int:
            return int(((0.9 * truths <= distance) & (distance <= 1.1 * truths)).sum())

        assert reached(float(fixed)) == max(reached(centimetre / 100) for centimetre in range(200))


class _Counted(MemoryQuestions):
    """One counting question an image; the answer is 1 in training and 2 everywhere else."""

    def samples(self, group: int, chosen: Sequence[int]) -> list[SpatialSample]:
        answer = "1" if self.first == 0 else "2"
        return [
            SpatialSample(f"{group}/{n}", "?", answer=answer, answer_type=AnswerType.COUNT, task="count")
            for n in chosen
        ]


class _CountedData(MemoryData):
    def open_split(self, role: Role) -> MemoryQuestions:
        return _Counted({"train": 0, "val": 1, "test": 2}[role], 1 if role == "train" else 5, each=1)


def test_the_majority_baseline_knows_the_training_answers_alone() -> None:
    assert majority_baseline(_CountedData())["score"] == 0
