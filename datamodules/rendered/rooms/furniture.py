"""What stands in rooms, built from solids.

Every object is built around the origin, standing on the floor z = 0, with its front towards -y. Lengths are
in metres. A maker takes a random generator and a colour and gives the parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from datamodules.rendered.rooms.palette import (
    BLACK,
    BRIGHT,
    COLOURS,
    GLASS,
    STEEL,
    WHITE,
    WOODS,
    Colour,
    darker,
    shade,
)
from datamodules.rendered.rooms.solids import Finish, Shape, Solid


def _legs(
    length: float, width: float, height: float, thick: float, finish: Finish, colour: Colour
) -> Iterator[Solid]:
    """Four legs under the corners of a rectangle."""
    for x in (-1, 1):
        for y in (-1, 1):
            center = (x * (length - thick) / 2, y * (width - thick) / 2, height / 2)
            yield Solid(Shape.BOX, center, (thick, thick, height), finish, colour)


def table(random: Random, colour: Colour) -> list[Solid]:
    """A rectangular or round table."""
    height = random.uniform(0.70, 0.80)
    if random.random() < 0.35:
        wide = random.uniform(0.95, 1.25)
        return [
            Solid(Shape.CYLINDER, (0, 0, height), (wide, wide, 0.06), Finish.WOOD, colour),
            Solid(Shape.CYLINDER, (0, 0, height / 2), (0.11, 0.11, height), Finish.MATT, darker(colour, 0.7)),
            Solid(Shape.CYLINDER, (0, 0, 0.02), (0.55, 0.55, 0.04), Finish.MATT, darker(colour, 0.7)),
        ]
    length, width = random.uniform(1.2, 1.7), random.uniform(0.75, 0.95)
    return [
        Solid(Shape.BOX, (0, 0, height), (length, width, 0.07), Finish.WOOD, colour),
        *_legs(length - 0.1, width - 0.1, height, 0.08, Finish.WOOD, darker(colour, 0.8)),
    ]


def chair(random: Random, colour: Colour) -> list[Solid]:
    """A chair with a back and four legs."""
    side, seat, top = random.uniform(0.46, 0.54), random.uniform(0.44, 0.5), random.uniform(0.92, 1.05)
    leg = shade(random, random.choice((*WOODS, BLACK, STEEL)))
    rear = side / 2 - 0.03
    return [
        Solid(Shape.BOX, (0, 0, seat), (side, side, 0.08), Finish.FABRIC, colour),
        Solid(
            Shape.BOX,
            (0, rear, (seat + 0.16 + top) / 2),
            (side, 0.06, top - seat - 0.16),
            Finish.FABRIC,
            colour,
        ),
        Solid(Shape.BOX, (-side / 2 + 0.04, rear, seat + 0.1), (0.05, 0.05, 0.24), Finish.MATT, leg),
        Solid(Shape.BOX, (side / 2 - 0.04, rear, seat + 0.1), (0.05, 0.05, 0.24), Finish.MATT, leg),
        *_legs(side, side, seat, 0.055, Finish.MATT, leg),
    ]


def stool(random: Random, colour: Colour) -> list[Solid]:
    """A round stool without a back."""
    height, wide = random.uniform(0.55, 0.72), random.uniform(0.38, 0.46)
    leg = shade(random, random.choice((*WOODS, STEEL)))
    return [
        Solid(Shape.CYLINDER, (0, 0, height), (wide, wide, 0.1), Finish.FABRIC, colour),
        Solid(Shape.CYLINDER, (0, 0, 0.2), (wide * 0.8, wide * 0.8, 0.025), Finish.MATT, leg),
        *_legs(wide * 0.8, wide * 0.8, height, 0.05, Finish.MATT, leg),
    ]


def sofa(random: Random, colour: Colour) -> list[Solid]:
    """A sofa with arms and two or three cushions."""
    length, deep = random.uniform(1.7, 2.2), random.uniform(0.85, 0.95)
    dark = darker(colour, 0.85)
    parts = [
        Solid(Shape.BOX, (0, 0, 0.18), (length, deep, 0.36), Finish.FABRIC, dark),
        Solid(Shape.BOX, (0, deep / 2 - 0.12, 0.52), (length, 0.24, 0.72), Finish.FABRIC, dark),
    ]
    for side in (-1, 1):
        x = side * (length / 2 - 0.1)
        parts.append(Solid(Shape.BOX, (x, -0.02, 0.4), (0.2, deep - 0.04, 0.5), Finish.FABRIC, dark))
        parts.append(
            Solid(Shape.CYLINDER, (x, -0.02, 0.63), (0.22, deep - 0.04, 0.16), Finish.FABRIC, colour, axis=1)
        )
    cushions = random.choice((2, 3))
    wide = (length - 0.42) / cushions
    for number in range(cushions):
        x = (number - (cushions - 1) / 2) * wide
        parts.append(
            Solid(Shape.BOX, (x, -0.1, 0.43), (wide - 0.03, deep - 0.26, 0.16), Finish.FABRIC, colour)
        )
        parts.append(Solid(Shape.BOX, (x, 0.18, 0.68), (wide - 0.03, 0.16, 0.38), Finish.FABRIC, colour))
    return parts


def bed(random: Random, colour: Colour) -> list[Solid]:
    """A bed with its headboard at the rear, a blanket and pillows."""
    width, length = random.uniform(1.2, 1.6), random.uniform(1.95, 2.1)
    wood = shade(random, random.choice(WOODS))
    parts = [
        Solid(Shape.BOX, (0, 0, 0.2), (width, length, 0.22), Finish.WOOD, wood),
        Solid(Shape.BOX, (0, 0, 0.4), (width - 0.04, length - 0.06, 0.2), Finish.FABRIC, WHITE),
        Solid(Shape.BOX, (0, -0.26, 0.44), (width + 0.03, length - 0.55, 0.2), Finish.FABRIC, colour),
        Solid(Shape.BOX, (0, length / 2 - 0.03, 0.5), (width + 0.06, 0.08, 1.0), Finish.WOOD, wood),
        Solid(Shape.BOX, (0, -length / 2 + 0.03, 0.27), (width + 0.02, 0.06, 0.5), Finish.WOOD, wood),
    ]
    for side in (-1, 1):
        parts.append(
            Solid(
                Shape.SPHERE,
                (side * width / 4, length / 2 - 0.3, 0.56),
                (width / 2.3, 0.4, 0.2),
                Finish.FABRIC,
                WHITE,
            )
        )
    return parts


def lamp(random: Random, colour: Colour) -> list[Solid]:
    """A standing lamp with a coloured shade."""
    height, wide = random.uniform(1.35, 1.65), random.uniform(0.46, 0.58)
    pole = random.choice((BLACK, STEEL, WOODS[1]))
    return [
        Solid(Shape.CYLINDER, (0, 0, 0.025), (0.36, 0.36, 0.05), Finish.MATT, pole),
        Solid(Shape.CYLINDER, (0, 0, height / 2), (0.05, 0.05, height - 0.2), Finish.MATT, pole),
        Solid(Shape.TAPERED, (0, 0, height - 0.18), (wide, wide, 0.36), Finish.GLOWING, colour),
    ]


def bookshelf(random: Random, colour: Colour) -> list[Solid]:
    """An open shelf full of books."""
    length, deep, levels = random.uniform(0.85, 1.15), 0.36, random.choice((3, 4))
    step = random.uniform(0.40, 0.46)
    height = levels * step + 0.08
    parts = [
        Solid(
            Shape.BOX,
            (0, deep / 2 - 0.01, height / 2),
            (length, 0.02, height),
            Finish.WOOD,
            darker(colour, 0.6),
        )
    ]
    for x in (-1, 1):
        parts.append(
            Solid(
                Shape.BOX, (x * (length / 2 - 0.02), 0, height / 2), (0.05, deep, height), Finish.WOOD, colour
            )
        )
    for level in range(levels + 1):
        z = 0.05 + level * step
        parts.append(Solid(Shape.BOX, (0, 0, z), (length - 0.04, deep, 0.045), Finish.WOOD, colour))
        if level == levels:
            break
        left, end = -length / 2 + 0.05, length / 2 - 0.05 - random.uniform(0, 0.3)
        while (wide := random.uniform(0.07, 0.15)) < end - left:
            tall = step * random.uniform(0.55, 0.85)
            book = shade(random, COLOURS[random.choice((*BRIGHT, "white", "brown"))], 0.2)
            size = (wide - 0.012, deep * 0.7, tall)
            parts.append(
                Solid(Shape.BOX, (left + wide / 2, -0.02, z + 0.02 + tall / 2), size, Finish.MATT, book)
            )
            left += wide
    return parts


def cabinet(random: Random, colour: Colour) -> list[Solid]:
    """A chest with drawers and knobs."""
    length, deep, height = random.uniform(0.8, 1.1), random.uniform(0.45, 0.55), random.uniform(0.8, 1.05)
    drawers = random.choice((2, 3))
    parts = [
        Solid(
            Shape.BOX,
            (0, 0, height / 2 + 0.03),
            (length, deep, height - 0.06),
            Finish.MATT,
            darker(colour, 0.55),
        ),
        Solid(Shape.BOX, (0, -0.01, height), (length + 0.05, deep + 0.04, 0.05), Finish.WOOD, colour),
    ]
    for x in (-1, 1):
        parts.append(
            Solid(
                Shape.BOX, (x * (length / 2 - 0.01), 0, height / 2), (0.03, deep, height), Finish.WOOD, colour
            )
        )
    tall = (height - 0.1) / drawers
    for drawer in range(drawers):
        z = 0.07 + (drawer + 0.5) * tall
        parts.append(
            Solid(Shape.BOX, (0, -deep / 2, z), (length - 0.08, 0.04, tall - 0.045), Finish.WOOD, colour)
        )
        for share in (-0.22, 0.22):
            parts.append(
                Solid(
                    Shape.BLOB,
                    (share * length, -deep / 2 - 0.03, z),
                    (0.06, 0.06, 0.06),
                    Finish.GLOSSY,
                    STEEL,
                )
            )
    return parts


def carton(random: Random, colour: Colour) -> list[Solid]:
    """A closed cardboard carton."""
    size = (random.uniform(0.5, 0.75), random.uniform(0.45, 0.6), random.uniform(0.4, 0.6))
    return [Solid(Shape.BOX, (0, 0, size[2] / 2), size, Finish.CARTON, colour)]


def ball(random: Random, colour: Colour) -> list[Solid]:
    """A large ball with white segments."""
    wide = random.uniform(0.45, 0.65)
    return [
        Solid(Shape.SPHERE, (0, 0, wide / 2), (wide, wide, wide), Finish.SEGMENTS, colour, random.random())
    ]


def vase(random: Random, colour: Colour) -> list[Solid]:
    """A tall bellied vase."""
    wide, height = random.uniform(0.38, 0.48), random.uniform(0.65, 0.85)
    return [
        Solid(
            Shape.CYLINDER, (0, 0, 0.03), (wide * 0.6, wide * 0.6, 0.06), Finish.GLOSSY, darker(colour, 0.8)
        ),
        Solid(Shape.SPHERE, (0, 0, height * 0.38), (wide, wide, height * 0.72), Finish.GLOSSY, colour),
        Solid(
            Shape.CYLINDER,
            (0, 0, height * 0.76),
            (wide * 0.4, wide * 0.4, height * 0.3),
            Finish.GLOSSY,
            colour,
        ),
        Solid(
            Shape.FLARED,
            (0, 0, height * 0.94),
            (wide * 0.66, wide * 0.66, height * 0.12),
            Finish.GLOSSY,
            colour,
        ),
    ]


def potted_plant(random: Random, colour: Colour) -> list[Solid]:
    """A plant in a coloured pot."""
    wide, pot = random.uniform(0.38, 0.48), random.uniform(0.32, 0.4)
    leaf = shade(random, (0.16, 0.42, 0.14), 0.2)
    parts = [
        Solid(Shape.FLARED, (0, 0, pot / 2), (wide, wide, pot), Finish.MATT, colour),
        Solid(Shape.CYLINDER, (0, 0, pot), (wide + 0.05, wide + 0.05, 0.07), Finish.MATT, colour),
        Solid(Shape.CYLINDER, (0, 0, pot + 0.15), (0.06, 0.06, 0.3), Finish.MATT, WOODS[3]),
    ]
    for _ in range(7):
        x, y = random.uniform(-0.2, 0.2), random.uniform(-0.2, 0.2)
        size = (random.uniform(0.18, 0.34), random.uniform(0.18, 0.34), random.uniform(0.3, 0.5))
        z = pot + random.uniform(0.28, 0.55)
        parts.append(Solid(Shape.BLOB, (x, y, z), size, Finish.LEAVES, leaf, random.uniform(0, 3)))
    return parts


def television(random: Random, colour: Colour) -> list[Solid]:
    """A flat screen on a low board."""
    wide = random.uniform(1.1, 1.35)
    tall = wide * 0.56
    board = 0.42
    return [
        Solid(Shape.BOX, (0, 0, board / 2), (wide + 0.1, 0.42, board), Finish.WOOD, colour),
        Solid(Shape.BOX, (0, -0.21, board / 2), (0.02, 0.02, board - 0.06), Finish.MATT, darker(colour, 0.4)),
        Solid(Shape.BOX, (0, 0.02, board + 0.02), (0.4, 0.22, 0.03), Finish.GLOSSY, BLACK),
        Solid(Shape.BOX, (0, 0.02, board + 0.06), (0.12, 0.06, 0.1), Finish.GLOSSY, BLACK),
        Solid(Shape.BOX, (0, 0.02, board + 0.1 + tall / 2), (wide, 0.06, tall), Finish.MATT, BLACK),
        Solid(
            Shape.BOX,
            (0, -0.013, board + 0.1 + tall / 2),
            (wide - 0.07, 0.01, tall - 0.07),
            Finish.GLOSSY,
            GLASS,
        ),
    ]
