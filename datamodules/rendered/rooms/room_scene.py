"""A room or a yard: which objects stand where. Everything follows from one random number generator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from datamodules.rendered.camera import Camera
from datamodules.rendered.rooms.catalogue import PLACES, Kind, Place, kinds_of
from datamodules.rendered.rooms.solids import Solid, extent

NUMBER_OF_OBJECTS = (5, 9)
"""Fewest and most objects that are drawn; where the floor is full, the last ones are left out."""

LEAST_OBJECTS, LEAST_KINDS = 4, 3
"""A scene with fewer objects, or objects of fewer classes, is drawn anew."""

NEAREST_M, FARTHEST_M = {"room": 1.8, "yard": 2.2}, {"room": 5.0, "yard": 6.5}
"""Floor distance of object centres from the camera, by place."""

MOST_COVERED = 0.3
"""An object's box in the image covers at most this share of another's (of the smaller one)."""

MOST_TURNED = 0.75
"""Largest turn away from the camera of what cannot be told from behind, in radians."""

GAP_M = 0.25
"""Least gap between the footprints of two objects, along x or y."""


@dataclass(frozen=True)
class Thing:
    """One object on the floor, or above it.

    Attributes:
        kind: the name of its class, a key of `KINDS`.
        colour: the name of its colour, or "" where that has none.
        x: footprint centre in world metres.
        y: the same along the other axis; the camera stands at (0, 0) and looks along +y.
        yaw: turn about the vertical, in radians; at 0 its front looks along -y, at the camera.
        size: length, width and height in metres, along its own axes.
        parts: the solids it is built from.
        z: height of its lowest point above the floor, in metres.
    """

    kind: str
    colour: str
    x: float
    y: float
    yaw: float
    size: tuple[float, float, float]
    parts: tuple[Solid, ...]
    z: float = 0.0

    @property
    def height(self) -> float:
        """Height from its lowest to its highest point, in metres."""
        return self.size[2]

    @property
    def half_extents(self) -> tuple[float, float]:
        """Half of the extents along the world's x and y, in metres."""
        cosine, sine = abs(math.cos(self.yaw)), abs(math.sin(self.yaw))
        length, width, _ = self.size
        return (length * cosine + width * sine) / 2, (length * sine + width * cosine) / 2

    @property
    def front(self) -> tuple[float, float]:
        """The direction its front looks to, as a unit vector of the floor."""
        return math.sin(self.yaw), -math.cos(self.yaw)

    @property
    def middle(self) -> tuple[float, float, float]:
        """The middle of the box around it, in world metres."""
        return self.x, self.y, self.z + self.height / 2

    def distance_m(self, other: Thing) -> float:
        """Distance between the two footprint centres on the floor, in metres."""
        return math.hypot(self.x - other.x, self.y - other.y)

    def corners(self) -> np.ndarray:
        """Corners of the box around it, `[8, 3]` in world metres."""
        half_x, half_y = self.half_extents
        return np.array(
            [
                (self.x + i * half_x, self.y + j * half_y, z)
                for i in (-1, 1)
                for j in (-1, 1)
                for z in (self.z, self.z + self.height)
            ]
        )


@dataclass(frozen=True)
class RoomScene:
    """A camera in a room or yard.

    Attributes:
        place: "room" or "yard".
        camera: where the image is taken from.
        bounds: least x, least y, most x, most y of the walls or fences, in metres.
        things: everything that stands on the floor or another thing, or hangs.
        decor: solids that belong to no object: marks on the floor and cords, in world metres.
        texture_seed: chooses floor, walls, light and noise.
        heading: the things whose direction is painted on the floor, by their index, with that direction as a
            unit vector of the floor.
    """

    place: Place
    camera: Camera
    bounds: tuple[float, float, float, float]
    things: tuple[Thing, ...]
    decor: tuple[Solid, ...]
    texture_seed: int
    heading: Mapping[int, tuple[float, float]] = field(default_factory=dict)


def draw_room(random: Random, size: tuple[int, int], place: Place | None = None) -> RoomScene:
    """Draw a room or yard for images of a size (width, height) in pixels."""
    # Chosen once: a room fills up sooner than a yard, and would else be drawn anew as a yard.
    chosen = random.choice(PLACES) if place is None else place
    while True:
        layout = Layout(random, size, chosen)
        for kind in _drawn_kinds(random, layout.place):
            layout.add(kind)
        things = layout.things
        if len(things) >= LEAST_OBJECTS and len({thing.kind for thing in things}) >= LEAST_KINDS:
            return layout.scene()


def _drawn_kinds(random: Random, place: Place) -> list[Kind]:
    """The classes of the objects of a scene, the large ones first; one class may come several times."""
    known = kinds_of(place)
    random.shuffle(known)
    number = random.randint(*NUMBER_OF_OBJECTS)
    repeated = next(kind for kind in known if not kind.large)
    kinds = [repeated] * random.choices((1, 2, 3, 4, 5), (1, 2, 3, 3, 3))[0]
    for kind in known:
        if kind is not repeated:
            kinds.extend([kind] * (1 if kind.large else random.choice((1, 1, 1, 2))))
        if len(kinds) >= number and len(set(kinds)) > LEAST_KINDS:
            break
    return sorted(kinds, key=lambda kind: not kind.large)


