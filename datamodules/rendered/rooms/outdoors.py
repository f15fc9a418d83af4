"""What stands in yards, built from solids; and the person, who stands everywhere.

The frame is that of `furniture`: on the floor z = 0 about the origin, front towards -y, lengths in metres.
"""

from __future__ import annotations

import math
from random import Random

from datamodules.rendered.rooms.palette import BLACK, GLASS, STEEL, WHITE, WOODS, Colour, darker, shade
from datamodules.rendered.rooms.solids import Finish, Shape, Solid


def car(random: Random, colour: Colour) -> list[Solid]:
    """A small car."""
    length, width = random.uniform(2.5, 2.9), random.uniform(1.3, 1.42)
    body, roof = 0.52, random.uniform(1.12, 1.24)
    tall = roof - 0.72
    parts = [
        Solid(Shape.BOX, (0, 0, 0.22 + body / 2), (width, length, body), Finish.GLOSSY, colour),
        Solid(Shape.BOX, (0, 0, 0.24), (width - 0.06, length + 0.08, 0.16), Finish.MATT, BLACK),
        # The windows: a dark body under a coloured roof. Its short upper side runs along the car.
        Solid(
            Shape.CABIN,
            (0, 0.18, 0.72 + tall / 2),
            (length * 0.62, width - 0.04, tall),
            Finish.GLOSSY,
            GLASS,
            math.pi / 2,
        ),
        Solid(Shape.BOX, (0, 0.18, roof), (width * 0.84, length * 0.4, 0.07), Finish.GLOSSY, colour),
    ]
    for side in (-1, 1):
        for end in (-1, 1):
            center = (side * (width / 2 - 0.06), end * length * 0.31, 0.25)
            parts.append(Solid(Shape.CYLINDER, center, (0.2, 0.5, 0.5), Finish.MATT, BLACK, axis=0))
            hub = (side * (width / 2 + 0.03), end * length * 0.31, 0.25)
            parts.append(Solid(Shape.CYLINDER, hub, (0.04, 0.26, 0.26), Finish.GLOSSY, STEEL, axis=0))
        lights = ((-1, (0.98, 0.95, 0.8)), (1, (0.7, 0.05, 0.04)))
        for end, light in lights:
            center = (side * (width / 2 - 0.2), end * length / 2, 0.52)
            parts.append(Solid(Shape.BOX, center, (0.26, 0.04, 0.13), Finish.GLOWING, light))
    return parts


def tree(random: Random, colour: Colour) -> list[Solid]:
    """A leafy tree or a fir."""
    trunk = shade(random, WOODS[3], 0.15)
    if random.random() < 0.35:
        wide = random.uniform(1.1, 1.4)
        parts = [Solid(Shape.CYLINDER, (0, 0, 0.25), (0.2, 0.2, 0.5), Finish.WOOD, trunk)]
        for layer in range(3):
            side = wide * (1 - 0.24 * layer)
            center = (0.0, 0.0, 0.8 + 0.52 * layer)
            parts.append(Solid(Shape.CONE, center, (side, side, 0.95), Finish.LEAVES, darker(colour, 0.8)))
        return parts
    height = random.uniform(0.9, 1.2)
    parts = [Solid(Shape.CYLINDER, (0, 0, height / 2), (0.22, 0.22, height), Finish.WOOD, trunk)]
    for number in range(6):
        angle = number * 2.4 + random.uniform(-0.3, 0.3)
        away = 0.34 if number else 0.0
        wide = random.uniform(0.65, 0.85)
        center = (away * math.cos(angle), away * math.sin(angle), height + 0.25 + random.uniform(0, 0.5))
        parts.append(Solid(Shape.SPHERE, center, (wide, wide, wide * 0.95), Finish.LEAVES, colour))
    return parts


def bench(random: Random, colour: Colour) -> list[Solid]:
    """A garden bench with a slatted seat and back."""
    length = random.uniform(1.4, 1.75)
    frame = random.choice((BLACK, STEEL, WOODS[3]))
    parts = []
    for slat in range(4):
        parts.append(
            Solid(Shape.BOX, (0, -0.2 + slat * 0.12, 0.45), (length, 0.1, 0.05), Finish.WOOD, colour)
        )
    for slat in range(3):
        parts.append(
            Solid(Shape.BOX, (0, 0.25, 0.6 + slat * 0.14), (length, 0.05, 0.11), Finish.WOOD, colour)
        )
    for x in (-length / 2 + 0.15, length / 2 - 0.15):
        parts.append(Solid(Shape.BOX, (x, -0.2, 0.22), (0.09, 0.09, 0.44), Finish.MATT, frame))
        parts.append(Solid(Shape.BOX, (x, 0.21, 0.47), (0.09, 0.09, 0.94), Finish.MATT, frame))
    return parts


