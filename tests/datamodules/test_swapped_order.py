"""Two things asked about in the other order: the truth, the regions and the reasoning follow."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.benchmarks.track3_records import CATEGORIES, parse_record
from datamodules.omni_spatial import read_rows
from datamodules.rendered import templates
from datamodules.samples import AnswerType, Region, SpatialSample
from datamodules.space_thinker import read_rows as read_thinker_rows
from datamodules.views import BoxesInText, NotApplicable, SwappedOrder

RELATION = (
    "Considering the relative positions of {0} and {1} in the image provided, "
    "where is {0} located with respect to {1}?"
)
DEPTH = "Which object is closer to the camera taking this photo, {0} or {1}?"
DISTANCE = (
    "Estimate the real-world distances between objects in this image. "
    "Which object is closer to the bed (highlighted by a red box), {0} or {1}?"
)
LAMP, CHAIR = "the lamp (highlighted by a blue box)", "the chair (highlighted by a green box)"


def region(place: int) -> Region:
    mask = np.zeros((6, 12), bool)
    mask[2:4, place : place + 2] = True
    return Region.from_mask(mask)


def asked(question: str, answer: str | None = "left", **changes: Any) -> SpatialSample:
    count = question.count("<mask>")
    return SpatialSample(
        id="q-3",
        question=question,
        regions=tuple(region(3 * index) for index in range(count)),
        answer=answer,
        answer_type=AnswerType.SIDE,
    ).replace(**changes)


def chosen(question: str, answer: str, *choices: str, **changes: Any) -> SpatialSample:
    return asked(question, answer, choices=choices, answer_type=AnswerType.LETTER, **changes)


@pytest.mark.parametrize("choices", [("left", "right"), ("below", "above"), ("x", "right", "y", "left")])
def test_of_a_relation_the_letter_moves_and_the_choices_stay(choices: tuple[str, ...]) -> None:
    letter = "ABCD"[choices.index("left" if "left" in choices else "above")]
    other = "ABCD"[choices.index("right" if "right" in choices else "below")]
    question = RELATION.format(LAMP, "the chair")
    sample = chosen(question, letter, *choices, prompt=f"{question} Select.\n(A) {choices[0]}")
    seen = SwappedOrder()(sample)
    assert seen.question == RELATION.format("the chair", LAMP)
    assert (seen.choices, seen.answer) == (choices, other)
    assert seen.prompt == f"{seen.question} Select.\n(A) {choices[0]}"
    assert SwappedOrder()(seen) == sample


@pytest.mark.parametrize("template", [DEPTH, DISTANCE])
def test_of_two_candidates_the_nearer_one_stays_the_nearer_one(template: str) -> None:
    sample = chosen(template.format(LAMP, CHAIR), "B", "lamp", "chair")
    seen = SwappedOrder()(sample)
    assert seen == sample.replace(question=template.format(CHAIR, LAMP))


@pytest.mark.parametrize("wording", templates.LEFT_RIGHT)
@pytest.mark.parametrize("opening", templates.VIEWPOINTS[1:4])
def test_sides_of_regions_become_the_others_and_the_regions_change_places(wording: str, opening: str) -> None:
    def said(first: str, second: str) -> str:
        return templates.capitalised(opening + wording.format(a=first, b=second, side="right"))

    told = templates.LEFT_RIGHT_ANSWERS[2].format(a="the A [Region 0]", b="the B [Region 1]", side="left")
    sample = asked(said("the pallet <mask>", "the buffer region <mask>"), rationale=told)
    seen = SwappedOrder()(sample)
    assert seen.question == said("the buffer region <mask>", "the pallet <mask>")
    assert seen.answer == "right" and seen.regions == sample.regions[::-1]
    assert seen.rationale == templates.LEFT_RIGHT_ANSWERS[2].format(
        a="the B [Region 0]", b="the A [Region 1]", side="right"
    )
    assert SwappedOrder()(seen) == sample


@pytest.mark.parametrize("wording", templates.DISTANCE)
def test_the_distance_of_two_regions_stays_and_their_numbers_change(wording: str) -> None:
    said = "The pallet [Region 0] is 2.50 meters from the shelf [Region 1]."
    sample = asked(
        wording.format(a="the pallet <mask>", b="the shelf <mask>"),
        "2.5",
        answer_type=AnswerType.DISTANCE,
        rationale=said,
    )
    seen = SwappedOrder()(sample)
    assert seen.question == wording.format(a="the shelf <mask>", b="the pallet <mask>")
    assert (seen.answer, seen.regions) == ("2.5", sample.regions[::-1])
    assert seen.rationale == "The pallet [Region 1] is 2.50 meters from the shelf [Region 0]."


@given(
    st.integers(0, 8),
    st.integers(0, 8),
    st.sampled_from(templates.LEFT_RIGHT),
    st.sampled_from(("pallet", "shelf")),
)
def test_the_answer_is_told_by_the_regions_after_as_before(
    first: int, second: int, wording: str, kind: str
) -> None:
    """The side is the first thing's as it is named, which is another region than the first in one wording."""
    question = templates.capitalised(
        wording.format(a="the pallet <mask>", b=f"the {kind} <mask>", side="left")
    )

    def truth(sample: SpatialSample) -> str:
        places = [np.nonzero(each.mask())[1].mean() for each in sample.regions]
        subject = 1 if "on which side" in wording else 0
        return "left" if places[subject] <= places[1 - subject] else "right"

    if first == second:
        return
    sample = asked(question, regions=(region(first), region(second)))
    sample = sample.replace(answer=truth(sample))
    seen = SwappedOrder()(sample)
    assert seen.answer == truth(seen) != sample.answer


