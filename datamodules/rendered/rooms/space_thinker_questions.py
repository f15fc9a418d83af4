"""Questions with a train of thought in the manner of SpaceThinker; every number in it is true."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Literal

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.catalogue import KINDS, kinds_of
from datamodules.rendered.rooms.length_texts import CENTIMETRES, FEET, INCHES, METRES, Unit
from datamodules.rendered.rooms.naming import name_of, numbered
from datamodules.rendered.rooms.room_scene import Thing
from datamodules.rendered.rooms.room_sight import Seen, Sight
from datamodules.rendered.rooms.room_truth import side

Task = Literal["distance", "size", "count", "relation"]
TASKS: tuple[Task, ...] = ("distance", "size", "count", "relation")

RANGES = 0.25
"""Share of the lengths that are answered by a range."""

LONG_KINDS = frozenset({"table", "sofa", "bed", "bench", "car", "bookshelf"})
"""Classes whose length is asked for, beside their height."""

LONGER = 1.2
"""A length is only asked for where it is at least this many times the width."""

COUNTS = (0, 1, 2, 3, 4)
COUNT_SLACK = 4
"""No count leads by more than this many questions, in all and among those about one class."""


@dataclass(frozen=True)
class ThinkerQuestion:
    """One question.

    Attributes:
        task: its kind.
        question: its text.
        thought: what leads to the answer.
        answer: the answer.
        about: what it is about; an image never gets two questions of one task about the same.
        tallies: what the answer counts towards.
    """

    task: Task
    question: str
    thought: str
    answer: str
    about: frozenset[int | str]
    tallies: tuple[Tally, ...] = ()


def offered(sight: Sight, random: Random) -> list[ThinkerQuestion]:
    """All questions that an image can truly be asked."""
    named = [(name, seen) for seen in sight.seen if (name := name_of(sight.scene, seen.thing)) is not None]
    return [
        *_distances(sight, named, random),
        *_sizes(sight, named, random),
        *_counts(sight, random),
        *_relations(sight, named, random),
    ]


def _meters(length_m: float) -> str:
    """A length for the train of thought, in metres to the centimetre."""
    return f"{length_m:.2f} meters"


def _concluded(length_m: float, unit: Unit, random: Random) -> tuple[str, str]:
    """The answer for a length, and the sentence that leads to it from the length in metres."""
    in_unit = "" if unit is METRES else f", which is {length_m / unit.metres:.1f} {unit.name}"
    if random.random() < RANGES:
        answer = unit.between(length_m)
        return answer, f"{in_unit}. That lies in the range of {answer}."
    answer = unit.exact(length_m)
    return answer, f"{in_unit}, so the answer is about {answer}."


def _place(name: str, thing: Thing) -> str:
    """Where an object stands as seen from the camera."""
    where = "left" if thing.x < 0 else "right"
    return (
        f"The {name} stands {_meters(thing.y)} ahead of the camera and {_meters(abs(thing.x))} "
        f"to the {where} of the line of sight."
    )


def _distances(sight: Sight, named: list[tuple[str, Seen]], random: Random) -> Iterator[ThinkerQuestion]:
    """How far two objects are apart, or one is from the camera."""
    for (name, seen), (other_name, other) in permutations(named, 2):
        first, second = seen.thing, other.thing
        length_m = first.distance_m(second)
        unit = random.choice((METRES, METRES, CENTIMETRES, FEET))
        answer, conclusion = _concluded(length_m, unit, random)
        thought = (
            f"To find the distance between the {name} and the {other_name}, I first locate both. "
            f"{_place(name, first)} {_place(other_name, second)} "
            f"Their middles are {_meters(abs(first.x - second.x))} apart sideways and "
            f"{_meters(abs(first.y - second.y))} apart in depth. "
            f"Together that makes {_meters(length_m)}{conclusion}"
        )
        question = random.choice(
            (
                f"How far is the {name} from the {other_name} in {unit.name}?",
                f"Approximately how many {unit.name} apart are the {name} and the {other_name}?",
                f"What is the distance between the {name} and the {other_name} in {unit.name}?",
                f"Can you estimate the gap between the {name} and the {other_name} in {unit.name}?",
            )
        )
        yield ThinkerQuestion("distance", question, thought, answer, frozenset({name, other_name}))
    for name, seen in named:
        length_m = math.hypot(seen.thing.x, seen.thing.y)
        unit = random.choice((METRES, METRES, FEET))
        answer, conclusion = _concluded(length_m, unit, random)
        thought = (
            f"I look for the {name} and measure along the floor. {_place(name, seen.thing)} "
            f"From the point below the camera to its middle that makes {_meters(length_m)}{conclusion}"
        )
        question = random.choice(
            (
                f"How far away from the camera is the {name}, in {unit.name}?",
                f"What is the distance from the photographer to the {name} in {unit.name}?",
            )
        )
        yield ThinkerQuestion("distance", question, thought, answer, frozenset({name}))


def _sizes(sight: Sight, named: list[tuple[str, Seen]], random: Random) -> Iterator[ThinkerQuestion]:
    """How tall or long an object is."""
    eye_m = sight.scene.camera.height_m
    for name, seen in named:
        thing = seen.thing
        unit = random.choice((METRES, CENTIMETRES, CENTIMETRES, FEET, INCHES))
        answer, conclusion = _concluded(thing.height, unit, random)
        gap = abs(eye_m - thing.height)
        yield ThinkerQuestion(
            "size",
            random.choice(
                (
                    f"How tall is the {name} in {unit.name}?",
                    f"What is the height of the {name} in {unit.name}?",
                    f"Please estimate the height of the {name}, in {unit.name}.",
                )
            ),
            f"The camera is {_meters(eye_m)} above the floor. {_place(name, thing)} At that distance its top "
            f"lies {_meters(gap)} {'below' if thing.height < eye_m else 'above'} the height of the camera. "
            f"Its height is therefore {_meters(thing.height)}{conclusion}",
            answer,
            frozenset({name, "height"}),
        )
        length, width, _ = thing.size
        if thing.kind not in LONG_KINDS or max(length, width) < LONGER * min(length, width):
            continue
        # The longer of its two axes, which is turned with the object.
        angle = thing.yaw if length > width else thing.yaw + math.pi / 2
        length = max(length, width)
        answer, conclusion = _concluded(length, unit, random)
        yield ThinkerQuestion(
            "size",
            random.choice(
                (
                    f"How long is the {name} in {unit.name}?",
                    f"What is the length of the {name}, measured in {unit.name}?",
                )
            ),
            f"{_place(name, thing)} Its two ends lie {_meters(abs(length * math.cos(angle)))} apart sideways "
            f"and {_meters(abs(length * math.sin(angle)))} apart in depth. From end to end it measures "
            f"{_meters(length)}{conclusion}",
            answer,
            frozenset({name, "length"}),
        )


def _counts(sight: Sight, random: Random) -> Iterator[ThinkerQuestion]:
    """How many objects of a class there are."""
    absent = [kind.name for kind in kinds_of(sight.scene.place) if kind.name not in sight.present]
    for kind, number in (sight.numbers | dict.fromkeys(random.sample(absent, 2), 0)).items():
        if number not in COUNTS:
            continue
        plural = KINDS[kind].plural
        places = [
            f"one about {_meters(seen.thing.y)} ahead" for seen in sight.seen if seen.thing.kind == kind
        ]
        look = f"I go through the picture and look for {plural}"
        thought = f"{look}: {', '.join(places)}. " if places else f"{look}, but find none. "
        yield ThinkerQuestion(
            "count",
            random.choice(
                (
                    f"How many {plural} are there in this image?",
                    f"How many {plural} can you see?",
                    f"What is the number of {plural} in the picture?",
                )
            ),
            f"{thought}That makes {numbered(number, kind)} in all.",
            str(number),
            frozenset({kind}),
            (
                Tally("count", number, COUNTS, COUNT_SLACK),
                Tally(("count", kind), number, COUNTS, COUNT_SLACK),
            ),
        )


def _relations(sight: Sight, named: list[tuple[str, Seen]], random: Random) -> Iterator[ThinkerQuestion]:
    """On which side of another an object is in the image."""
    width = sight.scene.camera.width
    for (name, first), (other_name, second) in permutations(named, 2):
        truth = side(first, second, width)
        if truth is None:
            continue
        shares = [round(100 * seen.center[0] / width) for seen in (first, second)]
        yield ThinkerQuestion(
            "relation",
            random.choice(
                (
                    f"Is the {name} to the left or to the right of the {other_name}?",
                    f"Does the {name} appear on the left or on the right of the {other_name}?",
                )
            ),
            f"I compare where both appear in the picture. The middle of the {name} is at {shares[0]} percent "
            f"of the width, counted from the left, and that of the {other_name} at {shares[1]} percent. "
            f"Therefore the {name} is on the {truth} of the {other_name}.",
            truth,
            frozenset({name, other_name}),
            (
                Tally("relation", truth, ("left", "right")),
                Tally(("first", first.thing.kind), truth, ("left", "right")),
                Tally(("second", second.thing.kind), truth, ("left", "right")),
            ),
        )
