from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.samples import AnswerType, Region, SpatialSample
from lightning_modules.vlm.prompt_template import Prompt
from lightning_modules.vlm.prompts import candidates_of, question_text, turns_of
from tests.helpers.sample_questions import letter_question, noise_image


def test_a_multiple_choice_question_has_lettered_lines_and_asks_for_a_letter() -> None:
    assert question_text(letter_question()) == (
        "Which object is closer to the camera?\n"
        "(A) the red chair\n"
        "(B) the zürich lamp\n"
        "(C) the box\n"
        "Answer with the option's letter."
    )
    reasoned = "Think first, then write the answer between <answer> and </answer>."
    assert question_text(letter_question(), True) == f"{question_text(letter_question())} {reasoned}"


def test_choices_drawn_in_the_image_are_asked_for_by_letter_too() -> None:
    sample = letter_question(choices=(), answer="D")
    assert question_text(sample) == "Which object is closer to the camera?\nAnswer with the option's letter."
    assert candidates_of(sample) == candidates_of(sample, counts=True) == ["A", "B", "C", "D"]
    counted = sample.replace(answer_type=AnswerType.COUNT)
    assert candidates_of(counted, counts=True) == [str(number) for number in range(21)]
    assert candidates_of(counted) == []


@given(st.integers(0, 12))
def test_regions_are_numbered_in_order_whether_or_not_their_masks_are_there(count: int) -> None:
    """The view `Blind` takes the masks away and leaves the question."""
    sample = SpatialSample("1", "Among " + "<mask>, " * count + "which?", answer_type=AnswerType.REGION)
    text = question_text(sample)
    assert "<mask>" not in text
    places = [text.index(f"[Region {number}]") for number in range(count)]
    assert places == sorted(places)
    assert candidates_of(sample) == [str(number) for number in range(count)]


@pytest.mark.parametrize("rationale", [False, True])
@given(answer=st.text(min_size=8, alphabet="qxzj0123456789"), kind=st.sampled_from([*AnswerType, None]))
def test_nothing_of_the_answer_shows_in_the_question(
    answer: str, kind: AnswerType | None, rationale: bool
) -> None:
    sample = letter_question(answer=answer, rationale=f"because {answer}", answer_type=kind)
    assert all(answer not in turn.text for turn in turns_of(sample, (), rationale))
    assert question_text(sample, rationale) == question_text(sample.replace(answer=None), rationale)


def test_solved_examples_come_first_with_images_and_replies_of_their_own() -> None:
    first = letter_question(1, rationale="")
    second = letter_question(2, further_images=(noise_image(9),), rationale="It <think>is</think> near.")
    turns = turns_of(letter_question(0), (first, second))
    assert [[image.name for image in turn.images] for turn in turns] == [
        ["1.png"],
        ["2.png", "9.png"],
        ["0.png"],
    ]
    assert [turn.reply for turn in turns] == ["B", "It is near.\nC", None]
    line = turns_of(letter_question(0), (first, second), prompt=Prompt(reply="Answer: {answer}"))
    assert [turn.reply for turn in line] == ["Answer: B", "It is near.\nAnswer: C", None]
    assert turns[0].text == turns[2].text == question_text(letter_question(0))


def test_solved_examples_are_asked_and_answered_as_the_question_is() -> None:
    tagged = letter_question(1, rationale="<think>\nIt <answer>B</answer> is\nnear. </think>")
    words = Prompt(question="Q: {question}", ending="Go.")
    solved, asked = turns_of(letter_question(0), (tagged,), True, words)
    assert solved.text == asked.text and asked.text.startswith("Q: Which") and asked.text.endswith("\nGo.")
    assert solved.reply == "<think>\nIt B is\nnear.\n</think>\n<answer>B</answer>"
    bare, _ = turns_of(letter_question(0), (letter_question(1, rationale=""),), True)
    assert bare.reply == "<answer>B</answer>"


def test_marked_regions_are_candidates_though_the_question_names_none() -> None:
    marks = (Region.from_mask(np.ones((1, 1), dtype=bool)),) * 3
    sample = SpatialSample("1", "Which one is nearest?", regions=marks, answer_type=AnswerType.REGION)
    assert candidates_of(sample) == ["0", "1", "2"]
    assert candidates_of(sample.replace(question="<mask>?" * 5)) == list("01234")


def test_free_text_is_asked_for_without_an_instruction() -> None:
    assert question_text(SpatialSample("1", "Describe it.", answer_type=AnswerType.TEXT)) == "Describe it."
    asked = question_text(SpatialSample("1", "Describe it."), rationale=True)
    assert asked.startswith("Describe it.\nThink first") and "</answer>" in asked
