"""A warehouse scene: which objects stand where. Everything follows from one random number generator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import numpy as np

from datamodules.rendered import objects
from datamodules.rendered.camera import PITCH_RANGE_DEG, YAW_RANGE_DEG, Camera
from datamodules.rendered.levels import Level
from datamodules.rendered.meshes import Box
from datamodules.rendered.variation import USUAL, Variation, draw_variation

FARTHEST_M = 16.0
"""Nothing is placed farther ahead than this, in metres."""

LEAST_REACH_M = 10.0
"""The upper image border shows the floor at least this far away, in metres."""

SLOT_M = 1.5
"""Length of a buffer region that one pallet takes, in metres."""

QUARTER_TURN = math.pi / 2


class Kind(StrEnum):
    """What an object is, as the questions call it."""

    PALLET = "pallet"
    BUFFER = "buffer region"
    TRANSPORTER = "transporter"
    SHELF = "shelf"
    CLUTTER = "clutter"
    PERSON = "person"
    ROBOT = "robot"


NEVER_ASKED = (Kind.CLUTTER, Kind.PERSON, Kind.ROBOT)
"""What no question is about."""


@dataclass(frozen=True)
class SceneObject:
    """One object on the floor.

    Attributes:
        kind: what it is.
        x: footprint centre in world metres.
        y: the same along the other axis.
        yaw: turn of the footprint, in radians.
        length: extent of the footprint along its own first axis, in metres.
        width: the same along its second axis.
        parts: the boxes it is built from; none for a buffer region, which is only painted.
        inside: index of the buffer region that holds its footprint centre, or None.
    """

    kind: Kind
    x: float
    y: float
    yaw: float
    length: float
    width: float
    parts: tuple[Box, ...] = ()
    inside: int | None = None

    @property
    def height(self) -> float:
        """Height of the highest part above the floor, in metres."""
        return max((part.center[2] + part.size[2] / 2 for part in self.parts), default=0.0)


@dataclass(frozen=True)
class Rectangle:
    """A rectangle along the walls: centre and half extents, in world metres."""

    x: float
    y: float
    half_x: float
    half_y: float

    def overlaps(self, other: Rectangle, gap: float) -> bool:
        """Whether less than a gap (metres) lies between the two."""
        return (
            abs(self.x - other.x) < self.half_x + other.half_x + gap
            and abs(self.y - other.y) < self.half_y + other.half_y + gap
        )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least x, least y, most x, most y, in metres."""
        return self.x - self.half_x, self.y - self.half_y, self.x + self.half_x, self.y + self.half_y


@dataclass(frozen=True)
class Scene:
    """A camera in a room full of objects.

    Attributes:
        camera: where the image is taken from.
        room: least x, least y, most x, most y of the walls, in metres.
        objects: everything on the floor.
        texture_seed: chooses the stains of the floor, the position of the lamps and the noise.
        variation: how the scene is seen and built otherwise than the usual ones.
    """

    camera: Camera
    room: tuple[float, float, float, float]
    objects: tuple[SceneObject, ...]
    texture_seed: int
    variation: Variation = USUAL

    def floor_regions(self) -> list[tuple[int, tuple[float, float, float, float]]]:
        """Object index and bounds in metres of every buffer region."""
        return [
            (index, Rectangle(thing.x, thing.y, thing.length / 2, thing.width / 2).bounds)
            for index, thing in enumerate(self.objects)
            if thing.kind is Kind.BUFFER
        ]


def draw_scene(random: Random, level: Level, size: tuple[int, int]) -> Scene:
    """Draw a scene of a level for images of a size (width, height) in pixels."""
    variation = draw_variation(random) if level.varied else USUAL
    camera = _draw_camera(random, size, variation)
    sideways = 7.0 * math.tan(math.radians(camera.yaw_deg))
    room = (
        min(sideways - random.uniform(6, 11), -2.5),
        -random.uniform(2, 3),
        max(sideways + random.uniform(6, 11), 2.5),
        random.uniform(9.5, 16.5),
    )
    layout = _Layout(random, camera, room, variation)
    layout.add_buffers(level)
    layout.add_shelves(random.randint(*level.shelves))
    layout.add_loose(Kind.TRANSPORTER, random.randint(*level.transporters))
    layout.add_loose(Kind.PALLET, random.randint(*level.loose_pallets))
    layout.add_clutter(random.randint(*level.clutter))
    layout.add_in_the_way(Kind.PERSON, variation.people)
    layout.add_in_the_way(Kind.ROBOT, variation.robots)
    return Scene(camera, room, tuple(layout.objects), random.getrandbits(32), variation)


