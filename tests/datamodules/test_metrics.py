"""The official Track 3 score against an independent reading of its rules, alone and distributed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.benchmarks.track3_records import CATEGORIES
from datamodules.samples import Answer, AnswerType, DataError, SpatialSample
from datamodules.scoring.metrics import Judgement, Track3Metric, track3_correct
from datamodules.scoring.official_rules import track3_official
from datamodules.scoring.score_track3 import score_track3
from datamodules.scoring.submission import write_submission
from tests.helpers.forked import in_processes

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def answer(name: str, task: str, truth: str | None, raw: str, group: str = "") -> Answer:
    sample = SpatialSample(name, "?", answer=truth, answer_type=CATEGORIES.get(task), task=task, group=group)
    return Answer(sample, raw)


def reference(task: str, truth: str, prediction: str) -> bool:
    """The rules once more, written down from their description."""
    if task == "count":
        return int(float(truth)) == int(float(prediction))
    if task == "distance":
        return 0.90 * float(truth) <= float(prediction) <= 1.10 * float(truth)
    if task == "left_right":
        return prediction.lower()[0] == truth[0]
    words = re.sub(r"[a-z]+", lambda word: str(WORDS.index(word[0])), prediction.lower())
    return re.search(r"\d+", words)[0] == truth  # type: ignore[index]


QUESTIONS = st.one_of(
    st.tuples(st.just("count"), st.integers(0, 9).map(str), st.integers(0, 9).map(str)),
    st.tuples(
        st.just("distance"),
        st.integers(0, 300).map(lambda value: str(value / 100)),
        st.integers(0, 300).map(lambda value: str(value / 100)),
    ),
    st.tuples(
        st.just("left_right"), st.sampled_from(["left", "right"]), st.sampled_from(["Left", "right", "l"])
    ),
    st.tuples(st.just("mcq"), st.integers(0, 9).map(str), st.sampled_from([*WORDS, *"0123456789"])),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(QUESTIONS, min_size=1, max_size=40))
def test_score_equals_the_reference(questions: list[tuple[str, str, str]]) -> None:
    metric = Track3Metric()
    answers = [
        answer(str(number), *question, group=str(number // 3)) for number, question in enumerate(questions)
    ]
    metric.update(answers[:7])
    metric.update(answers[7:])
    metric.update(answers[:3])  # a padded sampler shows some questions twice
    result = metric.compute()
    accuracies = {}
    for task in {task for task, _, _ in questions}:
        verdicts = [reference(*question) for question in questions if question[0] == task]
        accuracies[task] = 100 * sum(verdicts) / len(verdicts)
        assert result["tasks"][task]["n"] == len(verdicts)
        assert result["tasks"][task]["score"] == pytest.approx(accuracies[task])
    assert result["n"] == len(questions)
    assert result["score"] == pytest.approx(sum(accuracies.values()) / len(accuracies))
    low, high = result["interval"]
    assert -1e-9 <= low <= high <= 100 + 1e-9
    assert result["tasks"].keys() == accuracies.keys()


OFFICIAL_WORDS = st.lists(
    st.sampled_from([*WORDS, "Ten", "none", "often", "oneight", " ", "-", "0", "3", "10", "Region"]),
    max_size=4,
).map("".join)


@settings(deadline=None)
@given(OFFICIAL_WORDS, st.integers(0, 12).map(str))
def test_regions_are_read_as_the_challenge_reads_them(text: str, truth: str) -> None:
    """Told once more, letter by letter: each word is looked for in what the words before it have left."""
    left = text.lower()
    for digit, word in enumerate(WORDS):
        left = str(digit).join(left.split(word))
    digits = ""
    for letter in left:
        if not letter.isdigit() and digits:
            break
        digits += letter if letter.isdigit() else ""
    assert track3_official("mcq", truth, text) == (digits == truth if digits else None)


@settings(deadline=None)
@given(
    st.sampled_from(["left", "right"]),
    st.sampled_from(["", " ", "\n", "\t\n"]),
    st.sampled_from(["l", "left", "left side", "left-hand", "left hand", "lefthand", "on the left"]),
    st.booleans(),
    st.sampled_from([str.lower, str.upper, str.title]),
)
def test_sides_are_read_as_the_challenge_reads_them(
    truth: str, around: str, side: str, is_right: bool, capitals: Any
) -> None:
    said = side.replace("left", "right").replace("l", "r", int(side == "l")) if is_right else side
    known = side not in ("lefthand", "on the left")
    expected = (truth == ("right" if is_right else "left")) if known else None
    assert track3_official("left_right", truth, around + capitals(said) + around) is expected


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(0, 2500), st.integers(0, 9), st.integers(0, 99))
def test_numbers_are_read_as_the_challenge_reads_them(
    truth_cm: int, answer_cm: int, count: int, hundredths: int
) -> None:
    within = abs(answer_cm - truth_cm) * 10 <= truth_cm
    on_the_border = abs(answer_cm - truth_cm) * 10 == truth_cm > 0
    judged = track3_official("distance", str(truth_cm / 100), f" {answer_cm / 100}\n")
    assert on_the_border or judged is within
    assert track3_official("count", str(float(count)), f"{count}.{hundredths:02d}") is True
    assert track3_official("count", str(count), f"-{count}.{hundredths:02d}") is (count == 0)


@pytest.mark.parametrize(
    ("task", "truth", "submitted", "correct"),
    [
        ("left_right", "left", "Left \n", True),
        ("left_right", "left", "to the left", None),
        ("left_right", "left", "Left.", None),
        ("left_right", "right", "left side.\n", None),
        ("left_right", "left", "R", False),
        ("mcq", "3", "03", False),
        ("mcq", "3", "[Region 3]\n", True),
        ("mcq", "1", "none", True),
        ("mcq", "7", "seventeen", True),
        ("mcq", "18", "oneight", False),
        ("mcq", "1", "oneight", True),
        ("mcq", "3", "the last", None),
        ("count", "3", " 3.9\n", True),
        ("count", "3", "three", None),
        ("distance", "0", "0.01", False),
        ("distance", "2", "2.2 m", None),
        ("distance", "2", "2.19", True),
        ("distance", "2", "2.21", False),
        ("distance", "2", "1.81", True),
        ("distance", "2", "1.79", False),
    ],
)
def test_official_rules_by_hand(task: str, truth: str, submitted: str, correct: bool | None) -> None:
    assert track3_official(task, truth, submitted) is correct


def test_a_run_has_the_official_score_of_what_it_submits(tmp_path: Path) -> None:
    """An index is submitted without zeros in front of it, which would be wrong for the challenge."""
    asked = [
        answer("a", "mcq", "3", "It is region 03."),
        answer("b", "mcq", "4", "The answer is [Region 4]."),
        answer("c", "left_right", "left", "On the left\n"),
        answer("d", "count", "3", "I see three pallets."),
        answer("e", "distance", "2.5", "It is far."),
    ]
    metric = Track3Metric()
    metric.update(asked)
    run = metric.compute()
    assert (run["official"]["score"], run["ours"]["score"]) == (75, 75)
    write_submission(asked, tmp_path / "submission.json")
    truth = [
        {"id": each.sample.id, "normalized_answer": each.sample.answer, "category": each.sample.task}
        for each in asked
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    scored = score_track3(tmp_path / "truth.json", tmp_path / "submission.json")
    assert scored["official"]["score"] == run["official"]["score"] == run["score"]
    assert (scored["unreadable"], scored["tasks"].keys()) == (run["unreadable"], run["tasks"].keys())


@pytest.mark.parametrize(
    ("task", "truth", "prediction", "correct"),
    [
        ("distance", "10", "9.0", True),
        ("distance", "10", "8.99", False),
        ("distance", "10", "11.0", True),
        ("distance", "0", "0.0", True),
        ("distance", "0", "0.01", False),
        ("distance", "1", "nan", False),
        ("count", "3", "3.9", True),
        ("count", "3", "inf", None),
        ("count", "3", "three", None),
        ("left_right", "left", "LEFT-HAND", True),
        ("left_right", "left", "Left.", None),
        ("mcq", "3", "Region three", True),
        ("mcq", "1", "12", False),
        ("mcq", "1", "none", None),
    ],
)
def test_rules(task: str, truth: str, prediction: str, correct: bool | None) -> None:
    assert track3_correct(task, truth, prediction) == correct


def test_unreadable_answers_are_wrong_and_counted() -> None:
    metric = Track3Metric()
    metric.update([answer("a", "count", "3", "many"), answer("b", "count", "3", "three")])
    assert metric.judge(answer("a", "count", "3", "many")) == Judgement(None, False, (False, False))
    result = metric.compute()
    assert (result["unreadable"], result["score"]) == (1, 50.0)


def test_a_reading_says_its_form_and_weak_ones_are_counted() -> None:
    metric = Track3Metric()
    asked = {
        "3": ("bare", 0),
        "The answer is 3.": ("declared", 0),
        "I see three pallets; one is empty.": ("stated", 1),
        "many": (None, 0),
    }
    for raw, (form, weak) in asked.items():
        given = answer("a", "count", "3", raw)
        assert metric.judge(given).read_by == form
        metric.update([given])
        assert (metric.compute()["weakly_read"], metric.compute()["unreadable"]) == (weak, int(form is None))
        metric.reset()


def test_a_question_that_a_view_gave_choices_is_judged_by_its_letter() -> None:
    sample = SpatialSample(
        "a", "?", choices=("3", "5"), answer="B", answer_type=AnswerType.LETTER, task="count", group="g"
    )
    judge = Track3Metric().judge
    assert judge(Answer(sample, "The answer is (B).")) == Judgement("B", True, (True, True))
    assert judge(Answer(sample, "three")) == Judgement("A", False, (False, True))
    assert judge(Answer(sample, "many")) == Judgement(None, False, (False, True))
    metric = Track3Metric()
    metric.update([Answer(sample, "(B)"), answer("b", "mcq", "3", "[Region 5]")])
    result = metric.compute()
    assert (result["score"], result["ours"]["score"], result["official"]) == (50, 50, None)
    assert "given choices by a view" in result["official_reason"]


def test_a_question_without_truth_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="Question a has no known answer"):
        Track3Metric().update([answer("a", "count", None, "3")])


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_a_metric_that_saw_nothing() -> None:
    assert Track3Metric().compute() == {
        "score": 0.0,
        "n": 0,
        "interval": [0.0, 0.0],
        "unreadable": 0,
        "weakly_read": 0,
        "tasks": {},
        "official": {"score": 0.0, "n": 0, "interval": [0.0, 0.0]},
        "ours": {"score": 0.0, "n": 0, "interval": [0.0, 0.0]},
    }


def answers_of_the_distributed_test() -> list[Answer]:
    return [
        answer(
            str(number), "count", str(number % 5), str(number % 3 if number % 7 else "many"), str(number // 4)
        )
        for number in range(40)
    ]


SHARES = {
    "overlapping": [slice(0, 23), slice(20, 40)],
    "one rank without batches": [slice(0, 40), slice(0, 0)],
}


def score_in_process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    results = {}
    for name, share in SHARES.items():
        metric = Track3Metric()
        if mine := answers_of_the_distributed_test()[share[rank]]:
            metric.update(mine)
        results[name] = metric.compute()
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_score_like_one(tmp_path: Path) -> None:
    in_processes(score_in_process, (str(tmp_path),), 2)
    alone = Track3Metric()
    alone.update(answers_of_the_distributed_test())
    results: list[dict[str, Any]] = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert results[0] == results[1] == dict.fromkeys(SHARES, alone.compute())
