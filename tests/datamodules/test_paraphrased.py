"""Other wordings of the same question, in which all that decides on the answer stays."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.omni_spatial import read_rows
from datamodules.rendered import templates
from datamodules.samples import AnswerType, DataError, SpatialSample
from datamodules.space_thinker import read_rows as read_thinker_rows
from datamodules.views import NotApplicable, Paraphrased
from datamodules.views.paraphrased import MOST_MORE_WORDS
from datamodules.views.wordings import GROUPS, OPENINGS, PICTURE_OPENINGS, Wording
from tests.helpers.sample_questions import noise_image

SLOTS = {
    "a": "the pallet <mask>",
    "b": "the buffer region <mask>",
    "group": "the pallets <mask> <mask> <mask>",
    "region": "the buffer region <mask>",
    "transporter": "the transporter <mask>",
    "kind": "pallet",
}
RENDERED: dict[str, list[dict[str, str]]] = {
    "LEFT_RIGHT": [{"side": "left"}],
    "WHICH_OF": [{"best": "the leftmost"}, {"best": "closest to the shelf <mask>"}],
    "WHICH": [{"best": "the nearest to the shelf"}],
    "BUFFER_WHICH": [{"does": text} for text in (*templates.MOST, *templates.FEWEST, *templates.EMPTY)],
    "BUFFER_WHICH_OF": [{"does": text} for text in (*templates.MOST, *templates.FEWEST, *templates.EMPTY)],
    "PICK_UP": [{}],
    "DISTANCE": [{}],
    "COUNT": [{}],
    "COUNT_OF": [{}],
}


def asked(question: str, **changes: Any) -> SpatialSample:
    return SpatialSample(id="q-5", question=question).replace(**changes)


def paraphrases(question: str, **changes: Any) -> set[str]:
    return {Paraphrased(seed)(asked(question, **changes)).question for seed in range(60)}


@pytest.mark.parametrize("name", RENDERED)
def test_every_rendered_wording_is_known_and_becomes_others_of_its_kind(name: str) -> None:
    random = Random(0)
    wordings = getattr(templates, name)
    for wording in wordings:
        for more in RENDERED[name]:
            viewpoint = "" if name == "DISTANCE" else random.choice(templates.VIEWPOINTS)
            question = templates.capitalised(viewpoint + wording.format(**SLOTS, **more))
            reworded = paraphrases(question, answer="left", answer_type=AnswerType.SIDE)
            assert question not in reworded
            assert not any(other.startswith(PICTURE_OPENINGS[0][1:]) for other in reworded), question
            for other in reworded:
                assert len(other.split()) <= len(question.split()) + MOST_MORE_WORDS
                assert re.findall(r"left\w*|right\w*|\d+", other) == re.findall(
                    r"left\w*|right\w*|\d+", question
                )
                assert other.count("<mask>") == question.count("<mask>")


def test_regions_are_named_in_the_order_they_have() -> None:
    """One of the wordings names the second thing first, which would name the wrong regions."""
    for wording in templates.LEFT_RIGHT:
        if "left or" not in wording:
            continue
        order = ["a", "b"] if wording.index("{a}") < wording.index("{b}") else ["b", "a"]
        question = templates.capitalised(wording.format(a="the pallet <mask>", b="the shelf <mask>", side=""))
        for other in paraphrases(question):
            kinds = [{"pallet": "a", "shelf": "b"}[kind] for kind in re.findall("pallet|shelf", other)]
            assert kinds == order


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Given the pallets <mask> <mask> and the shelf <mask>, which pallet is nearest to the shelf?",
            "Given the pallets <mask> <mask> and the shelf <mask>, what pallet is nearest to the shelf?",
        ),
        (
            "Here are the pallets <mask> <mask>. Count the pallets in the buffer region.",
            "Here are the pallets <mask> <mask>. How many pallets are in the buffer region?",
        ),
        (
            "With the pallets <mask> <mask> in view, how far is the left one from the car?",
            "With the pallets <mask> <mask> in view, tell me the distance between the left one and the car.",
        ),
        ("How many cars are in the image?", "How many cars can be seen in the image?"),
        ("From this viewpoint, how many dogs can you see?", "From this viewpoint, how many dogs do you see?"),
        (
            "Approximately how many feet apart are the car and the dog?",
            "What is the distance between the car and the dog in feet?",
        ),
        ("How tall is the man in meters?", "Please estimate the height of the man, in meters."),
        ("In the picture, which side is it on?", "In the image, which side is it on?"),
        ("On which side is it?", "In this image, on which side is it?"),
        ("From the boy's view, where is it?", "Looking at the picture, from the boy's view, where is it?"),
    ],
)
def test_a_question_becomes_among_others_this(question: str, expected: str) -> None:
    assert expected in paraphrases(question)


def test_what_depends_on_whose_view_it_is_keeps_its_opening() -> None:
    assert paraphrases("In the picture, is the dog above the car?") == {
        "In the image, is the dog above the car?"
    }


@pytest.mark.parametrize(
    "question",
    [
        "The car is red. Where is it?",
        "Pick the largest window.",
        "如果你坐在椅子上,它在你哪边?",
        "",
        "Would it?",
    ],
)
def test_what_no_list_knows_is_refused(question: str) -> None:
    # The last could have an opening, were there not two images to look at.
    images = (noise_image(1),) if question == "Would it?" else ()
    sample = asked(question, further_images=images)
    with pytest.raises(NotApplicable, match=r"'q-5'.*no other wording") as refused:
        Paraphrased()(sample)
    assert refused.value.reason == "no other wording of it is known"


def test_a_question_that_only_begins_like_a_known_one_gets_an_opening_at_most() -> None:
    for question in ("Is the man to the left of the dog happy?", "Is the gap on the left side of it wide?"):
        for other in paraphrases(question, answer="yes", answer_type=AnswerType.TEXT):
            assert other.endswith(question[1:])


def test_units_stay() -> None:
    assert all("meters" in other for other in paraphrases("How many meters lie between the car and the dog?"))
    assert not any("meters" in other for other in paraphrases("How far is the car from the dog?"))


@given(st.sampled_from([*GROUPS]), st.integers(0, 9), st.text("ab1", max_size=4))
def test_choices_answer_and_the_rest_stay_and_the_id_decides(group: str, seed: int, name: str) -> None:
    fill = dict.fromkeys(("a", "b", "c", "group", "region", "transporter"), "the big thing")
    fill |= {"b": "the red box (box 3)", "side": "left", "unit": "feet", "kind": "shelf", "things": "cars"}
    question = Wording(GROUPS[group][0]).write(fill | {"does": "is near"})
    sample = asked(
        question[0].upper() + question[1:],
        id=name,
        choices=("left", "right"),
        answer="A",
        answer_type=AnswerType.LETTER,
        prompt=f"Q: {question[0].upper() + question[1:]} (A) left (B) right",
        rationale="It is.",
    )
    seen = Paraphrased(seed)(sample)
    assert seen.question != sample.question
    assert seen.replace(question=sample.question, prompt=sample.prompt) == sample
    assert seen.prompt == f"Q: {seen.question} (A) left (B) right"
    assert Paraphrased(seed)(sample) == seen


def test_seeds_and_ids_draw_different_wordings() -> None:
    question = "How far is the pallet <mask> from the pallet <mask>?"
    by_id = {Paraphrased()(asked(question, id=str(place))).question for place in range(200)}
    assert len(by_id) > 10 and by_id >= paraphrases(question)
    assert pickle.loads(pickle.dumps(Paraphrased(2))) == Paraphrased(2)
    with pytest.raises(DataError, match="`seed` of Paraphrased is -1"):
        Paraphrased(-1)


def test_openings_are_those_of_the_rendered_questions() -> None:
    assert {opening for opening in templates.VIEWPOINTS if opening} == set(OPENINGS)


def test_real_questions(shared_data: Path) -> None:
    changed = 0
    for sample in read_rows(shared_data / "omni_spatial" / "data.json"):
        try:
            seen = Paraphrased()(sample)
        except NotApplicable:
            continue
        changed += 1
        assert seen.question != sample.question and seen.choices == sample.choices
        assert re.findall(r"\bleft|right|\d+", seen.question) == re.findall(
            r"\bleft|right|\d+", sample.question
        )
    assert 1_150 < changed < 1_350
    for sample in read_thinker_rows(shared_data / "space_thinker" / "test-00000-of-00001.parquet"):
        assert Paraphrased()(sample).question != sample.question