def _draw_camera(random: Random, size: tuple[int, int], variation: Variation) -> Camera:
    """A camera that sees far enough for several buffer regions."""
    while True:
        camera = Camera(
            height_m=random.uniform(*variation.heights_m),
            pitch_deg=random.uniform(*PITCH_RANGE_DEG),
            yaw_deg=random.uniform(*YAW_RANGE_DEG),
            width=size[0],
            height=size[1],
            roll_deg=variation.roll_deg,
            field_of_view_deg=variation.field_of_view_deg,
        )
        if camera.farthest_floor_m() >= LEAST_REACH_M:
            return camera


class _Layout:
    """The floor while it fills up: objects, and the rectangles they take."""

    def __init__(
        self,
        random: Random,
        camera: Camera,
        room: tuple[float, float, float, float],
        variation: Variation,
    ) -> None:
        self.random = random
        self.camera = camera
        self.room = room
        self.variation = variation
        self.objects: list[SceneObject] = []
        self.taken: list[Rectangle] = []
        self.top = _row_of_floor(camera, FARTHEST_M)

    def add_buffers(self, level: Level) -> None:
        """Paint buffer regions of one orientation and put pallets into them, side by side."""
        random = self.random
        along_x = random.random() < 0.7
        slot_m = SLOT_M * self.variation.pallet_ratio
        deep = random.uniform(1.6, 2.0) * self.variation.pallet_ratio
        slots = random.randint(*level.slots)
        for _ in range(random.randint(*level.buffers)):
            slots_here = slots if random.random() < 0.6 else random.randint(*level.slots)
            half_long, half_deep = (slot_m * slots_here + 0.2) / 2, deep / 2
            half = (half_long, half_deep) if along_x else (half_deep, half_long)
            place = self._find(half, gap=0.6, rows=(0.12, 0.95), tries=40, seen=8)
            if place is None:
                continue
            self.taken.append(place)
            region = len(self.objects)
            self.objects.append(
                SceneObject(Kind.BUFFER, place.x, place.y, 0.0, 2 * place.half_x, 2 * place.half_y)
            )
            pallets = min(random.choices(range(len(level.filled)), level.filled)[0], slots_here)
            turned = random.random() < 0.7
            for slot in random.sample(range(slots_here), pallets):
                forth = (slot - (slots_here - 1) / 2) * slot_m + random.uniform(-0.08, 0.08)
                across = random.uniform(-0.15, 0.15)
                x, y = (forth, across) if along_x else (across, forth)
                # The narrow side lies along the row where the pallets are turned.
                yaw = (QUARTER_TURN if along_x == turned else 0.0) + random.uniform(-0.07, 0.07)
                made = objects.pallet(random, self.variation.pallet_size_m)
                self._stand(Kind.PALLET, place.x + x, place.y + y, yaw, made, region)

    def add_shelves(self, number: int) -> None:
        """Put shelves along the far wall and into the back of the room."""
        for _ in range(number):
            parts, (length, width) = objects.shelf(self.random, self.variation.shelf_lengths_m)
            at_wall = self.random.random() < 0.6
            turned = not at_wall and self.random.random() < 0.5
            half = (width / 2, length / 2) if turned else (length / 2, width / 2)
            place = self._at_far_wall(half) if at_wall else None
            place = place or self._find(half, gap=0.5, rows=(0.08, 0.45), tries=25, seen=7)
            if place is not None:
                self.taken.append(place)
                yaw = QUARTER_TURN if turned else 0.0
                self._stand(Kind.SHELF, place.x, place.y, yaw, (parts, (length, width)))

    def add_loose(self, kind: Kind, number: int) -> None:
        """Put pallets or transporters on the free floor, outside of every buffer region."""
        for _ in range(number):
            if kind is Kind.PALLET:
                made = objects.pallet(self.random, self.variation.pallet_size_m)
            else:
                made = objects.transporter(self.random)
            yaw = self.random.randrange(4) * QUARTER_TURN + self.random.uniform(-0.12, 0.12)
            length, width = made[1]
            half = (length / 2, width / 2) if abs(math.cos(yaw)) > 0.7 else (width / 2, length / 2)
            place = self._find(half, gap=0.3, rows=(0.08, 0.95), tries=25, seen=8)
            if place is not None:
                self.taken.append(place)
                self._stand(kind, place.x, place.y, yaw, made)

    def add_clutter(self, number: int) -> None:
        """Put tables, pillars and loose crates into the back of the room, where they hide little."""
        for _ in range(number):
            make = self.random.choice((objects.table, objects.crates, objects.pillar))
            made = make(self.random)
            turned = self.random.random() < 0.5
            length, width = made[1]
            half = (width / 2, length / 2) if turned else (length / 2, width / 2)
            place = self._find(half, gap=0.3, rows=(0.0, 0.35), tries=10, seen=1)
            if place is not None:
                self.taken.append(place)
                self._stand(Kind.CLUTTER, place.x, place.y, QUARTER_TURN if turned else 0.0, made)

    def add_in_the_way(self, kind: Kind, number: int) -> None:
        """Put people or small robots anywhere on the free floor, where they may hide what is asked about."""
        for _ in range(number):
            made = objects.person(self.random) if kind is Kind.PERSON else objects.robot(self.random)
            half = (math.hypot(*made[1]) / 2,) * 2  # turned in any way
            place = self._find(half, gap=0.1, rows=(0.1, 0.95), tries=15, seen=3)
            if place is not None:
                self.taken.append(place)
                self._stand(kind, place.x, place.y, self.random.uniform(0, math.tau), made)

    def _stand(
        self,
        kind: Kind,
        x: float,
        y: float,
        yaw: float,
        made: tuple[list[Box], tuple[float, float]],
        inside: int | None = None,
    ) -> None:
        parts, (length, width) = made
        self.objects.append(SceneObject(kind, x, y, yaw, length, width, tuple(parts), inside))

    def _find(
        self, half: tuple[float, float], *, gap: float, rows: tuple[float, float], tries: int, seen: int
    ) -> Rectangle | None:
        """A free rectangle whose centre is drawn from the floor in the image.

        The rows are shares of the way from the far end of the floor (0) to the lower border of the image (1).

        At least `seen` of nine points of the rectangle lie in the image.
        """
        for _ in range(tries):
            column = self.random.uniform(0.04, 0.96) * self.camera.width
            row = self.top + self.random.uniform(*rows) * (self.camera.height - self.top)
            point = self.camera.floor_point(column, row)
            if point is not None:
                place = Rectangle(*point, *half)
                if self._is_free(place, gap) and seen_points(self.camera, place) >= seen:
                    return place
        return None

    def _at_far_wall(self, half: tuple[float, float]) -> Rectangle | None:
        """A free rectangle along the far wall."""
        y = self.room[3] - half[1] - 0.15
        for _ in range(10):
            place = Rectangle(self.random.uniform(self.room[0] + 2, self.room[2] - 2), y, *half)
            if self._is_free(place, 0.4, wall=0.1) and seen_points(self.camera, place) >= 7:
                return place
        return None

    def _is_free(self, place: Rectangle, gap: float, wall: float = 0.7) -> bool:
        """Whether a rectangle keeps its distance (metres) from walls and from everything placed so far."""
        least_x, least_y, most_x, most_y = place.bounds
        return (
            least_x > self.room[0] + wall
            and least_y > self.room[1] + wall
            and most_x < self.room[2] - wall
            and most_y < self.room[3] - wall
            and not any(place.overlaps(other, gap) for other in self.taken)
        )


def _row_of_floor(camera: Camera, ahead_m: float) -> float:
    """The image row that shows the floor so far ahead of the camera, but at least 0."""
    yaw = math.radians(camera.yaw_deg)
    point = np.array([ahead_m * math.sin(yaw), ahead_m * math.cos(yaw), 0.0])
    return max(0.0, float(camera.project(point)[1]))


def seen_points(camera: Camera, place: Rectangle) -> int:
    """How many of nine points of a floor rectangle (3 x 3, corners included) lie in the image."""
    (right_x, right_y, right_z), _, (ahead_x, ahead_y, sink) = camera.axes.tolist()
    down_x, down_y, down_z = camera.axes[1].tolist()
    half_width, half_height = camera.width / 2 / camera.focal_px, camera.height / 2 / camera.focal_px
    drop = -camera.height_m
    count = 0
    for step_x in (-1, 0, 1):
        x = place.x + step_x * place.half_x
        for step_y in (-1, 0, 1):
            y = place.y + step_y * place.half_y
            depth = x * ahead_x + y * ahead_y + drop * sink
            across = x * right_x + y * right_y + drop * right_z
            along = x * down_x + y * down_y + drop * down_z
            count += abs(across) < half_width * depth and abs(along) < half_height * depth
    return count
