"""What objects stand in: floor and walls of a room, or ground and fence of a yard under the sky."""

from __future__ import annotations

import math
from random import Random

from datamodules.rendered.rooms.palette import WOODS, Colour, shade
from datamodules.rendered.rooms.room_scene import RoomScene
from datamodules.rendered.rooms.solids import Finish, Shape, Solid

CEILING_M = 2.7
FENCE_M = (1.2, 1.9)

WALLS: tuple[Colour, ...] = (
    (0.86, 0.84, 0.79),
    (0.78, 0.82, 0.84),
    (0.84, 0.78, 0.68),
    (0.74, 0.80, 0.72),
    (0.83, 0.74, 0.72),
    (0.88, 0.88, 0.87),
)
FLOORS: tuple[tuple[Finish, Colour], ...] = (
    (Finish.PARQUET, (0.66, 0.49, 0.32)),
    (Finish.PARQUET, (0.50, 0.36, 0.24)),
    (Finish.TILES, (0.74, 0.73, 0.70)),
    (Finish.TILES, (0.60, 0.57, 0.54)),
    (Finish.CARPET, (0.56, 0.52, 0.47)),
    (Finish.CARPET, (0.42, 0.46, 0.52)),
)
GROUNDS_OUTSIDE: tuple[tuple[Finish, Colour], ...] = (
    (Finish.GRASS, (0.36, 0.50, 0.22)),
    (Finish.GRASS, (0.44, 0.52, 0.26)),
    (Finish.ASPHALT, (0.40, 0.40, 0.41)),
    (Finish.PAVING, (0.66, 0.62, 0.57)),
    (Finish.PAVING, (0.57, 0.56, 0.55)),
)


def surroundings(scene: RoomScene) -> list[Solid]:
    """The solids around the objects of a scene, in world metres."""
    random = Random(scene.texture_seed)
    return _room(scene, random) if scene.place == "room" else _yard(scene, random)


def _walls(scene: RoomScene, height: float, finish: Finish, colour: Colour) -> list[Solid]:
    """Four walls."""
    least_x, least_y, most_x, most_y = scene.bounds
    middle_x, middle_y = (least_x + most_x) / 2, (least_y + most_y) / 2
    length, depth, thick = most_x - least_x + 0.4, most_y - least_y + 0.4, 0.2
    return [
        Solid(Shape.BOX, (x, middle_y, height / 2), (thick, depth, height), finish, colour)
        for x in (least_x - thick / 2, most_x + thick / 2)
    ] + [
        Solid(Shape.BOX, (middle_x, y, height / 2), (length, thick, height), finish, colour)
        for y in (least_y - thick / 2, most_y + thick / 2)
    ]


def _room(scene: RoomScene, random: Random) -> list[Solid]:
    """A closed room with a window or images at its far wall."""
    least_x, least_y, most_x, most_y = scene.bounds
    middle = ((least_x + most_x) / 2, (least_y + most_y) / 2)
    span = (most_x - least_x + 0.4, most_y - least_y + 0.4)
    finish, colour = random.choice(FLOORS)
    parts = [
        Solid(Shape.BOX, (*middle, -0.1), (*span, 0.2), finish, shade(random, colour)),
        Solid(Shape.BOX, (*middle, CEILING_M + 0.1), (*span, 0.2), Finish.MATT, (0.88, 0.88, 0.87)),
        *_walls(scene, CEILING_M, Finish.WALLPAPER, shade(random, random.choice(WALLS), 0.04)),
    ]
    for x in (least_x * 0.5, most_x * 0.5):
        pick = random.random()
        if pick < 0.4:
            frame = (0.92, 0.92, 0.90)
            parts.append(Solid(Shape.BOX, (x, most_y, 1.65), (1.25, 0.06, 1.15), Finish.MATT, frame))
            for side in (-1, 1):
                center = (x + side * 0.29, most_y - 0.03, 1.65)
                parts.append(Solid(Shape.BOX, center, (0.52, 0.02, 1.0), Finish.GLOWING, (0.72, 0.84, 0.95)))
        elif pick < 0.7:
            size = (random.uniform(0.5, 0.9), 0.04, random.uniform(0.4, 0.6))
            inner = (size[0] - 0.08, 0.02, size[2] - 0.08)
            art = (random.uniform(0.2, 0.8), random.uniform(0.2, 0.8), random.uniform(0.2, 0.8))
            parts.append(Solid(Shape.BOX, (x, most_y, 1.75), size, Finish.WOOD, random.choice(WOODS)))
            parts.append(Solid(Shape.BOX, (x, most_y - 0.02, 1.75), inner, Finish.MATT, art))
    return parts


def _yard(scene: RoomScene, random: Random) -> list[Solid]:
    """A ground with a fence, and a hedge or houses behind it."""
    finish, colour = random.choice(GROUNDS_OUTSIDE)
    parts = [Solid(Shape.BOX, (0, 20, -0.1), (120, 120, 0.2), finish, shade(random, colour))]
    fence = shade(random, random.choice((*WOODS, (0.80, 0.80, 0.78), (0.55, 0.57, 0.55))), 0.1)
    if random.random() < 0.75:
        parts.extend(_walls(scene, random.uniform(*FENCE_M), Finish.FENCE, fence))
    for _ in range(random.randint(1, 3)):
        x, y = random.uniform(-14, 14), scene.bounds[3] + random.uniform(6, 14)
        wide, tall = random.uniform(5, 9), random.uniform(2.6, 4.5)
        wall = shade(random, random.choice(WALLS), 0.1)
        roof = random.choice(((0.52, 0.25, 0.18), (0.34, 0.33, 0.34), (0.45, 0.32, 0.24)))
        parts.append(Solid(Shape.BOX, (x, y, tall / 2), (wide, 5, tall), Finish.MATT, wall))
        parts.append(Solid(Shape.CABIN, (x, y, tall + 0.8), (wide + 0.6, 5.6, 1.6), Finish.MATT, roof))
        for side in (-0.28, 0.28):
            window = (x + side * wide, y - 2.5, tall * 0.55)
            parts.append(
                Solid(Shape.BOX, window, (1.0, 0.06, 1.1), Finish.GLOSSY, (0.25, 0.32, 0.40), math.pi)
            )
    return parts
