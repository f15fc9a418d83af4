"""Rooms and yards in which height in the image tells little about distance.

Things stand on racks, tables and cabinets, lamps and plants hang from the ceilings of rooms, and cameras look
down more or less steeply and are turned about their optical axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType

from datamodules.rendered.rooms import raised
from datamodules.rendered.rooms.catalogue import KINDS, PLACES, Kind, Maker, Place, kinds_of
from datamodules.rendered.rooms.palette import BLACK
from datamodules.rendered.rooms.room_scene import (
    LEAST_KINDS,
    LEAST_OBJECTS,
    Layout,
    RoomScene,
    Thing,
)
from datamodules.rendered.rooms.solids import Finish, Shape, Solid, extent, scaled
from datamodules.rendered.rooms.surroundings import CEILING_M

PITCHES_DEG = (2.0, 30.0)
"""Smallest and largest angle of the optical axis below the horizon, in degrees."""

ROLLS_DEG = (-14.0, 14.0)
"""Smallest and largest turn of the camera about its optical axis, in degrees."""

SUPPORTS: Mapping[Place, tuple[str, ...]] = MappingProxyType(
    {"room": ("rack", "rack", "table", "cabinet"), "yard": ("rack", "rack", "table")}
)
"""The classes that things stand on, the more frequent ones twice."""

SMALL: Mapping[Place, tuple[str, ...]] = MappingProxyType(
    {
        "room": ("vase", "potted plant", "ball", "carton", "lamp"),
        "yard": ("ball", "crate", "traffic cone", "potted plant", "barrel"),
    }
)
"""The classes that stand on others."""

HANGING: Mapping[str, Maker] = MappingProxyType(
    {"lamp": raised.hanging_lamp, "potted plant": raised.hanging_plant}
)
"""How the classes are built that hang from ceilings; a lamp is called a lamp wherever it is."""

UNLIKE_A_RACK = "bookshelf"
"""Nobody could say for sure which of the two it is."""

REPEATED = 0.5
"""Share of the things on others that are of one class, chosen for a scene."""

SCALES = (0.5, 0.7)
"""How large a thing on another one is, of its size on the floor."""

HANGING_M = (1.5, 2.1)
"""Smallest and largest height of the lowest point of what hangs above the floor, in metres."""

HEADROOM_M = 0.1
"""What stands on the highest board ends at least this far below a ceiling, in metres."""

LEAST_GAP_M = 0.04
"""Least gap between what is above the floor and any other object, beside or above it, in metres."""

THICKEST_BOARD_M, LEAST_BOARD_M = 0.08, 0.4
"""A part is a board to stand things on where it is so thin and so wide and deep, in metres."""

FOOT_M = 0.1
"""What is lower than this is a foot, and no board."""

TRIES = 50


def draw_raised_room(random: Random, size: tuple[int, int]) -> RoomScene:
    """Draw a room or yard for images of a size (width, height) in pixels, with things above the floor."""
    place = random.choice(PLACES)
    while True:
        layout = RaisedLayout(random, size, place)
        for _ in range(random.choice((1, 2, 2))):
            layout.add(KINDS[random.choice(SUPPORTS[place])])
        supports = list(layout.things)
        on_floor = [kind for kind in kinds_of(place) if kind.name != UNLIKE_A_RACK]
        for kind in random.sample(on_floor, random.randint(2, 4)):
            layout.add(kind)
        # So that there are several of a class to count.
        repeated = random.choice(SMALL[place])
        for support in supports:
            for _ in range(random.randint(1, 4)):
                name = repeated if random.random() < REPEATED else random.choice(SMALL[place])
                layout.put_on(support, KINDS[name])
        for _ in range(random.randint(0, 3) if place == "room" else 0):
            layout.hang(KINDS[random.choice(tuple(HANGING))])
        things = layout.things
        if (
            len(things) >= LEAST_OBJECTS
            and len({thing.kind for thing in things}) >= LEAST_KINDS
            and any(thing.z for thing in things)
        ):
            return layout.scene(layout.cords)


class RaisedLayout(Layout):
    """A floor before a tilted camera, with room above it.

    Attributes:
        cords: what things hang by, in world metres.
    """

    def __init__(self, random: Random, size: tuple[int, int], place: Place) -> None:
        super().__init__(random, size, place)
        self.camera = replace(
            self.camera, pitch_deg=random.uniform(*PITCHES_DEG), roll_deg=random.uniform(*ROLLS_DEG)
        )
        self.cords: list[Solid] = []

    def put_on(self, support: Thing, kind: Kind) -> Thing | None:
        """Put a small object on a board of another one; None where no place was found."""
        colour, paint = kind.paint(self.random)
        parts = scaled(kind.make(self.random, paint), self.random.uniform(*SCALES))
        size = extent(parts)
        for _ in range(TRIES):
            board, free_m = self.random.choice(boards_of(support))
            along, across = self._place_on(board, size)
            if size[2] > free_m or not _lies_on(board, size, along, across):
                continue
            cosine, sine = math.cos(support.yaw), math.sin(support.yaw)
            x, y = support.x + along * cosine - across * sine, support.y + along * sine + across * cosine
            thing = Thing(kind.name, colour, x, y, support.yaw, size, parts, support.z + _top_m(board))
            if self._is_free(thing, support) and self.is_shown(thing, support):
                self.keep(thing)
                return thing
        return None

    def hang(self, kind: Kind) -> Thing | None:
        """Hang an object from the ceiling by a cord; None where no place was found."""
        colour, paint = kind.paint(self.random)
        parts = tuple(HANGING[kind.name](self.random, paint))
        size = extent(parts)
        least_x, _, most_x, _ = self.bounds
        for _ in range(TRIES):
            (x, y), z = self.spot(), self.random.uniform(*HANGING_M)
            thing = Thing(kind.name, colour, x, y, 0.0, size, parts, z)
            if least_x + size[0] < x < most_x - size[0] and self._is_free(thing) and self.is_shown(thing):
                self.keep(thing)
                cord_m = CEILING_M - z - size[2]
                center = (x, y, CEILING_M - cord_m / 2)
                self.cords.append(Solid(Shape.CYLINDER, center, (0.02, 0.02, cord_m), Finish.MATT, BLACK))
                return thing
        return None

    def _place_on(self, board: Solid, size: tuple[float, float, float]) -> tuple[float, float]:
        """Somewhere on a board, in the frame of the object that it is a part of, in metres."""
        along, across = (
            middle + self.random.uniform(-1, 1) * max(side - mine, 0) / 2
            for middle, side, mine in zip(board.center[:2], board.size[:2], size[:2], strict=True)
        )
        return along, across

    def _is_free(self, thing: Thing, support: Thing | None = None) -> bool:
        """Whether an object above the floor touches no other one but what it stands on."""
        half_x, half_y = thing.half_extents
        for other in self.things:
            other_x, other_y = other.half_extents
            beside_m = max(
                abs(thing.x - other.x) - half_x - other_x, abs(thing.y - other.y) - half_y - other_y
            )
            over_m = max(thing.z - other.z - other.height, other.z - thing.z - thing.height)
            if other is not support and max(beside_m, over_m) < LEAST_GAP_M:
                return False
        return True


def boards_of(support: Thing) -> list[tuple[Solid, float]]:
    """The boards of an object, the lowest first, and how high what stands on them may be, in metres."""
    boards = sorted(
        (
            part
            for part in support.parts
            if part.size[2] <= THICKEST_BOARD_M
            and min(part.size[:2]) >= LEAST_BOARD_M
            and part.center[2] > FOOT_M
        ),
        key=_top_m,
    )
    ends = [*(board.center[2] - board.size[2] / 2 for board in boards[1:]), CEILING_M - HEADROOM_M]
    return [(board, end - _top_m(board)) for board, end in zip(boards, ends, strict=True)]


def _top_m(board: Solid) -> float:
    """Height of a board's upper side above the foot of its object, in metres."""
    return board.center[2] + board.size[2] / 2


def _lies_on(board: Solid, size: tuple[float, float, float], along: float, across: float) -> bool:
    """Whether the foot of an object that stands in a place lies on a board as a whole."""
    ends = [
        abs(place - middle) + side / 2
        for place, middle, side in zip((along, across), board.center[:2], size[:2], strict=True)
    ]
    if board.shape is Shape.CYLINDER:
        return math.hypot(*ends) <= board.size[0] / 2
    return all(end <= side / 2 for end, side in zip(ends, board.size[:2], strict=True))