def traffic_cone(random: Random, colour: Colour) -> list[Solid]:
    """A traffic cone with white bands."""
    height, wide = random.uniform(0.75, 0.95), random.uniform(0.36, 0.44)
    parts = [
        Solid(Shape.BOX, (0, 0, 0.03), (wide + 0.16, wide + 0.16, 0.06), Finish.MATT, darker(colour, 0.8))
    ]
    parts.append(Solid(Shape.CONE, (0, 0, 0.06 + height / 2), (wide, wide, height), Finish.BANDED, colour))
    return parts


def barrel(random: Random, colour: Colour) -> list[Solid]:
    """A steel barrel with two ribs."""
    wide, height = random.uniform(0.56, 0.66), random.uniform(0.85, 1.0)
    parts = [
        Solid(Shape.CYLINDER, (0, 0, height / 2), (wide, wide, height), Finish.GLOSSY, colour),
        Solid(
            Shape.CYLINDER, (0, 0, height), (wide * 0.9, wide * 0.9, 0.02), Finish.MATT, darker(colour, 0.6)
        ),
    ]
    for z in (0.03, height / 3, 2 * height / 3, height - 0.02):
        ring = (wide + 0.04, wide + 0.04, 0.045)
        parts.append(Solid(Shape.CYLINDER, (0, 0, z), ring, Finish.GLOSSY, darker(colour, 0.75)))
    return parts


def crate(random: Random, colour: Colour) -> list[Solid]:
    """A wooden crate with a frame around its planks."""
    side, height = random.uniform(0.65, 0.85), random.uniform(0.6, 0.8)
    frame = darker(colour, 0.7)
    parts = [
        Solid(Shape.BOX, (0, 0, height / 2), (side - 0.05, side - 0.05, height - 0.02), Finish.WOOD, colour)
    ]
    for z in (0.05, height - 0.05):
        for x, y, length, width in (
            (0, -1, side, 0.05),
            (0, 1, side, 0.05),
            (-1, 0, 0.05, side),
            (1, 0, 0.05, side),
        ):
            center = (x * (side / 2 - 0.015), y * (side / 2 - 0.015), z)
            parts.append(Solid(Shape.BOX, center, (length, width, 0.1), Finish.WOOD, frame))
    for x in (-1, 1):
        for y in (-1, 1):
            center = (x * (side / 2 - 0.04), y * (side / 2 - 0.04), height / 2)
            parts.append(Solid(Shape.BOX, center, (0.1, 0.1, height), Finish.WOOD, frame))
    return parts


def trash_bin(random: Random, colour: Colour) -> list[Solid]:
    """A wheeled bin with a lid."""
    wide, height = random.uniform(0.56, 0.66), random.uniform(0.95, 1.1)
    parts = [
        Solid(Shape.FLARED, (0, 0, height / 2), (wide, wide, height), Finish.MATT, colour),
        Solid(
            Shape.CYLINDER, (0, 0, height), (wide + 0.06, wide + 0.06, 0.07), Finish.MATT, darker(colour, 0.7)
        ),
        Solid(Shape.SPHERE, (0, 0, height + 0.03), (wide, wide, 0.2), Finish.MATT, darker(colour, 0.7)),
        Solid(Shape.BOX, (0, wide / 2 + 0.03, height - 0.1), (0.36, 0.06, 0.06), Finish.MATT, BLACK),
    ]
    for x in (-1, 1):
        center = (x * wide * 0.33, wide * 0.36, 0.09)
        parts.append(Solid(Shape.CYLINDER, center, (0.07, 0.18, 0.18), Finish.MATT, BLACK, axis=0))
    return parts


def fire_hydrant(random: Random, colour: Colour) -> list[Solid]:
    """A fire hydrant with a dome and three outlets."""
    height = random.uniform(0.75, 0.9)
    dark = darker(colour, 0.75)
    return [
        Solid(Shape.CYLINDER, (0, 0, 0.05), (0.46, 0.46, 0.1), Finish.GLOSSY, dark),
        Solid(Shape.CYLINDER, (0, 0, height * 0.42), (0.32, 0.32, height * 0.84), Finish.GLOSSY, colour),
        Solid(Shape.CYLINDER, (0, 0, height * 0.8), (0.42, 0.42, 0.07), Finish.GLOSSY, dark),
        Solid(Shape.SPHERE, (0, 0, height * 0.83), (0.34, 0.34, height * 0.3), Finish.GLOSSY, colour),
        Solid(Shape.CYLINDER, (0, 0, height), (0.1, 0.1, 0.08), Finish.GLOSSY, dark),
        Solid(Shape.CYLINDER, (0, 0, height * 0.55), (0.58, 0.17, 0.17), Finish.GLOSSY, dark, axis=0),
        Solid(Shape.CYLINDER, (0, -0.12, height * 0.5), (0.2, 0.24, 0.2), Finish.GLOSSY, dark, axis=1),
    ]


