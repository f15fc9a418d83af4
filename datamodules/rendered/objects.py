"""What stands in the warehouse: pallets with their load, shelves, transporters and clutter, built from boxes.

Every object is built around its footprint centre at the origin, standing on the floor z = 0. Lengths are in
metres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from datamodules.rendered.meshes import Box, Material

PALLET_SIZE_M = (1.2, 1.0)
"""Length and width of a standard pallet; every pallet differs from its scene's by at most three percent."""

SHELF_LENGTHS_M = (2.2, 2.8)
"""Length of the shortest and of the longest shelf."""

DECK_M = 0.15
"""Height of a pallet without its load."""

Colour = tuple[float, float, float]

WOODS: tuple[Colour, ...] = ((0.62, 0.49, 0.34), (0.50, 0.38, 0.26), (0.70, 0.58, 0.42))
DARK_PALLETS: tuple[Colour, ...] = ((0.17, 0.16, 0.16), (0.22, 0.20, 0.19), (0.33, 0.27, 0.21))
PALLETS: tuple[Colour, ...] = (*DARK_PALLETS, *DARK_PALLETS, *WOODS, (0.16, 0.27, 0.52))
CARTONS: tuple[Colour, ...] = ((0.71, 0.56, 0.40), (0.66, 0.50, 0.34), (0.76, 0.62, 0.46), (0.60, 0.46, 0.32))
FLOOR: Colour = (0.43, 0.43, 0.42)
SKIN: tuple[Colour, ...] = ((0.87, 0.68, 0.55), (0.62, 0.44, 0.32), (0.36, 0.25, 0.19))
TROUSERS: tuple[Colour, ...] = ((0.13, 0.16, 0.25), (0.22, 0.22, 0.22), (0.30, 0.26, 0.20))
VESTS: tuple[Colour, ...] = ((0.90, 0.85, 0.10), (0.92, 0.42, 0.06), (0.20, 0.30, 0.55), (0.40, 0.40, 0.42))
WHITE: Colour = (0.84, 0.84, 0.82)
RACK_BLUE: Colour = (0.10, 0.25, 0.52)
RACK_ORANGE: Colour = (0.78, 0.27, 0.10)
STEEL: Colour = (0.52, 0.53, 0.55)
BLACK: Colour = (0.07, 0.07, 0.08)
BODIES: tuple[Colour, ...] = (
    (0.86, 0.62, 0.08),
    (0.80, 0.33, 0.07),
    (0.16, 0.46, 0.22),
    (0.70, 0.12, 0.11),
    (0.55, 0.57, 0.6),
)
TOTES: tuple[Colour, ...] = ((0.85, 0.72, 0.08), (0.12, 0.30, 0.62), (0.84, 0.84, 0.82))


def _shade(random: Random, colour: Colour, amount: float = 0.07) -> Colour:
    """The colour, a little lighter or darker."""
    factor = 1 + random.uniform(-amount, amount)
    return (min(colour[0] * factor, 1), min(colour[1] * factor, 1), min(colour[2] * factor, 1))


def _block(
    random: Random,
    x: float,
    y: float,
    z: float,
    size: tuple[float, float, float],
    colour: Colour,
    material: Material,
) -> Box:
    """A box that stands at height z, in a slightly varied colour."""
    return Box((x, y, z + size[2] / 2), size, material, _shade(random, colour))


def pallet(
    random: Random, size_m: tuple[float, float] = PALLET_SIZE_M
) -> tuple[list[Box], tuple[float, float]]:
    """A pallet of about a size with its load; also its length and width."""
    length = size_m[0] * random.uniform(0.97, 1.03)
    width = size_m[1] * random.uniform(0.97, 1.03)
    colour = random.choice(PALLETS)
    parts = [
        _block(random, 0, side * (width / 2 - 0.06), 0, (length, 0.12, 0.11), colour, Material.WOOD)
        for side in (-1, 0, 1)
        if side or random.random() < 0.9
    ]
    parts.append(_block(random, 0, 0, 0.11, (length, width, DECK_M - 0.11), colour, Material.WOOD))
    load = random.choices((_stacked_cube, _loose_pile, _few_large, _wooden_crate), (5, 4, 3, 1))[0]
    parts.extend(load(random, length - 0.06, width - 0.06))
    return parts, (length, width)