class Layout:
    """The floor in front of a camera while it fills up."""

    def __init__(self, random: Random, size: tuple[int, int], place: Place) -> None:
        self.random = random
        self.place = place
        in_room = place == "room"
        self.camera = Camera(
            height_m=random.uniform(1.5, 2.1) if in_room else random.uniform(1.7, 2.6),
            pitch_deg=random.uniform(14, 24) if in_room else random.uniform(13, 21),
            yaw_deg=0.0,
            width=size[0],
            height=size[1],
        )
        side = (3.0, 4.4) if in_room else (6.0, 9.0)
        far = (5.4, 7.2) if in_room else (9.0, 13.0)
        self.bounds = (
            -random.uniform(*side),
            -random.uniform(0.8, 1.5),
            random.uniform(*side),
            random.uniform(*far),
        )
        self.things: list[Thing] = []
        self._boxes: list[tuple[float, float, float, float]] = []

    def scene(
        self, decor: Sequence[Solid] = (), heading: Mapping[int, tuple[float, float]] | None = None
    ) -> RoomScene:
        """The scene as it is now, with these marks on the floor and directions."""
        return RoomScene(
            self.place,
            self.camera,
            self.bounds,
            tuple(self.things),
            tuple(decor),
            self.random.getrandbits(32),
            heading or {},
        )

    def add(self, kind: Kind, tries: int = 50, yaw: float | None = None) -> Thing | None:
        """Put an object somewhere in the image where it hides little; None where no place was found."""
        colour, paint = kind.paint(self.random)
        parts = tuple(kind.make(self.random, paint))
        size = extent(parts)
        for _ in range(tries):
            x, y = self.spot()
            turn = self._turn(kind, x, y) if yaw is None else yaw
            thing = Thing(kind.name, colour, x, y, turn, size, parts)
            if self.fits(thing):
                self.keep(thing)
                return thing
        return None

    def keep(self, thing: Thing) -> None:
        """Have an object from now on."""
        self.things.append(thing)
        self._boxes.append(image_box(self.camera, thing))

    def remove(self, thing: Thing) -> None:
        """Take an object away again."""
        number = self.things.index(thing)
        del self.things[number], self._boxes[number]

    def spot(self) -> tuple[float, float]:
        """A floor position in the image, spread evenly over the image's width and over the depth."""
        y = self.random.uniform(NEAREST_M[self.place], min(FARTHEST_M[self.place], self.bounds[3] - 0.3))
        return self.random.uniform(-0.6, 0.6) * y, y

    def fits(self, thing: Thing) -> bool:
        """Whether an object is inside the walls and the image, and neither touches nor hides another."""
        half_x, half_y = thing.half_extents
        least_x, least_y, most_x, most_y = self.bounds
        if not (
            least_x + half_x < thing.x < most_x - half_x and least_y + half_y < thing.y < most_y - half_y
        ):
            return False
        # The camera must not stand in an object or look along its top.
        if math.hypot(thing.x, thing.y) - max(half_x, half_y) < 0.8:
            return False
        for other in self.things:
            other_x, other_y = other.half_extents
            if (
                abs(thing.x - other.x) < half_x + other_x + GAP_M
                and abs(thing.y - other.y) < half_y + other_y + GAP_M
            ):
                return False
        return self.is_shown(thing)

    def is_shown(self, thing: Thing, support: Thing | None = None) -> bool:
        """Whether an object is in the image, and neither hides another nor is hidden, but for its support."""
        box = image_box(self.camera, thing)
        if covered_share(box, (0, 0, self.camera.width, self.camera.height)) < 0.93:
            return False
        others = (other for kept, other in zip(self.things, self._boxes, strict=True) if kept is not support)
        return all(most_covered(box, other) <= MOST_COVERED for other in others)

    def _turn(self, kind: Kind, x: float, y: float) -> float:
        """A yaw for an object at a place: what has a blank rear looks to the camera, the rest anywhere."""
        if kind.blank_rear:
            # From the side or the rear, a shelf or television would only be a board.
            return math.atan2(-x, y) + self.random.uniform(-MOST_TURNED, MOST_TURNED)
        return self.random.uniform(-math.pi, math.pi)


def image_box(camera: Camera, thing: Thing) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in pixels of the box around an object, however much of it is hidden.

    The same as the extremes of `camera.project(thing.corners())`, but without arrays: it is called for every
    place that is tried.
    """
    right, down, forward = camera.axes.tolist()
    half_x, half_y = thing.half_extents
    columns, rows = [], []
    for x in (thing.x - half_x, thing.x + half_x):
        for y in (thing.y - half_y, thing.y + half_y):
            for z in (thing.z - camera.height_m, thing.z + thing.height - camera.height_m):
                depth = max(x * forward[0] + y * forward[1] + z * forward[2], 1e-6)
                scale = camera.focal_px / depth
                columns.append((x * right[0] + y * right[1] + z * right[2]) * scale + camera.width / 2)
                rows.append((x * down[0] + y * down[1] + z * down[2]) * scale + camera.height / 2)
    return min(columns), min(rows), max(columns), max(rows)


def _area(box: Sequence[float]) -> float:
    """Area of a box (left, top, right, bottom), 0 where it is empty."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def covered_share(box: Sequence[float], other: Sequence[float]) -> float:
    """Share of a box's area that lies in another."""
    common = (max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3]))
    return _area(common) / max(_area(box), 1e-9)


def most_covered(box: Sequence[float], other: Sequence[float]) -> float:
    """Share of the smaller of two boxes that lies in the other."""
    return max(covered_share(box, other), covered_share(other, box))
