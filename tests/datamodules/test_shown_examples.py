"""The vote of solved examples, and whether the last one's answer was given."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from datamodules.samples import Answer, AnswerType, SpatialSample
from datamodules.scoring.choice_metrics import OmniSpatialMetric, SpaceThinkerMetric
from datamodules.scoring.shown_examples import (
    examples_before,
    note_of_examples,
    says_the_same,
    vote_of,
    words_said,
)
from experiments.report.in_context import in_context_table

CHOICES = ("the chair", "The lamp.", "three", "none")


def question(answer: str = "B", choices: tuple[str, ...] = CHOICES, **changes: Any) -> SpatialSample:
    fields: dict[str, Any] = {"id": "q", "question": "Which?", "choices": choices, "answer": answer}
    return SpatialSample(**{**fields, "answer_type": AnswerType.LETTER, "group": "g", **changes})


def text(answer: str, name: str = "e") -> SpatialSample:
    return SpatialSample(id=name, question="What?", answer=answer, answer_type=AnswerType.TEXT)


@pytest.mark.parametrize(
    ("examples", "vote"),
    [
        ([text("lamp"), text("The lamp"), text("chair")], "B"),
        ([text("chair"), text("lamp")], "B"),  # of equally many the last one
        ([text("lamp"), text("chair")], "A"),
        ([text("3"), text("something else"), text("else")], "C"),  # what is no choice has no vote
        ([text("something else")], ""),
        ([question("A", ("lamp", "sofa")), text("nothing")], "B"),  # what it says, and not its letter
        ([question("A", ("sofa", "bed")), question("A", ("x", "y")), question("B", ("v", "w"))], "A"),
        ([question("C", ("a", "b", "c"))], "C"),
        ([], ""),
    ],
)
def test_the_vote_on_a_multiple_choice_question(examples: list[SpatialSample], vote: str) -> None:
    assert vote_of(question(), examples) == vote


def test_a_letter_that_the_question_does_not_have_is_no_vote() -> None:
    assert vote_of(question("A", ("yes", "no")), [question("D"), question("D")]) == ""


def test_the_vote_on_a_free_question_is_the_most_frequent_answer() -> None:
    asked = text("2 m")
    assert vote_of(asked, [text("1 m"), text("2 m"), text("1 m")]) == "1 m"
    assert vote_of(asked, [text("1 m"), text("2 m")]) == "2 m"
    assert vote_of(asked, [question("A"), text("5 m")]) == "5 m", "a letter is no answer to it"


def test_what_an_answer_says() -> None:
    assert words_said(question("C")) == words_said(text("Three."))
    assert says_the_same(question(), "B", text("a lamp"))
    assert says_the_same(question(), "B", question("B", ("x", "y")))
    assert not says_the_same(question(), "B", question("A", ("lamp", "y"))), (
        "of two letters the letters count"
    )
    assert not says_the_same(question(), None, text("lamp"))


def test_examples_that_fell_away_count_for_nothing() -> None:
    several = tuple(text(answer, name) for name, answer in (("far", "chair"), ("near", "lamp")))
    asked = question(examples=several)
    assert examples_before(Answer(asked, "A")) == several
    assert examples_before(Answer(asked, "A", examples=1)) == several[1:]
    assert examples_before(Answer(asked, "A", examples=0)) == ()
    metric = OmniSpatialMetric()
    answer = Answer(dataclasses.replace(asked, task="Complex_Logic", source="Pattern_Recognition"), "A")
    note = note_of_examples(answer, metric.judge(answer), metric)
    assert note == {
        "examples": ["far", "near"],
        "example_answers": ["chair", "lamp"],
        "vote": "B",
        "vote_correct": True,
        "copied": False,
        "last_correct": True,
    }
    alone = dataclasses.replace(answer, examples=0)
    nothing = note_of_examples(alone, metric.judge(alone), metric)
    assert (nothing["examples"], nothing["copied"], nothing["vote_correct"]) == ([], False, False)
    assert note_of_examples(answer, None, None).keys() == {"examples", "example_answers", "vote"}
    assert note_of_examples(Answer(question(), "A"), None, metric) == {}


@pytest.mark.parametrize("example", [text("2\u20133 feet"), question("B", ("1 m", "2\u20133 feet"))])
def test_a_length_that_is_copied_is_told_as_it_is_read(example: SpatialSample) -> None:
    """The answer is read in metres, while the example has it in the words of its data."""
    fields: dict[str, Any] = {"answer_type": AnswerType.DISTANCE, "task": "distance", "examples": (example,)}
    metric = SpaceThinkerMetric()
    for raw, right, copied, last in (
        ("It is 2 to 3 feet.", "2.5 feet", True, True),
        ("4 feet", "9 m", False, False),
    ):
        asked = SpatialSample(id="q", question="How far is it?", answer=right, **fields)
        answer = Answer(asked, raw)
        note = note_of_examples(answer, metric.judge(answer), metric)
        assert (note["vote"], note["copied"], note["last_correct"]) == ("2\u20133 feet", copied, last)
        assert note["vote_correct"] == last


def test_the_table_counts_shares_of_the_questions() -> None:
    records = [
        {
            "id": str(number),
            "group": f"g{number // 2}",
            "task": "near" if number < 6 else "far",
            "examples": ["x"] * (3 if number else 1),
            "vote_correct": number % 2 == 0,
            "copied": number < 2,
            "last_correct": number < 4,
        }
        for number in range(8)
    ]
    table = in_context_table(records)
    assert list(table)[:2] == ["asked with 3", "asked with 1"]
    scores = {name: (line["score"], line["n"]) for name, line in table.items()}
    assert scores["asked with 3"] == (87.5, 8) and scores["asked with 1"] == (12.5, 8)
    assert scores["vote of the examples"] == (50.0, 8)
    assert scores["last example's answer given"] == (25.0, 8)
    assert scores["last example's answer right"] == (50.0, 8)
    by_task = table["last example's answer right"]["tasks"]
    assert (by_task["near"]["score"], by_task["far"]["score"]) == (pytest.approx(100 * 4 / 6), 0.0)
    assert in_context_table([{"id": "1", "group": "", "task": ""}]) == {}
    unjudged = [{key: record[key] for key in ("id", "group", "task", "examples")} for record in records]
    assert list(in_context_table(unjudged)) == ["asked with 3", "asked with 1"]
