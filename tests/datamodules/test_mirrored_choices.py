"""Multiple-choice questions in a mirror: texts or letters move, twice is none, and writing is refused."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.omni_spatial import read_rows
from datamodules.samples import LETTERS, AnswerType, SpatialSample
from datamodules.space_thinker import read_rows as read_thinker_rows
from datamodules.views import Mirrored, NotApplicable
from datamodules.views.mirrored_texts import mirrored_text
from datamodules.views.written_words import number_as_name, written_word

UNKNOWN = "can not determine"


def asked(question: str, *choices: str, answer: str | None = "A", **changes: Any) -> SpatialSample:
    return SpatialSample(
        id="q-9", question=question, choices=choices, answer=answer, answer_type=AnswerType.LETTER
    ).replace(**changes)


@pytest.mark.parametrize(
    ("choices", "answer", "mirrored", "moved"),
    [
        (("left", "right"), "A", ("left", "right"), "B"),
        (("left", UNKNOWN, UNKNOWN, "right"), "D", ("left", UNKNOWN, UNKNOWN, "right"), "A"),
        (("left", UNKNOWN, UNKNOWN, "right"), "C", ("left", UNKNOWN, UNKNOWN, "right"), "C"),
        (("right", "right", "left", "left"), "B", ("right", "right", "left", "left"), "D"),
        (("up", "down", "left", "right"), "A", ("up", "down", "left", "right"), "A"),
        (("front left", "front right", "back left"), "C", ("front right", "front left", "back right"), "C"),
        (("Left", UNKNOWN, "right"), "A", ("Right", UNKNOWN, "left"), "A"),
        (("2", "3"), "B", ("2", "3"), "B"),
        (("clockwise", "anticlockwise"), "A", ("clockwise", "anticlockwise"), "B"),
        (("1 o'clock", "6 o'clock", "11 o'clock"), "C", ("1 o'clock", "6 o'clock", "11 o'clock"), "A"),
    ],
)
def test_the_same_choices_stay_and_the_letter_moves_and_others_change_in_place(
    choices: tuple[str, ...], answer: str, mirrored: tuple[str, ...], moved: str
) -> None:
    sample = asked("How many are there, and where?", *choices, answer=answer)
    seen = Mirrored()(sample)
    assert (seen.choices, seen.answer) == (mirrored, moved)
    assert Mirrored()(seen) == sample
    assert Mirrored()(sample.replace(answer=None)).choices == mirrored


def test_what_turns_is_said_with_the_word_that_stands_beside_it_anywhere() -> None:
    sample = asked("Does it turn anticlockwise?", "yes", "no, clockwise", rationale="It turns anticlockwise.")
    seen = Mirrored()(sample)
    assert seen.question == "Does it turn clockwise?" and seen.choices == ("yes", "no, anticlockwise")
    assert seen.rationale == "It turns clockwise." and Mirrored()(seen) == sample
    for texts in (("anticlockwise", "up"), ("anticlockwise, counterclockwise", "clockwise")):
        with pytest.raises(NotApplicable, match="anticlockwise"):
            Mirrored()(asked("Which way does it turn?", *texts))


def test_a_letter_in_the_reasoning_does_not_move() -> None:
    sample = asked("Where is it?", "left", "right", rationale="It is on the left, so A.")
    with pytest.raises(NotApplicable, match=r"'q-9'.*name letters") as refused:
        Mirrored()(sample)
    assert refused.value.reason.startswith("its answer moves")
    with pytest.raises(NotApplicable, match="name letters"):
        Mirrored()(asked("Where is it?", "left", "right", "A and B"))
    stays = sample.replace(choices=("left side", "no", "right side"), answer="B")
    assert Mirrored()(stays).answer == "B"
    assert Mirrored()(sample.replace(rationale="A dog is on the left.")).answer == "B"


def test_a_benchmarks_own_words_stay_where_they_name_no_other_sides() -> None:
    own = "{} Select.\n(A) left\n(B) right"
    plain = asked("Where is it?", "left", "right", prompt=own.format("Where is it?"))
    assert Mirrored()(plain).prompt == plain.prompt
    sided = asked("Is it left of the bed?", "left", "right", prompt=own.format("Is it left of the bed?"))
    assert Mirrored()(sided).prompt == own.format("Is it right of the bed?")
    assert Mirrored()(Mirrored()(sided)) == sided
    for prompt in ("Look to the left. " + plain.prompt, "Left?"):
        assert Mirrored()(plain.replace(prompt=prompt)).prompt == ""
    in_place = asked("Where is it?", "left side", "here", prompt="Where is it? (A) left side (B) here")
    assert Mirrored()(in_place).prompt == ""


def test_right_is_no_side_beside_wrong() -> None:
    with pytest.raises(NotApplicable, match="'right'"):
        Mirrored()(asked("Is it on the left?", "Right", "unclear", "Wrong"))


WRITTEN = (
    "What does the sign show?",
    "What does the street sign say?",
    "Which letter is nearest?",
    "How far is the point 3 from here?",
    "Is the car No.5 on the left?",
    "Where is the player wearing number four?",
    "From bull #137, how many cows are on its left?",
    "How far is point B?",
    "Which is nearer, C or D?",
    "Can I turn left to reach Porte de Vaise?",
    "What time is it?",
    "What is on the number plate?",
)


@pytest.mark.parametrize("question", WRITTEN)
def test_what_is_written_in_an_image_is_refused(question: str) -> None:
    for sample in (asked(question, "yes", "no"), asked("Where is it?", "here", question)):
        with pytest.raises(NotApplicable, match=r"'q-9'.*written_words\.yaml") as refused:
            Mirrored()(sample)
        assert refused.value.reason == "it speaks of what is written in the image"
        assert pickle.loads(pickle.dumps(refused.value)).reason == refused.value.reason


def test_what_regions_name_is_not_read() -> None:
    """Warehouse questions are worded freely, and training on them stops at the first that is refused."""
    sample = asked("Is the pallet <mask> the best option to the left, Forklift A?", answer=None)
    assert "to the right" in Mirrored()(sample.replace(answer_type=AnswerType.SIDE)).question


@pytest.mark.parametrize(
    "text",
    [
        "What is the number of pallets? A dog and I see a T-shirt, a TV and [Region 2].",
        "Number 2 from left in Row Two from top",
        "What would you say is the distance in meters? Is the LEFTMOST one Clockwise?",
        "the red-marked tree",
        "Which object is closer to the camera, the stop sign or the clock?",
        "The sofa is here. The chair: There",
    ],
)
def test_what_speaks_of_no_writing_is_not_refused(text: str) -> None:
    assert written_word(text) is None


def test_choices_that_are_drawn_or_are_numbers_of_things_are_refused() -> None:
    with pytest.raises(NotApplicable, match="choices are drawn"):
        Mirrored()(asked("Which one is nearest?"))
    assert number_as_name("Which vehicle is a danger?", ("3", "1", "two")) == "3"
    assert number_as_name("How many are there?", ("3", "1")) is None
    assert number_as_name("Which one is it?", ("3", "the other")) is None
    with pytest.raises(NotApplicable, match="'3'"):
        Mirrored()(asked("Which vehicle is a danger?", "3", "1"))


THINGS = st.sampled_from(["the chair", "the pallet <mask>", "the man in red", "the table (box 3)"])
SIDE = st.sampled_from(["left", "right"])
TEMPLATES = (
    "Is {a} to the {side} of {b}?",
    "Where is {a} with respect to {b}?",
    "How many people are on the {side} of {a}?",
    "At {hour} o'clock of {a}, turning {turn}: what is there?",
    "From left to right in the row, where is {a}?",
)


@st.composite
def questions(draw: st.DrawFn) -> SpatialSample:
    words = {"a": draw(THINGS), "b": draw(THINGS), "side": draw(SIDE), "hour": draw(st.integers(1, 12))}
    words["turn"] = draw(st.sampled_from(["clockwise", "counterclockwise"]))
    choices = draw(
        st.lists(
            st.sampled_from(["left", "right", "Left front", "Right front", "above", "leftmost", UNKNOWN]),
            min_size=2,
            max_size=5,
        )
    )
    return asked(
        draw(st.sampled_from(TEMPLATES)).format(**words),
        *choices,
        answer=draw(st.sampled_from(LETTERS[: len(choices)])),
        rationale=draw(st.sampled_from(["", "{a} is on the {side}."])).format(**words),
    )


@given(questions())
def test_twice_is_none_and_the_right_text_is_the_mirrored_one(sample: SpatialSample) -> None:
    seen = Mirrored()(sample)
    assert Mirrored()(seen) == sample
    before, after = (each.choices[LETTERS.index(each.answer or "")] for each in (sample, seen))
    assert after == mirrored_text(before)
    assert seen.choices == sample.choices or seen.answer == sample.answer
    assert (before != after) == any(word in before.lower() for word in ("left", "right"))


def test_real_questions_of_omni_spatial(shared_data: Path) -> None:
    seen: Counter[str] = Counter()
    for sample in read_rows(shared_data / "omni_spatial" / "data.json"):
        try:
            mirrored = Mirrored()(sample)
        except NotApplicable as refused:
            assert repr(sample.id) in str(refused) and refused.reason
            seen[refused.reason] += 1
            continue
        assert Mirrored()(mirrored) == sample
        right, mirrored_right = (
            each.choices[LETTERS.index(each.answer or "")] for each in (sample, mirrored)
        )
        assert mirrored_right == mirrored_text(right)
        text = json.dumps([sample.question, *sample.choices]).lower()
        changed = (mirrored.question, mirrored.choices) != (sample.question, sample.choices)
        seen["changed" if changed or mirrored.answer != sample.answer else "same"] += 1
        if not any(word in text for word in ("left", "right", "clock")):
            assert mirrored == sample.replace(image=mirrored.image)
    assert seen["its choices are drawn in the image"] == 229
    assert seen["changed"] > 500 and seen["same"] > 450 and sum(seen.values()) == 1533


@pytest.mark.parametrize(
    ("name", "question", "letter"),
    [
        ("Perspective_Taking/0_0", "From the boy's perspective, where is the globe?", "D"),
        ("Perspective_Taking/5_0", None, None),  # the player wearing number 4
        ("Perspective_Taking/17_0", None, "D"),
        ("Spatial_Interaction/4_1", "Is my current position suitable for making a right turn?", "C"),
        ("Spatial_Interaction/28_0", None, None),  # Porte de Vaise
        ("Spatial_Interaction/33_0", None, None),  # numbers at vehicles
        ("Spatial_Interaction/165_0", None, None),  # south, east
        ("Spatial_Interaction/272_0", None, None),  # right behind the bus
        ("Complex_Logic/10_0", None, None),  # drawn choices
        ("Complex_Logic/230_0", "Is the dancer holding out her left or right hand?", "B"),
        ("Dynamic_Reasoning/253_0", None, "B"),
    ],
)
def test_a_real_question_becomes_this(
    name: str, question: str | None, letter: str | None, shared_data: Path
) -> None:
    (sample,) = (each for each in read_rows(shared_data / "omni_spatial" / "data.json") if each.id == name)
    if letter is None:
        with pytest.raises(NotApplicable):
            Mirrored()(sample)
    else:
        seen = Mirrored()(sample)
        assert (seen.question, seen.answer) == (question or sample.question, letter)


def test_real_questions_of_space_thinker_have_no_sides(shared_data: Path) -> None:
    for sample in read_thinker_rows(shared_data / "space_thinker" / "test-00000-of-00001.parquet"):
        assert Mirrored()(sample.replace(image=None)) == sample.replace(image=None)