def mailbox(random: Random, colour: Colour) -> list[Solid]:
    """A mailbox with a round top on a post."""
    height = random.uniform(0.8, 0.95)
    return [
        Solid(Shape.BOX, (0, 0, height / 2), (0.13, 0.13, height), Finish.WOOD, random.choice(WOODS)),
        Solid(Shape.BOX, (0, 0, height + 0.14), (0.4, 0.6, 0.3), Finish.GLOSSY, colour),
        Solid(Shape.CYLINDER, (0, 0, height + 0.29), (0.4, 0.6, 0.4), Finish.GLOSSY, colour, axis=1),
        Solid(Shape.BOX, (0, -0.3, height + 0.2), (0.26, 0.02, 0.05), Finish.MATT, BLACK),
        Solid(Shape.BOX, (0.22, 0.1, height + 0.42), (0.03, 0.16, 0.12), Finish.MATT, WHITE),
        Solid(Shape.BOX, (0.22, 0.16, height + 0.3), (0.03, 0.03, 0.3), Finish.MATT, WHITE),
    ]


def parasol(random: Random, colour: Colour) -> list[Solid]:
    """An open parasol on a foot."""
    height, wide = random.uniform(1.7, 2.0), random.uniform(1.3, 1.6)
    return [
        Solid(Shape.CYLINDER, (0, 0, 0.05), (0.5, 0.5, 0.1), Finish.MATT, STEEL),
        Solid(Shape.CYLINDER, (0, 0, height / 2), (0.06, 0.06, height), Finish.MATT, WHITE),
        Solid(Shape.CONE, (0, 0, height - 0.05), (wide, wide, 0.45), Finish.SEGMENTS, colour),
        Solid(Shape.CYLINDER, (0, 0, height - 0.28), (wide, wide, 0.02), Finish.SEGMENTS, colour),
    ]


def person(random: Random, colour: Colour) -> list[Solid]:
    """A standing person; nose and feet point to the front."""
    skin = random.choice(((0.86, 0.66, 0.52), (0.62, 0.43, 0.30), (0.42, 0.28, 0.20)))
    trousers = random.choice(((0.16, 0.20, 0.34), (0.14, 0.14, 0.15), (0.40, 0.34, 0.26)))
    hair = random.choice((BLACK, (0.30, 0.18, 0.09), (0.72, 0.56, 0.28)))
    tall = random.uniform(0.94, 1.04)
    parts = [
        Solid(Shape.FLARED, (0, 0, 1.13), (0.46, 0.28, 0.62), Finish.FABRIC, colour),
        Solid(Shape.CYLINDER, (0, 0, 0.86), (0.40, 0.26, 0.12), Finish.FABRIC, trousers),
        Solid(Shape.CYLINDER, (0, 0, 1.46), (0.11, 0.11, 0.12), Finish.MATT, skin),
        Solid(Shape.SPHERE, (0, 0, 1.62), (0.23, 0.25, 0.29), Finish.MATT, skin),
        Solid(Shape.SPHERE, (0, 0.03, 1.66), (0.25, 0.25, 0.27), Finish.MATT, hair),
        Solid(Shape.BLOB, (0, -0.13, 1.61), (0.05, 0.08, 0.06), Finish.MATT, darker(skin, 0.85)),
    ]
    for side in (-1, 1):
        parts.append(
            Solid(Shape.CYLINDER, (side * 0.11, 0, 0.44), (0.16, 0.17, 0.84), Finish.FABRIC, trousers)
        )
        parts.append(Solid(Shape.BOX, (side * 0.11, -0.06, 0.05), (0.12, 0.30, 0.1), Finish.MATT, BLACK))
        parts.append(Solid(Shape.CYLINDER, (side * 0.25, 0, 1.14), (0.11, 0.12, 0.56), Finish.FABRIC, colour))
        parts.append(Solid(Shape.BLOB, (side * 0.25, -0.01, 0.82), (0.1, 0.11, 0.14), Finish.MATT, skin))
        parts.append(Solid(Shape.BLOB, (side * 0.05, -0.105, 1.65), (0.04, 0.04, 0.04), Finish.MATT, BLACK))
    return [
        part._replace(
            center=(part.center[0], part.center[1], part.center[2] * tall),
            size=(part.size[0], part.size[1], part.size[2] * tall),
        )
        for part in parts
    ]