def _stacked_cube(random: Random, length: float, width: float) -> Iterator[Box]:
    """Equal cartons in closed layers."""
    colour = random.choice((*CARTONS, WHITE))
    columns, rows, layers = random.choice(((2, 2, 2), (2, 2, 3), (3, 2, 3), (3, 2, 2), (2, 1, 2)))
    tall = random.uniform(0.55, 1.35) / layers
    missing = random.randrange(columns * rows) if random.random() < 0.35 else -1
    for layer in range(layers):
        for cell in range(columns * rows):
            if layer == layers - 1 and cell == missing:
                continue
            x = ((cell % columns + 0.5) / columns - 0.5) * length
            y = ((cell // columns + 0.5) / rows - 0.5) * width
            size = (length / columns - 0.006, width / rows - 0.006, tall - 0.004)
            yield _block(random, x, y, DECK_M + layer * tall, size, colour, Material.CARTON)


def _loose_pile(random: Random, length: float, width: float) -> Iterator[Box]:
    """Small cartons piled to uneven heights."""
    colour = random.choice(CARTONS)
    columns, rows = random.choice(((3, 2), (4, 2), (4, 3)))
    tall = random.uniform(0.17, 0.26)
    for cell in range(columns * rows):
        x = ((cell % columns + 0.5) / columns - 0.5) * length
        y = ((cell // columns + 0.5) / rows - 0.5) * width
        for layer in range(random.choice((0, 1, 1, 2, 2, 3, 4))):
            size = (
                length / columns * random.uniform(0.8, 0.97),
                width / rows * random.uniform(0.8, 0.97),
                tall - 0.005,
            )
            yield _block(random, x, y, DECK_M + layer * tall, size, colour, Material.CARTON)._replace(
                turn=random.uniform(-0.07, 0.07)
            )


def _few_large(random: Random, length: float, width: float) -> Iterator[Box]:
    """One or two towers of large cartons that leave a part of the deck bare."""
    colour = random.choice(CARTONS)
    towers = random.choice((1, 2, 2))
    for tower in range(towers):
        x = (tower - 0.5) * length / 2 if towers == 2 else random.uniform(-0.12, 0.12)
        tall = random.uniform(0.32, 0.6)
        size = (length * random.uniform(0.42, 0.48), width * random.uniform(0.6, 0.95), tall - 0.005)
        for layer in range(random.choice((1, 2, 2))):
            yield _block(random, x, 0, DECK_M + layer * tall, size, colour, Material.CARTON)


def _wooden_crate(random: Random, length: float, width: float) -> Iterator[Box]:
    """One wooden crate as large as the pallet."""
    tall = random.uniform(0.6, 1.0)
    yield _block(random, 0, 0, DECK_M, (length, width, tall), (0.74, 0.58, 0.37), Material.WOOD)


def shelf(
    random: Random, lengths_m: tuple[float, float] = SHELF_LENGTHS_M
) -> tuple[list[Box], tuple[float, float]]:
    """A rack of a length between two, with blue posts, orange beams and a load; also its length and depth."""
    length, depth = random.uniform(*lengths_m), random.uniform(0.9, 1.1)
    levels = random.choice((2, 2, 3))
    step = random.uniform(0.95, 1.15)
    post, beam = _shade(random, RACK_BLUE), _shade(random, RACK_ORANGE)
    top = step * (levels - 1) + random.uniform(0.7, 0.9)
    parts = [
        Box((x * (length / 2 - 0.05), y * (depth / 2 - 0.05), top / 2), (0.1, 0.1, top), Material.PAINT, post)
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    crates = random.random() < 0.5
    for level in range(levels):
        z = 0.12 + level * step
        parts.append(Box((0, 0, z + 0.02), (length - 0.1, depth - 0.1, 0.04), Material.WOOD, WOODS[1]))
        for y in (-1, 1):
            parts.append(
                Box((0, y * (depth / 2 - 0.03), z), (length - 0.1, 0.06, 0.13), Material.PAINT, beam)
            )
        cells = 3 if crates else random.choice((3, 4))
        cells = round(cells * length / 2.5)
        for cell in range(cells):
            if random.random() < 0.12:
                continue
            x = ((cell + 0.5) / cells - 0.5) * (length - 0.3)
            tall = (step - 0.25) * (random.uniform(0.85, 0.95) if crates else random.uniform(0.4, 0.9))
            size = ((length - 0.3) / cells - 0.04, depth * random.uniform(0.75, 0.9), tall)
            material, colour = (
                (Material.WOOD, (0.74, 0.58, 0.37)) if crates else (Material.CARTON, CARTONS[cell % 4])
            )
            parts.append(_block(random, x, 0, z + 0.045, size, colour, material))
    return parts, (length, depth)


def transporter(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """A forklift or a flat driverless carrier; also its length and width."""
    return _forklift(random) if random.random() < 0.65 else _carrier(random)


def _forklift(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """A forklift with its forks towards +x."""
    body = _shade(random, random.choice(BODIES))
    paint = Material.PAINT
    parts = [
        Box((-0.45, 0, 0.50), (1.3, 0.95, 0.62), paint, body),
        Box((-0.95, 0, 0.95), (0.4, 0.9, 0.3), paint, body),
        Box((-0.35, 0, 0.9), (0.5, 0.55, 0.2), paint, BLACK),
        Box((-0.4, 0, 2.02), (1.0, 0.9, 0.06), paint, BLACK),
        Box((0.28, 0.3, 1.05), (0.1, 0.08, 2.0), paint, BLACK),
        Box((0.28, -0.3, 1.05), (0.1, 0.08, 2.0), paint, BLACK),
        Box((0.36, 0, 0.35), (0.06, 0.8, 0.4), paint, BLACK),
        Box((0.80, 0.25, 0.07), (0.9, 0.12, 0.05), paint, STEEL),
        Box((0.80, -0.25, 0.07), (0.9, 0.12, 0.05), paint, STEEL),
    ]
    parts.extend(
        Box((x, y, 1.55), (0.06, 0.06, 0.95), paint, BLACK) for x in (-0.85, 0.08) for y in (-0.42, 0.42)
    )
    parts.extend(
        Box((x, y, 0.2), (0.4, 0.14, 0.4), paint, BLACK) for x in (-0.85, 0.05) for y in (-0.45, 0.45)
    )
    return [part._replace(center=(part.center[0] - 0.1, *part.center[1:])) for part in parts], (2.4, 1.05)


def _carrier(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """A flat driverless carrier with a tower of electronics."""
    body = _shade(random, random.choice(BODIES))
    return [
        Box((0, 0, 0.2), (1.5, 0.95, 0.26), Material.PAINT, body),
        Box((0, 0, 0.35), (1.4, 0.85, 0.05), Material.PAINT, BLACK),
        Box((-0.62, 0, 0.65), (0.22, 0.8, 0.6), Material.PAINT, body),
        Box((-0.62, 0, 1.0), (0.1, 0.1, 0.12), Material.PAINT, (0.95, 0.5, 0.1)),
        Box((0, 0, 0.06), (1.3, 0.97, 0.12), Material.PAINT, BLACK),
    ], (1.5, 0.97)


def table(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """A steel work table with totes and cartons; also its length and depth."""
    length, depth = random.uniform(1.6, 2.4), 0.75
    parts = [Box((0, 0, 0.86), (length, depth, 0.05), Material.PAINT, STEEL)]
    parts.extend(
        Box(
            (x * (length / 2 - 0.05), y * (depth / 2 - 0.05), 0.42), (0.05, 0.05, 0.84), Material.PAINT, STEEL
        )
        for x in (-1, 1)
        for y in (-1, 1)
    )
    for cell in range(int(length / 0.5)):
        x = ((cell + 0.5) / int(length / 0.5) - 0.5) * length
        size = (random.uniform(0.25, 0.42), random.uniform(0.3, 0.5), random.uniform(0.12, 0.35))
        for z in (0.885, 0.02):
            if random.random() < 0.55:
                is_tote = random.random() < 0.5
                colour = random.choice(TOTES if is_tote else CARTONS)
                parts.append(
                    _block(random, x, 0, z, size, colour, Material.PAINT if is_tote else Material.CARTON)
                )
    return parts, (length, depth)


def crates(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """Loose totes and cartons on the floor; also the length and depth they cover."""
    parts = []
    for x in (-0.3, 0.3):
        for layer in range(random.choice((1, 1, 2))):
            is_tote = random.random() < 0.5
            colour = random.choice(TOTES if is_tote else CARTONS)
            size = (0.5, random.uniform(0.35, 0.6), 0.3)
            material = Material.PAINT if is_tote else Material.CARTON
            parts.append(_block(random, x, 0, layer * 0.3, size, colour, material))
    return parts, (1.1, 0.6)


def pillar(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """A white pillar with a black and yellow foot; also its length and depth."""
    side = random.uniform(0.3, 0.45)
    return [
        Box((0, 0, 0.6), (side + 0.04, side + 0.04, 1.2), Material.HAZARD, (0.85, 0.70, 0.06)),
        Box((0, 0, 5.0), (side, side, 8.0), Material.PAINT, WHITE),
    ], (side + 0.04, side + 0.04)


def person(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """Somebody who stands upright, with a vest and a helmet; also the length and depth that they take."""
    tall = random.uniform(0.9, 1.08)
    trousers, vest = _shade(random, random.choice(TROUSERS)), _shade(random, random.choice(VESTS))
    skin, helmet = random.choice(SKIN), random.choice((WHITE, RACK_ORANGE, VESTS[0]))
    parts = [
        Box((0.02 * side, 0.1 * side, 0.43), (0.17, 0.15, 0.86), Material.PAINT, trousers) for side in (-1, 1)
    ]
    parts.append(Box((0, 0, 1.14), (0.24, 0.40, 0.58), Material.PAINT, vest))
    parts.extend(Box((0.03, 0.26 * side, 1.08), (0.12, 0.1, 0.62), Material.PAINT, vest) for side in (-1, 1))
    parts.append(Box((0.02, 0, 1.55), (0.19, 0.16, 0.24), Material.PAINT, skin))
    parts.append(Box((0.01, 0, 1.69), (0.26, 0.23, 0.11), Material.PAINT, helmet))
    scaled = [
        part._replace(
            center=(part.center[0], part.center[1], part.center[2] * tall),
            size=(part.size[0], part.size[1], part.size[2] * tall),
        )
        for part in parts
    ]
    return scaled, (0.3, 0.62)


def robot(random: Random) -> tuple[list[Box], tuple[float, float]]:
    """A small driverless robot with a tote on it or none; also its length and width."""
    body = _shade(random, random.choice(BODIES))
    parts = [
        Box((0, 0, 0.08), (0.66, 0.56, 0.12), Material.PAINT, BLACK),
        Box((0, 0, 0.23), (0.72, 0.52, 0.2), Material.PAINT, body),
        Box((0.3, 0, 0.36), (0.06, 0.3, 0.06), Material.PAINT, STEEL),
    ]
    if random.random() < 0.5:
        parts.append(_block(random, -0.05, 0, 0.33, (0.55, 0.4, 0.3), random.choice(TOTES), Material.PAINT))
    return parts, (0.72, 0.56)


def building(
    least_x: float, least_y: float, most_x: float, most_y: float, height: float, floor: Colour = FLOOR
) -> list[Box]:
    """Floor, ceiling and four walls around a rectangle in world metres."""
    center_x, center_y = (least_x + most_x) / 2, (least_y + most_y) / 2
    length, depth = most_x - least_x, most_y - least_y
    wall = (0.86, 0.86, 0.85)
    thick = 0.2
    parts = [
        Box((center_x, center_y, -0.1), (length + 1, depth + 1, 0.2), Material.CONCRETE, floor),
        Box((center_x, center_y, height + 0.1), (length + 1, depth + 1, 0.2), Material.PAINT, wall),
    ]
    for x, turn, across in ((least_x - 0.1, 0, depth), (most_x + 0.1, math.pi, depth)):
        parts.append(
            Box((x, center_y, height / 2), (thick, across + 1, height + 0.2), Material.WALL, wall, turn)
        )
    for y, turn, across in ((least_y - 0.1, math.pi / 2, length), (most_y + 0.1, -math.pi / 2, length)):
        parts.append(
            Box((center_x, y, height / 2), (thick, across + 1, height + 0.2), Material.WALL, wall, turn)
        )
    return parts
