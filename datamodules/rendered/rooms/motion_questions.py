"""Dynamic_Reasoning: what the ball will hit, and how long the person will walk."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.directions import aside
from datamodules.rendered.rooms.omni_question import (
    BALL,
    PERSON,
    OmniQuestion,
    all_but,
    asked,
    is_seen,
    wrong_names,
)
from datamodules.rendered.rooms.room_sight import Sight

TIME_RATIO = 1.6
"""Wrong times are at least this many times shorter or longer than the right one, and than each other."""

SPEEDS = (0.25, 0.5, 1.0, 1.5)
"""Walking speeds, in metres per second."""

LEAST_TIME_S = 0.8
"""No shorter time is offered, in seconds: rounded to a tenth, it would not differ clearly from the next."""


def rolling(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """Which object the ball is going to hit."""
    ball, direction = sight.scene.things[BALL], sight.scene.heading[BALL]
    others = all_but(sight, BALL)
    # The ball rolls towards the middle of what it hits.
    hit = [
        seen
        for seen in others
        if (place := aside((ball.x, ball.y), direction, seen.thing))[0] > 0 and abs(place[1]) < 1e-6
    ]
    if len(others) < 4 or len(hit) != 1 or not is_seen(sight, BALL):
        return
    yield from asked(
        random,
        "Dynamic_Reasoning",
        "Motion_Analysis",
        "If the ball rolls straight along the arrow in front of it, which object will it hit first?",
        hit[0].thing.kind,
        wrong_names(random, others, hit[0]),
        frozenset({"rolling"}),
        (Tally("motion", "rolling", ("rolling", "walking")),),
    )


def walking_times(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """How long the person takes to walk to an object."""
    person = sight.scene.things[PERSON]
    if not is_seen(sight, PERSON):
        return
    for seen in all_but(sight, PERSON):
        speed = random.choice(SPEEDS)
        time_s = person.distance_m(seen.thing) / speed
        # The right time is equally often the shortest, second, third and longest of the four.
        rank = random.randrange(4)
        factor = TIME_RATIO * random.uniform(1, 1.2)
        if time_s < LEAST_TIME_S * factor**rank:
            continue
        times = [f"{time_s * factor ** (step - rank):.1f}s" for step in range(4)]
        right = times.pop(rank)
        yield from asked(
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
