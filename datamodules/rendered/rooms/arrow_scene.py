"""Scenes with a person who looks along an arrow on the floor and a ball that will roll along another."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from datamodules.rendered.rooms.catalogue import KINDS, PLACES, kinds_of
from datamodules.rendered.rooms.palette import Colour
from datamodules.rendered.rooms.room_scene import Layout, RoomScene, Thing, image_box
from datamodules.rendered.rooms.solids import Finish, Shape, Solid

OTHERS = (4, 6)
"""Fewest and most objects beside the person and the ball."""

ARROW_M = 0.8
"""Length of an arrow."""

ROOM_FOR_ARROW_M = 1.2
"""A ball starts at least this far from what it is to hit, from edge to edge."""

CLEARANCE_M = 0.35
"""A rolling ball passes all other objects at this distance at least, from edge to edge."""

BALL_TRIES = 20
"""So many places of the ball are tried before everything is drawn anew."""

ARROW_COLOUR: Colour = (0.97, 0.94, 0.30)


def draw_arrow_room(random: Random, size: tuple[int, int]) -> RoomScene:
    """Draw a room or yard for images of a size (width, height) in pixels.

    Every object is the only one of its class, and both the person and the ball have a direction.
    """
    place = random.choice(PLACES)
    while True:
        layout = Layout(random, size, place)
        kinds = [kind for kind in kinds_of(layout.place) if kind.name not in ("person", "ball")]
        chosen = sorted(random.sample(kinds, random.randint(*OTHERS)), key=lambda kind: not kind.large)
        person = layout.add(KINDS["person"])
        if person is None or not _is_seen(layout, person, person.front):
            continue
        others = [thing for kind in chosen if (thing := layout.add(kind)) is not None]
        if len(others) < OTHERS[0]:
            continue
        if not (_has_room(layout.things, person) and _is_seen(layout, person, person.front)):
            continue
        for _ in range(BALL_TRIES):
            ball = layout.add(KINDS["ball"])
            if ball is None:
                break
            targets = [
                thing
                for thing in others
                if is_hit(layout.things, ball, thing) and _is_seen(layout, ball, _towards(ball, thing))
            ]
            # The ball must not hide the person's arrow either.
            if targets and _has_room(layout.things, person) and _is_seen(layout, person, person.front):
                rolling = _towards(ball, random.choice(targets))
                decor = [*_arrow(ball, rolling), *_arrow(person, person.front)]
                layout.things = [person, ball, *others]
                return layout.scene(decor, {0: person.front, 1: rolling})
            layout.remove(ball)


def _towards(first: Thing, second: Thing) -> tuple[float, float]:
    """The direction from one object to another, as a unit vector of the floor."""
    away = first.distance_m(second)
    return (second.x - first.x) / away, (second.y - first.y) / away


def _is_seen(layout: Layout, thing: Thing, direction: tuple[float, float]) -> bool:
    """Whether both ends of an object's arrow are in the image and not behind another object."""
    camera = layout.camera
    start = max(thing.half_extents) + 0.1
    for away in (start, start + ARROW_M):
        x, y = thing.x + direction[0] * away, thing.y + direction[1] * away
        column, row, _ = camera.project(np.array([x, y, 0.0])).tolist()
        if not (0 < column < camera.width and 0 < row < camera.height):
            return False
        for other in layout.things:
            left, top, right, bottom = image_box(camera, other)
            if other.y < y and left < column < right and top < row < bottom:
                return False
    return True


def _arrow(thing: Thing, direction: tuple[float, float]) -> list[Solid]:
    """An arrow painted on the floor that starts at an object."""
    start = max(thing.half_extents) + 0.05
    turn = math.atan2(-direction[0], direction[1])
    shaft, head = 0.55 * ARROW_M, 0.45 * ARROW_M

    def on_floor(away: float, height: float) -> tuple[float, float, float]:
        return thing.x + direction[0] * away, thing.y + direction[1] * away, height

    return [
        Solid(
            Shape.BOX,
            on_floor(start + shaft / 2, 0.006),
            (0.13, shaft, 0.012),
            Finish.MATT,
            ARROW_COLOUR,
            turn,
        ),
        Solid(
            Shape.CONE,
            on_floor(start + shaft + head / 2, 0.006),
            (0.42, head, 0.012),
            Finish.MATT,
            ARROW_COLOUR,
            turn,
            axis=1,
        ),
    ]


def passing_m(ball: Thing, direction: tuple[float, float], other: Thing) -> float:
    """How far from an object's edge the edge of a ball passes that rolls in a direction; negative for a hit.

    The other object counts as the circle around its footprint's longer side, and only ahead of the ball.
    """
    along = (other.x - ball.x) * direction[0] + (other.y - ball.y) * direction[1]
    across = abs((other.x - ball.x) * direction[1] - (other.y - ball.y) * direction[0])
    if along < 0:
        across = ball.distance_m(other)
    return across - max(other.size[:2]) / 2 - ball.size[0] / 2


def is_hit(things: list[Thing], ball: Thing, target: Thing) -> bool:
    """Whether a ball that rolls to the middle of an object meets it, and nothing else comes close before."""
    away = ball.distance_m(target)
    if away - max(target.size[:2]) / 2 - ball.size[0] / 2 < ROOM_FOR_ARROW_M:
        return False
    direction = _towards(ball, target)
    return all(
        passing_m(ball, direction, other) >= CLEARANCE_M
        for other in things
        if other is not ball and other is not target and ball.distance_m(other) < away + max(other.size[:2])
    )


def _has_room(things: list[Thing], person: Thing) -> bool:
    """Whether the arrow before a person's feet is free of other objects."""
    tip = max(person.half_extents) + ARROW_M
    for share in (0.5, 1.0):
        x, y = person.x + person.front[0] * tip * share, person.y + person.front[1] * tip * share
        for other in things:
            half_x, half_y = other.half_extents
            if other is not person and abs(x - other.x) < half_x + 0.2 and abs(y - other.y) < half_y + 0.2:
                return False
    return True
