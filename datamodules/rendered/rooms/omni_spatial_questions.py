"""Questions in the manner of OmniSpatial, where geometry can answer them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations
from random import Random
from typing import Literal

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.marks import letter_place, letter_size
from datamodules.rendered.rooms.room_scene import Thing
from datamodules.rendered.rooms.room_sight import Seen, Sight
from datamodules.rendered.rooms.room_truth import is_nearer

Task = Literal["Perspective_Taking", "Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic"]
TASKS: tuple[Task, ...] = ("Perspective_Taking", "Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic")

LETTERS = "ABCD"
SIDES = ("left", "right")
UNKNOWN = "can not determine"
QUADRANTS = ("front left", "front right", "back left", "back right")
WALKS = (
    "left, away from the camera",
    "right, away from the camera",
    "left, towards the camera",
    "right, towards the camera",
)
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")

LEAST_ASIDE_M, LEAST_ASIDE_DEG = 0.4, 18.0
"""A direction is only named where an object lies so far to that side, in metres and as an angle."""

LEAST_COLUMNS = 0.05
"""Least gap between the middles of boxes that are ordered from left to right, as a share of the width."""

LEAST_HEIGHT_RATIO = 1.2
"""The tallest object is at least this many times as tall as the next."""

TIME_RATIO = 1.6
"""Wrong times are at least this many times shorter or longer than the right one, and than each other."""

KIND_SLACK = 12
"""No kind of question of a task type is asked more than this many times more often than another."""

SPEEDS = (0.25, 0.5, 1.0, 1.5)
"""Walking speeds, in metres per second."""

LEAST_TIME_S = 0.8
"""No shorter time is offered, in seconds: rounded to a tenth, it would not differ clearly from the next."""


@dataclass(frozen=True)
class OmniQuestion:
    """One question.

    Attributes:
        task: its `task_type`.
        kind: its `sub_task_type`.
        question: its text.
        options: the texts to choose from; none where letters are drawn in the picture.
        answer: the place of the right one.
        letters: the objects that get the letters A to D in the picture, by their index.
        about: what it is about; a picture never gets two questions of one task about the same.
        tallies: what the answer counts towards.
    """

    task: Task
    kind: str
    question: str
    options: tuple[str, ...]
    answer: int
    about: frozenset[int | str]
    tallies: tuple[Tally, ...]
    letters: tuple[int, ...] = ()


def offered(sight: Sight, random: Random) -> list[OmniQuestion]:
    """All questions on a picture with a person (thing 0), a ball (1) and others, each of its own class."""
    return [
        *_egocentric(sight, random),
        *_allocentric(sight, random),
        *_hypothetical(sight, random),
        *_rolling(sight, random),
        *_walking_times(sight, random),
        *_localization(sight, random),
        *_strategy(sight, random),
        *_lettered(sight),
        *_ordered(sight, random),
    ]


def _asked(
    random: Random,
    task: Task,
    kind: str,
    question: str,
    right: str,
    wrong: Sequence[str],
    about: frozenset[int | str],
    tallies: tuple[Tally, ...] = (),
) -> Iterator[OmniQuestion]:
    """The question with its right answer in each place, so that the balance can choose among them."""
    for place in range(len(wrong) + 1):
        options = random.sample(list(wrong), len(wrong))
        options.insert(place, right)
        yield OmniQuestion(
            task,
            kind,
            question,
            tuple(options),
            place,
            about,
            (
                Tally((task, kind, "place"), place, tuple(range(len(options)))),
                _kind_tally(task, kind),
                *tallies,
            ),
        )


KINDS_OF_TASK = {
    "Perspective_Taking": ("Egocentric", "Allocentric", "Hypothetical"),
    "Dynamic_Reasoning": ("Motion_Analysis",),
    "Spatial_Interaction": ("Localization", "Geospatial_Strategy"),
    "Complex_Logic": ("Geometric_Reasoning",),
}
"""The `sub_task_type`s that are rendered."""


def _kind_tally(task: Task, kind: str) -> Tally:
    """Counts how often a kind of question is asked."""
    return Tally((task, "kind"), kind, KINDS_OF_TASK[task], KIND_SLACK)


def _named(sight: Sight, without: Sequence[int] = ()) -> list[Seen]:
    """The objects that can be named, but for some."""
    return [seen for seen in sight.seen if seen.index not in without]


def _wrong_names(random: Random, things: Sequence[Seen], right: Seen) -> list[str]:
    """The classes of three other objects."""
    return [seen.thing.kind for seen in random.sample([seen for seen in things if seen is not right], 3)]


def aside(viewer: tuple[float, float], facing: tuple[float, float], thing: Thing) -> tuple[float, float]:
    """How far ahead and how far to the left of a viewer an object stands, both in metres."""
    x, y = thing.x - viewer[0], thing.y - viewer[1]
    return x * facing[0] + y * facing[1], y * facing[0] - x * facing[1]


def _is_clear(part: float, whole: float) -> bool:
    """Whether an offset to one side is large enough, in metres and as an angle."""
    return abs(part) >= LEAST_ASIDE_M and abs(part) >= math.sin(math.radians(LEAST_ASIDE_DEG)) * whole


def _side(ahead: float, left: float) -> str | None:
    """On which side something is, or None where that is not clear."""
    return (SIDES[0] if left > 0 else SIDES[1]) if _is_clear(left, math.hypot(ahead, left)) else None


def _quadrant(ahead: float, left: float) -> str | None:
    """In which quadrant something is, or None where that is not clear."""
    if not (_is_clear(left, math.hypot(ahead, left)) and _is_clear(ahead, math.hypot(ahead, left))):
        return None
    return QUADRANTS[(0 if ahead > 0 else 2) + (0 if left > 0 else 1)]


def _egocentric(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Which object is the leftmost, rightmost, nearest or farthest in the picture."""
    things = _named(sight)
    if len(things) < 4:
        return
    gap = LEAST_COLUMNS * sight.scene.camera.width
    by_column = sorted(things, key=lambda seen: seen.center[0])
    by_depth = sorted(things, key=lambda seen: seen.middle_m)
    found = []
    if by_column[1].center[0] - by_column[0].center[0] >= gap:
        found.append(("farthest to the left", by_column[0]))
    if by_column[-1].center[0] - by_column[-2].center[0] >= gap:
        found.append(("farthest to the right", by_column[-1]))
    if is_nearer(by_depth[0], by_depth[1]):
        found.append(("nearest", by_depth[0]))
    if is_nearer(by_depth[-2], by_depth[-1]):
        found.append(("farthest away", by_depth[-1]))
    for what, right in found:
        yield from _asked(
            random,
            "Perspective_Taking",
            "Egocentric",
            f"From the photographer's perspective, which of these objects is {what}?",
            right.thing.kind,
            _wrong_names(random, things, right),
            frozenset({what}),
        )


