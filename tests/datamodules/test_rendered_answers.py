"""Every written answer is derived anew from the text of its question, the masks and the scene.

The small interpreter below shares no code with the generator: it reads the English question, decodes the
masks from the files, and computes with the footprints of the scene's objects.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from datamodules.rendered.scene import SceneObject
from datamodules.rendered.warehouse import draw_warehouse, frame_name, write_warehouse
from tests.helpers.matches import first_match

SIZE = (224, 128)
SEED = 11
SCENES = {
    "easy": {"train": 24, "test": 8},
    "real": {"train": 24, "val": 24},
    "composed": {"val": 24},
    "varied": {"train": 16, "val": 16},
}
KIND = r"(?:pallet|buffer region|transporter|shelf)"
OPENING = re.compile(
    r"(?:Given|Considering|Looking at|Taking into account|Here are|With) "
    r"(?:the [a-z ]+?(?: <m\d+>)+(?:, | and )?)+(?: in view)?[,.] "
)
NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five"]


@dataclass
class Thing:
    """What is known about one region: its kind, its place on the floor (metres) and its mask."""

    kind: str
    x: float
    y: float
    column: float
    area: int


@dataclass
class Fingerprint:
    """One record, with what is needed to answer it again."""

    record: dict[str, Any]
    things: list[Thing]
    objects: tuple[SceneObject, ...]

    @property
    def text(self) -> str:
        """The question with numbered placeholders and without the image placeholder."""
        pieces = self.record["conversations"][0]["value"].removeprefix("<image>\n").split("<mask>")
        return pieces[0] + "".join(f"<m{number}>{piece}" for number, piece in enumerate(pieces[1:]))

    @property
    def body(self) -> str:
        """The question without the list of objects in front of it."""
        return OPENING.sub("", self.text, count=1)


@pytest.fixture(scope="module", params=list(SCENES))
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Fingerprint]:
    folder = tmp_path_factory.mktemp("rendered") / request.param
    write_warehouse(
        folder, difficulty=request.param, scenes=SCENES[request.param], size=SIZE, seed=SEED, processes=1
    )
    questions = []
    for split, number in SCENES[request.param].items():
        name = "test_truth.json" if split == "test" else f"{split}.json"
        scenes = {
            f"{frame_name(split, index)}.png": draw_warehouse(request.param, split, index, SIZE, SEED)[0]
            for index in range(number)
        }
        for record in json.loads((folder / name).read_text()):
            rendering = scenes[record["image"]]
            objects = rendering.scene.objects
            things = []
            for rle in record["rle"]:
                mask = coco_mask.decode(rle).astype(bool)
                (label,) = np.unique(rendering.labels[mask])
                assert np.array_equal(mask, rendering.labels == label)
                thing = objects[label]
                things.append(
                    Thing(
                        str(thing.kind), thing.x, thing.y, float(np.nonzero(mask)[1].mean()), int(mask.sum())
                    )
                )
            questions.append(Fingerprint(record, things, objects))
    return questions


def of_category(asked: list[Fingerprint], category: str) -> list[Fingerprint]:
    chosen = [question for question in asked if question.record["category"] == category]
    assert len(chosen) > 20
    return chosen


def apart(first: Thing, second: Thing) -> float:
    return math.hypot(first.x - second.x, first.y - second.y)


def extreme(things: Sequence[Thing], side: str) -> Thing:
    """The outermost thing; the next one must be at least 2.7 % of the width further in."""
    ranked = sorted(things, key=lambda thing: thing.column, reverse=side == "right")
    if len(ranked) > 1:
        assert abs(ranked[0].column - ranked[1].column) >= 0.027 * SIZE[0] - 1e-6
    return ranked[0]


def nearest(things: Sequence[Thing], target: Thing) -> Thing:
    """The nearest thing; the next one must be at least 0.3 m and 10 % farther away."""
    ranked = sorted(things, key=lambda thing: apart(thing, target))
    if len(ranked) > 1:
        first, second = apart(ranked[0], target), apart(ranked[1], target)
        assert second >= first + 0.3 - 1e-6 and second >= 1.1 * first - 1e-6
    return ranked[0]


def resolve(phrase: str, things: Sequence[Thing]) -> Thing:
    """The thing that a phrase means."""
    if phrase == "the camera":
        return Thing("camera", 0.0, 0.0, 0.0, 0)
    if found := re.fullmatch(rf"the {KIND} <m(\d+)>", phrase):
        return things[int(found[1])]
    if found := re.fullmatch(rf"the (left|right)most ({KIND})", phrase):
        return extreme([thing for thing in things if thing.kind == found[2]], found[1])
    if found := re.fullmatch(rf"the ({KIND}) on the (left|right)", phrase):
        return extreme([thing for thing in things if thing.kind == found[1]], found[2])
    if found := re.fullmatch(rf"the ({KIND}) (?:that is )?(?:closest|nearest) to (.+)", phrase):
        return nearest([thing for thing in things if thing.kind == found[1]], resolve(found[2], things))
    found = re.fullmatch(rf"the ({KIND})", phrase)
    assert found, f"unknown phrase {phrase!r}"
    (only,) = [thing for thing in things if thing.kind == found[1]]
    return only


def pallets_inside(objects: Sequence[SceneObject], region: Thing) -> int:
    """How many pallets of the scene have their centre inside the rectangle of a region."""
    (floor,) = [
        thing
        for thing in objects
        if str(thing.kind) == "buffer region" and (thing.x, thing.y) == (region.x, region.y)
    ]
    return sum(
        str(thing.kind) == "pallet"
        and abs(thing.x - floor.x) < floor.length / 2
        and abs(thing.y - floor.y) < floor.width / 2
        for thing in objects
    )


def choose(question: Fingerprint) -> Thing:
    """The thing that a multiple-choice question asks for."""
    body, things = question.body, question.things
    if found := re.search(r"^(.*?)(?:closest|nearest) to (.+)[?.]$", body):
        named = [things[int(number)] for number in re.findall(r"<m(\d+)>", found[1])]
        kind = first_match(KIND, body)[0]
        return nearest(named or [thing for thing in things if thing.kind == kind], resolve(found[2], things))
    if "pick" in body:
        pallets = [thing for thing in things if thing.kind == "pallet"]
        return nearest(pallets, resolve(first_match(r"the transporter(?: <m\d+>)?", body)[0], things))
    if found := re.search(r"(left|right)most|(?:farthest to the|furthest) (left|right)", body):
        return extreme(things, found[1] or found[2])
    regions = [thing for thing in things if thing.kind == "buffer region"]
    numbers = [pallets_inside(question.objects, region) for region in regions]
    if re.search(r"most pallets|largest|highest", body):
        best = max(numbers)
    elif re.search(r"fewest|smallest|lowest", body):
        best = min(numbers)
    else:
        assert re.search(r"empty|no pallets|free of pallets", body)
        best = 0
    assert numbers.count(best) == 1
    return regions[numbers.index(best)]


def test_left_and_right_follow_the_mask_centroids(asked: list[Fingerprint]) -> None:
    if not any(question.record["category"] == "left_right" for question in asked):
        pytest.skip("composed questions are about no sides")
    for question in of_category(asked, "left_right"):
        first, second = question.things
        if "on which side of" in question.text.lower():
            first, second = second, first
        assert abs(first.column - second.column) >= 0.027 * SIZE[0] - 1e-6
        assert question.record["normalized_answer"] == ("left" if first.column < second.column else "right")


def test_multiple_choice_names_the_right_region(asked: list[Fingerprint]) -> None:
    for question in of_category(asked, "mcq"):
        answer = question.record["normalized_answer"]
        assert isinstance(answer, str)
        assert question.things[int(answer)] is choose(question), question.text


def test_distances_are_between_footprint_centres(asked: list[Fingerprint]) -> None:
    reference = re.compile(
        rf"(?:the {KIND} (?:that is )?(?:closest|nearest) to )*"
        rf"the (?:(?:left|right)most {KIND}|{KIND} (?:<m\d+>|on the (?:left|right)))"
    )
    for question in of_category(asked, "distance"):
        answer = question.record["normalized_answer"]
        assert isinstance(answer, float)
        first, second = (resolve(phrase, question.things) for phrase in reference.findall(question.body))
        assert answer == pytest.approx(apart(first, second), abs=0.006), question.text


def test_counts_are_pallets_inside_the_region(asked: list[Fingerprint]) -> None:
    for question in of_category(asked, "count"):
        answer = question.record["normalized_answer"]
        assert isinstance(answer, int)
        phrase = first_match(
            r"(the (?:leftmost |rightmost )?buffer region.*?)(?: holds?)?[?.]$", question.body
        )[1]
        region = resolve(phrase, question.things)
        assert answer == pallets_inside(question.objects, region), question.text
        listed = [thing for thing in question.things if thing.kind == "pallet"]
        if listed:
            centres = {(thing.x, thing.y) for thing in listed}
            assert answer == pallets_inside(
                [t for t in question.objects if str(t.kind) != "pallet" or (t.x, t.y) in centres], region
            )


def is_true(sentence: str, question: Fingerprint, subject: Thing | None) -> Thing | None:
    """Check one sentence of a free-form answer; what it speaks of first is given back.

    What a chain compares with is what the sentence before has found.
    """
    things = question.things
    for kind, number in re.findall(rf"({KIND})s? \[Region (\d+)\]", sentence):
        assert things[int(number)].kind == kind
    marked = [things[int(number)] for number in re.findall(r"\[Region (\d+)\]", sentence)]
    first = marked[0] if marked else None
    if found := re.search(r"(?:to|on) the (left|right)(?:-hand side| side)? of \w", sentence):
        assert (found[1] == "left") == (marked[0].column < marked[1].column)
    elif found := re.search(
        rf"[Tt]he (left|right)most(?: ({KIND}))?|the ({KIND}) on the (left|right)", sentence
    ):
        kind = found[2] or found[3]
        assert extreme([each for each in things if kind in (None, each.kind)], found[1] or found[4]) is first
    elif "closest to" in sentence:
        target = marked[1] if len(marked) > 1 else resolve("the camera", things)
        assert subject in (None, target)
        assert nearest([each for each in things if first and each.kind == first.kind], target) is first
    elif found := re.search(r"(\d+\.\d\d) meters", sentence):
        assert float(found[1]) == pytest.approx(apart(*marked), abs=0.006)
    elif sentence.startswith("I see"):
        *pallets, region = marked
        assert len({id(pallet) for pallet in pallets}) == pallets_inside(question.objects, region)
        assert all(math.hypot(pallet.x - region.x, pallet.y - region.y) < 3.5 for pallet in pallets)
    elif found := re.search(r"exactly (\w+) pallets?( in)?", sentence):
        number = (
            pallets_inside(question.objects, marked[0]) if found[2] else question.record["normalized_answer"]
        )
        assert NUMBER_WORDS.index(found[1]) == number
    else:
        assert re.search("pallets|empty", sentence), f"unknown sentence {sentence!r}"
        assert choose(question) is first
    return first


def test_every_sentence_of_a_freeform_answer_is_true(asked: list[Fingerprint]) -> None:
    for question in asked:
        subject = None
        sentences = re.split(r"(?<=[.]) (?=[A-Z\[])", question.record["freeform_answer"])
        for sentence in sentences:
            subject = is_true(sentence, question, subject)
        if re.search(r"(?:closest|nearest) to the (?:(?:left|right)most|[a-z ]+ on the)", question.body):
            assert len(sentences) > 1  # who is meant by "the leftmost" is found first


def test_freeform_answers_end_in_the_answer(asked: list[Fingerprint]) -> None:
    for question in asked:
        answer = question.record["normalized_answer"]
        freeform = question.record["freeform_answer"]
        last = re.split(r"(?<=[.]) (?=[A-Z\[])", freeform)[-1]
        if question.record["category"] == "mcq":
            assert re.findall(r"\[Region (\d+)\]", last)[0] == answer
        elif question.record["category"] == "count":
            assert f" {NUMBER_WORDS[answer]} pallet" in last
        elif question.record["category"] == "distance":
            assert f" {answer:.2f} meters" in last
        else:
            assert first_match(r"(left|right)(?:-hand| side| of)", last)[1] == answer
        for number in re.findall(r"\[Region (\d+)\]", freeform):
            assert int(number) < len(question.things)


def test_everything_asked_about_is_large_enough_to_see(asked: list[Fingerprint]) -> None:
    for question in asked:
        for thing in question.things:
            assert thing.area >= 0.0016 * SIZE[0] * SIZE[1]