@pytest.mark.parametrize(
    ("question", "answer", "swapped", "opposite"),
    [
        ("Is the car to the left or to the right of the dog?", "Left", None, "Right"),
        ("Does the car appear on the left or on the right of the dog?", "RIGHT", None, "LEFT"),
        ("Is the car to the right of the dog?", "left", "Is the dog to the right of the car?", "right"),
        ("Is the car <mask> right of the dog <mask>?", "yes", None, "no"),
        ("Is the car <mask> on the right-hand side of the dog <mask>?", "yes", None, "no"),
        ("Is the car to the left or right of the dog?", "left", None, "right"),
    ],
)
def test_answers_in_words(question: str, answer: str, swapped: str | None, opposite: str) -> None:
    seen = SwappedOrder()(asked(question, answer, answer_type=AnswerType.TEXT))
    assert seen.answer == opposite
    assert swapped is None or seen.question == swapped


def test_yes_becomes_no_and_no_is_not_known() -> None:
    question = "Is the car <mask> to the left of the dog <mask>?"
    assert SwappedOrder()(chosen(question, "A", "Yes", "No")).answer == "B"
    both = "Is the car to the left or to the right of the dog?"
    for sample in (
        chosen(question, "B", "Yes", "No"),
        asked(question, "no"),
        asked(question, "near it"),
        asked(both, "yes"),
    ):
        with pytest.raises(NotApplicable, match=r"'q-3'.*does not tell") as refused:
            SwappedOrder()(sample)
        assert refused.value.reason
    with pytest.raises(NotApplicable, match="opposite answer"):
        SwappedOrder()(chosen(question, "A", "left", "above"))
    with pytest.raises(NotApplicable, match="drawn"):
        SwappedOrder()(chosen(question, "A"))
    assert SwappedOrder()(asked(question, None)).answer is None


def test_a_question_that_only_begins_like_one_is_none() -> None:
    for question in (
        "Is the man to the left of the dog happy?",
        "Is the man on the left of the dog happy?",
        "Is the gap to the left of the bear wide enough to put a bowl there?",
        "Is there room on the left side of the car?",
        "From the boy's perspective, is the man to the left or to the right of the dog?",
        "Where is the dog?",
    ):
        with pytest.raises(NotApplicable, match="'q-3'"):
            SwappedOrder()(chosen(question, "A", "Yes", "No"))


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("How far is the boy from his dog?", "named by the other"),
        ("How far is the red car from the other car?", "named by the other"),
        ("How far is the lamp from the lamp?", "named by the other"),
        ("How far is the leftmost pallet from the pallets <mask> <mask>?", "more regions"),
        ("Given the pallets <mask> <mask>, how far is the left one from the shelf <mask>?", "more regions"),
        ("How far is the box from the man from the shop?", "not known"),
    ],
)
def test_what_cannot_be_named_in_the_other_order(question: str, why: str) -> None:
    with pytest.raises(NotApplicable, match=why):
        SwappedOrder()(asked(question, "2", answer_type=AnswerType.DISTANCE))