def _allocentric(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Where objects are for the person, who looks along the arrow."""
    person = sight.scene.things[0]
    if all(seen.index != 0 for seen in sight.seen):
        return
    for seen in _named(sight, without=(0,)):
        kind = seen.thing.kind
        place = aside((person.x, person.y), person.front, seen.thing)
        who = "the person who looks along the arrow on the floor"
        if (quadrant := _quadrant(*place)) is not None:
            yield from _asked(
                random,
                "Perspective_Taking",
                "Allocentric",
                f"From the perspective of {who}, in which direction is the {kind}?",
                quadrant,
                [other for other in QUADRANTS if other != quadrant],
                frozenset({seen.index}),
                (Tally("quadrant", quadrant, QUADRANTS), Tally(("quadrant", kind), quadrant, QUADRANTS)),
            )
        if (truth := _side(*place)) is not None:
            yield from _asked(
                random,
                "Perspective_Taking",
                "Allocentric",
                f"From the viewpoint of {who}, on which side is the {kind}?",
                truth,
                [SIDES[1 - SIDES.index(truth)], UNKNOWN, UNKNOWN],
                frozenset({seen.index}),
                (Tally("allocentric side", truth, SIDES), Tally(("allocentric side", kind), truth, SIDES)),
            )


def _hypothetical(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Where an object would be for somebody who stands at a second and looks towards a third."""
    for stand, toward, seen in permutations(_named(sight), 3):
        viewer, goal = stand.thing, toward.thing
        away = viewer.distance_m(goal)
        facing = (goal.x - viewer.x) / away, (goal.y - viewer.y) / away
        truth = _side(*aside((viewer.x, viewer.y), facing, seen.thing))
        if truth is None or away < 1:
            continue
        kinds = [each.thing.kind for each in (stand, toward, seen)]
        yield from _asked(
            random,
            "Perspective_Taking",
            "Hypothetical",
            f"If you stood at the {kinds[0]} and looked towards the {kinds[1]}, "
            f"on which side of you would the {kinds[2]} be?",
            truth,
            [SIDES[1 - SIDES.index(truth)], UNKNOWN, UNKNOWN],
            frozenset({stand.index, toward.index, seen.index}),
            (
                Tally("hypothetical", truth, SIDES),
                *(Tally(("hypothetical", role, kind), truth, SIDES) for role, kind in enumerate(kinds)),
            ),
        )


def _rolling(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Which object the ball is going to hit."""
    ball, direction = sight.scene.things[1], sight.scene.heading[1]
    others = _named(sight, without=(1,))
    # The ball rolls towards the middle of what it hits.
    hit = [
        seen
        for seen in others
        if (place := aside((ball.x, ball.y), direction, seen.thing))[0] > 0 and abs(place[1]) < 1e-6
    ]
    if len(others) < 4 or len(hit) != 1 or all(seen.index != 1 for seen in sight.seen):
        return
    yield from _asked(
        random,
        "Dynamic_Reasoning",
        "Motion_Analysis",
        "If the ball rolls straight along the arrow in front of it, which object will it hit first?",
        hit[0].thing.kind,
        _wrong_names(random, others, hit[0]),
        frozenset({"rolling"}),
        (Tally("motion", "rolling", ("rolling", "walking")),),
    )


def _walking_times(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """How long the person takes to walk to an object."""
    person = sight.scene.things[0]
    if all(seen.index != 0 for seen in sight.seen):
        return
    for seen in _named(sight, without=(0,)):
        speed = random.choice(SPEEDS)
        time_s = person.distance_m(seen.thing) / speed
        # The right time is equally often the shortest, second, third and longest of the four.
        rank = random.randrange(4)
        factor = TIME_RATIO * random.uniform(1, 1.2)
        if time_s < LEAST_TIME_S * factor**rank:
            continue
        times = [f"{time_s * factor ** (step - rank):.1f}s" for step in range(4)]
        right = times.pop(rank)
        yield from _asked(
            random,
            "Dynamic_Reasoning",
            "Motion_Analysis",
            f"If the person walks to the {seen.thing.kind} at {speed:g} m/s, how long will it take?",
            right,
            times,
            frozenset({"walking", seen.index}),
            (
                Tally("motion", "walking", ("rolling", "walking")),
                Tally("rank of time", rank, (0, 1, 2, 3)),
            ),
        )


def _localization(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """The how-manyth from the left an object is."""
    things = sorted(sight.seen, key=lambda seen: seen.center[0])
    gap = LEAST_COLUMNS * sight.scene.camera.width
    columns = [seen.center[0] for seen in things]
    apart = all(second - first >= gap for first, second in pairwise(columns))
    if len(things) < max(4, len(sight.scene.things)) or len(things) > len(ORDINALS) or not apart:
        return
    for place, seen in enumerate(things):
        phrases = [f"it is the {ordinal} object from the left" for ordinal in ORDINALS[: len(things)]]
        right = phrases.pop(place)
        yield from _asked(
            random,
            "Spatial_Interaction",
            "Localization",
            f"Where is the {seen.thing.kind}?",
            right,
            random.sample(phrases, 3),
            frozenset({seen.index}),
            (Tally("ordinal", place, (0, 1, 2, 3)),) if place < 4 else (),
        )


def _strategy(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Which way the person should walk to an object."""
    person = sight.scene.things[0]
    if all(seen.index != 0 for seen in sight.seen):
        return
    for seen in _named(sight, without=(0,)):
        quadrant = _quadrant(*aside((person.x, person.y), (0.0, 1.0), seen.thing))
        if quadrant is None:
            continue
        right = WALKS[QUADRANTS.index(quadrant)]
        yield from _asked(
            random,
            "Spatial_Interaction",
            "Geospatial_Strategy",
            f"In which direction of the picture should the person walk to get to the {seen.thing.kind}?",
            right,
            [walk for walk in WALKS if walk != right],
            frozenset({seen.index}),
            (Tally("walk", right, WALKS), Tally(("walk", seen.thing.kind), right, WALKS)),
        )


def _lettered(sight: Sight) -> Iterator[OmniQuestion]:
    """Which of four objects with letters in the picture is the tallest, nearest or farthest."""
    camera = sight.scene.camera
    size = camera.width, camera.height
    for four in combinations(sight.seen, 4):
        places = [letter_place(seen.box, size) for seen in four]
        gaps = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in combinations(places, 2)]
        if min(gaps) <= letter_size(camera.width):
            continue
        by_height = sorted(four, key=lambda seen: seen.thing.height)
        by_depth = sorted(four, key=lambda seen: seen.middle_m)
        found = []
        if by_height[3].thing.height >= LEAST_HEIGHT_RATIO * by_height[2].thing.height:
            found.append(("is the tallest in reality", by_height[3]))
        if is_nearer(by_depth[0], by_depth[1]):
            found.append(("is the nearest to the camera", by_depth[0]))
        if is_nearer(by_depth[2], by_depth[3]):
            found.append(("is the farthest from the camera", by_depth[3]))
        for what, right in found:
            others = [seen.index for seen in four if seen is not right]
            for place in range(4):
                letters = [*others[:place], right.index, *others[place:]]
                yield OmniQuestion(
                    "Complex_Logic",
                    "Geometric_Reasoning",
                    f"Which of the objects that are marked by a letter {what}?",
                    (),
                    place,
                    frozenset({what}),
                    (Tally("lettered", place, (0, 1, 2, 3)), _LETTERED),
                    tuple(letters),
                )


_LETTERED = Tally("logic", "lettered", ("lettered", "ordered"))
_ORDERED = Tally("logic", "ordered", ("lettered", "ordered"))


def _ordered(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """In which order three objects stand, from near to far."""
    for three in combinations(sight.seen, 3):
        near, middle, far = sorted(three, key=lambda seen: seen.middle_m)
        if not (is_nearer(near, middle) and is_nearer(middle, far)):
            continue
        orders = [
            " - ".join(seen.thing.kind for seen in order) for order in permutations((near, middle, far))
        ]
        yield from _asked(
            random,
            "Complex_Logic",
            "Geometric_Reasoning",
            "Which list names the objects in order of their distance from the camera, the nearest first?",
            orders[0],
            random.sample(orders[1:], 3),
            frozenset({seen.index for seen in three}),
            (
                _ORDERED,
                *(
                    Tally(("order", seen.thing.kind), rank, (0, 1, 2))
                    for rank, seen in enumerate((near, middle, far))
                ),
            ),
        )
