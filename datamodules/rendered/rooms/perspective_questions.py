"""Perspective_Taking: what the photographer, the person, or somebody standing elsewhere would see."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from random import Random

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.directions import QUADRANTS, SIDES, aside, quadrant_of, side_of
from datamodules.rendered.rooms.omni_question import (
    PERSON,
    OmniQuestion,
    all_but,
    asked,
    is_seen,
    wrong_names,
)
from datamodules.rendered.rooms.room_sight import Sight
from datamodules.rendered.rooms.room_truth import is_nearer

UNKNOWN = "can not determine"

LEAST_COLUMNS = 0.05
"""Least gap between the middles of boxes that are ordered from left to right, as a share of the width."""


def egocentric(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Which object is the leftmost, rightmost, nearest or farthest in the image."""
    things = sight.seen
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
        yield from asked(
            random,
            "Perspective_Taking",
            "Egocentric",
            f"From the photographer's perspective, which of these objects is {what}?",
            right.thing.kind,
            wrong_names(random, things, right),
            frozenset({what}),
        )


def allocentric(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Where objects are for the person, who looks along the arrow."""
    person = sight.scene.things[PERSON]
    if not is_seen(sight, PERSON):
        return
    for seen in all_but(sight, PERSON):
        kind = seen.thing.kind
        place = aside((person.x, person.y), person.front, seen.thing)
        who = "the person who looks along the arrow on the floor"
        if (quadrant := quadrant_of(*place)) is not None:
            yield from asked(
                random,
                "Perspective_Taking",
                "Allocentric",
                f"From the perspective of {who}, in which direction is the {kind}?",
                quadrant,
                [other for other in QUADRANTS if other != quadrant],
                frozenset({seen.index}),
                (Tally("quadrant", quadrant, QUADRANTS), Tally(("quadrant", kind), quadrant, QUADRANTS)),
            )
        if (truth := side_of(*place)) is not None:
            yield from asked(
                random,
                "Perspective_Taking",
                "Allocentric",
                f"From the viewpoint of {who}, on which side is the {kind}?",
                truth,
                [SIDES[1 - SIDES.index(truth)], UNKNOWN, UNKNOWN],
                frozenset({seen.index}),
                (Tally("allocentric side", truth, SIDES), Tally(("allocentric side", kind), truth, SIDES)),
            )


def hypothetical(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Where an object would be for somebody who stands at a second and looks towards a third."""
    for stand, toward, seen in permutations(sight.seen, 3):
        viewer, goal = stand.thing, toward.thing
        away = viewer.distance_m(goal)
        facing = (goal.x - viewer.x) / away, (goal.y - viewer.y) / away
        truth = side_of(*aside((viewer.x, viewer.y), facing, seen.thing))
        if truth is None or away < 1:
            continue
        kinds = [each.thing.kind for each in (stand, toward, seen)]
        yield from asked(
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
