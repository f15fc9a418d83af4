"""What stands above the floor: an open rack, and lamps and plants that hang.

As in `furniture.py`, a maker builds around the origin, from the floor z = 0 upwards; what hangs is built as
if it stood there, without its cord.
"""

from __future__ import annotations

from random import Random

from datamodules.rendered.rooms.palette import BLACK, STEEL, Colour, darker, shade
from datamodules.rendered.rooms.solids import Finish, Shape, Solid

BOARD_M = 0.045
"""Thickness of a rack's boards."""


def rack(random: Random, colour: Colour) -> list[Solid]:
    """An open rack of three boards on four posts; one looks through it, and things stand on its boards."""
    length, deep = random.uniform(1.2, 1.7), random.uniform(0.5, 0.6)
    step = random.uniform(0.58, 0.68)
    top = 0.18 + 2 * step
    post = random.choice((STEEL, BLACK, darker(colour, 0.7)))
    parts = [
        Solid(Shape.BOX, (0, 0, 0.18 + level * step), (length, deep, BOARD_M), Finish.WOOD, colour)
        for level in range(3)
    ]
    for x in (-1, 1):
        for y in (-1, 1):
            center = (x * (length / 2 - 0.02), y * (deep / 2 - 0.02), top / 2)
            parts.append(Solid(Shape.BOX, center, (0.04, 0.04, top), Finish.MATT, post))
    return parts


def hanging_lamp(random: Random, colour: Colour) -> list[Solid]:
    """The shade or globe of a lamp that hangs."""
    if random.random() < 0.4:
        wide = random.uniform(0.3, 0.42)
        return [
            Solid(Shape.SPHERE, (0, 0, wide / 2), (wide, wide, wide), Finish.GLOWING, colour),
            Solid(Shape.CYLINDER, (0, 0, wide), (0.09, 0.09, 0.06), Finish.MATT, BLACK),
        ]
    wide, tall = random.uniform(0.42, 0.6), random.uniform(0.26, 0.36)
    return [
        Solid(Shape.TAPERED, (0, 0, tall / 2), (wide, wide, tall), Finish.GLOWING, colour),
        Solid(Shape.CYLINDER, (0, 0, tall), (0.09, 0.09, 0.06), Finish.MATT, BLACK),
    ]


def hanging_plant(random: Random, colour: Colour) -> list[Solid]:
    """A pot that hangs, with leaves above it and over its edge."""
    wide, pot = random.uniform(0.32, 0.4), random.uniform(0.2, 0.26)
    leaf = shade(random, (0.18, 0.44, 0.15), 0.2)
    parts = [Solid(Shape.FLARED, (0, 0, pot / 2), (wide, wide, pot), Finish.MATT, colour)]
    for _ in range(7):
        x, y = random.uniform(-0.17, 0.17), random.uniform(-0.17, 0.17)
        size = (random.uniform(0.16, 0.26), random.uniform(0.16, 0.26), random.uniform(0.14, 0.26))
        z = pot + random.uniform(-0.02, 0.14)
        parts.append(Solid(Shape.BLOB, (x, y, z), size, Finish.LEAVES, leaf, random.uniform(0, 3)))
    return parts