def test_reasonings_follow_or_are_left_out() -> None:
    question = "Is the car to the left or to the right of the dog?"
    told = (
        "I compare where both appear in the picture. The middle of the {} is at {} percent of the width, "
        "counted from the left, and that of the {} at {} percent. Therefore the {} is on the {} of the {}."
    )
    sample = asked(question, "left", rationale=told.format("car", 20, "dog", 60, "car", "left", "dog"))
    assert SwappedOrder()(sample).rationale == told.format("dog", 60, "car", 20, "dog", "right", "car")
    assert SwappedOrder()(sample.replace(rationale="Left, as one sees.")).rationale == ""
    far = asked("How far is the car from the dog in feet?", "3", rationale="Between the car and the dog: 3.")
    assert SwappedOrder()(far).rationale == far.rationale
    assert SwappedOrder()(far.replace(rationale="The former is near the latter.")).rationale == ""


def test_regions_named_by_boxes_keep_their_numbers() -> None:
    sample = BoxesInText()(asked("Is the car <mask> to the left of the dog <mask>?"))
    seen = SwappedOrder()(sample)
    assert seen.question.index("[Region 1]") < seen.question.index("[Region 0]")
    assert (seen.answer, seen.regions) == ("right", sample.regions)
    blind = asked("Is the car <mask> to the left of the dog <mask>?", regions=())
    assert SwappedOrder()(blind).regions == ()
    with pytest.raises(NotApplicable, match="other regions than it names"):
        SwappedOrder()(blind.replace(regions=(region(0),)))
    assert pickle.loads(pickle.dumps(SwappedOrder())) == SwappedOrder()


def test_real_questions(shared_data: Path) -> None:
    thinker = read_thinker_rows(shared_data / "space_thinker" / "test-00000-of-00001.parquet")
    assert [SwappedOrder()(sample).question for sample in thinker] == [
        "How far is the pallet of boxes from the man in the red hat in feet?",
        "How far is the penalty taker from the Goal in this image?",
        "Approximately how many meters apart are the bookshelf and chair?",
    ]
    seen: Counter[str] = Counter()
    for name in ("val.json", "train_records.json"):
        file = shared_data / "ai_city_track3" / name
        for place, raw in enumerate(json.loads(file.read_text())):
            record = parse_record(raw, file, place)
            sample = SpatialSample(
                record.id,
                record.question,
                regions=tuple(Region(record.height, record.width, counts) for counts in record.masks),
                answer=record.answer,
                answer_type=CATEGORIES[record.category],
                rationale=record.rationale,
            )
            try:
                swapped = SwappedOrder()(sample)
            except NotApplicable as refused:
                seen[refused.reason] += 1
                continue
            seen[record.category] += 1
            assert swapped.regions == sample.regions[::-1]
            assert (swapped.answer != sample.answer) == (record.category == "left_right")
            assert SwappedOrder()(swapped).replace(rationale="") == sample.replace(rationale="")
    assert seen["distance"] == 8 and seen["left_right"] == 1


def test_real_questions_of_omni_spatial(shared_data: Path) -> None:
    swapped = []
    for sample in read_rows(shared_data / "omni_spatial" / "data.json"):
        try:
            swapped.append((sample, SwappedOrder()(sample)))
        except NotApplicable:
            continue
    assert len(swapped) == 17 and all(before.question.startswith("In the picture, ") for before, _ in swapped)
    for before, after in swapped:
        assert after.choices == before.choices and after.answer != before.answer
        assert SwappedOrder()(after) == before


@pytest.mark.parametrize("whole", ["the image", "the picture", "the middle of the scene"])
def test_what_holds_all_the_others_is_no_thing_to_swap(whole: str) -> None:
    sample = SpatialSample(
        id="q",
        question=f"Is the dog to the left of {whole}?",
        choices=("left", "right"),
        answer="A",
        answer_type=AnswerType.LETTER,
    )
    with pytest.raises(NotApplicable):
        SwappedOrder()(sample)
