"""Spatial_Interaction: where an object is in a row, and which way leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.directions import QUADRANTS, aside, quadrant_of
from datamodules.rendered.rooms.omni_question import PERSON, OmniQuestion, all_but, asked, is_seen
from datamodules.rendered.rooms.perspective_questions import LEAST_COLUMNS
from datamodules.rendered.rooms.room_sight import Sight

WALKS = (
    "left, away from the camera",
    "right, away from the camera",
    "left, towards the camera",
    "right, towards the camera",
)
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def localization(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
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
        yield from asked(
            random,
            "Spatial_Interaction",
            "Localization",
            f"Where is the {seen.thing.kind}?",
            right,
            random.sample(phrases, 3),
            frozenset({seen.index}),
            (Tally("ordinal", place, (0, 1, 2, 3)),) if place < 4 else (),
        )


def strategy(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Which way the person should walk to an object."""
    person = sight.scene.things[PERSON]
    if not is_seen(sight, PERSON):
        return
    for seen in all_but(sight, PERSON):
        quadrant = quadrant_of(*aside((person.x, person.y), (0.0, 1.0), seen.thing))
        if quadrant is None:
            continue
        right = WALKS[QUADRANTS.index(quadrant)]
        yield from asked(
            random,
            "Spatial_Interaction",
            "Geospatial_Strategy",
            f"In which direction of the picture should the person walk to get to the {seen.thing.kind}?",
            right,
            [walk for walk in WALKS if walk != right],
            frozenset({seen.index}),
            (Tally("walk", right, WALKS), Tally(("walk", seen.thing.kind), right, WALKS)),
        )
