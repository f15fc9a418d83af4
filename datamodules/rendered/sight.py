"""What can be asked about in an image: the objects that are seen well enough, and where they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.rendered.camera import Camera
from datamodules.rendered.levels import LEAST_AREA, LEAST_VISIBLE, LEAST_VISIBLE_SHELF
from datamodules.rendered.scene import NEVER_ASKED, Kind, Rectangle, Scene, SceneObject, seen_points

# The six faces of a box as corner signs, in an order that is counter-clockwise from outside.
_FACE_CORNERS = np.array(
    [
        [[-1, -1, 0], [-1, -1, 1], [-1, 1, 1], [-1, 1, 0]],
        [[1, -1, 0], [1, 1, 0], [1, 1, 1], [1, -1, 1]],
        [[-1, -1, 0], [1, -1, 0], [1, -1, 1], [-1, -1, 1]],
        [[-1, 1, 0], [-1, 1, 1], [1, 1, 1], [1, 1, 0]],
        [[-1, -1, 0], [-1, 1, 0], [1, 1, 0], [1, -1, 0]],
        [[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
    ],
    dtype=np.float64,
)


@dataclass(frozen=True)
class Seen:
    """An object that is seen well enough to be asked about.

    Attributes:
        index: its place among the objects of the scene.
        kind: what it is.
        x: footprint centre in world metres.
        y: the same along the other axis.
        centroid: horizontal centroid of its visible pixels, as a share of the image width.
    """

    index: int
    kind: Kind
    x: float
    y: float
    centroid: float

    def distance_m(self, other: Seen) -> float:
        """Distance between the two footprint centres on the floor, in metres."""
        return math.hypot(self.x - other.x, self.y - other.y)


@dataclass(frozen=True)
class Sight:
    """All objects of one image that can be asked about.

    Attributes:
        seen: the objects.
        pallets_inside: the pallets in every buffer region all of whose pallets can be asked about, by the
            index of the region; a region with a hidden pallet is left out.
    """

    seen: tuple[Seen, ...]
    pallets_inside: dict[int, tuple[Seen, ...]]

    def of(self, kind: Kind) -> list[Seen]:
        """All objects of one kind."""
        return [thing for thing in self.seen if thing.kind is kind]


def look(scene: Scene, labels: np.ndarray) -> Sight:
    """Find what can be asked about, from the object index of every pixel `[height, width]`."""
    height, width = labels.shape
    number = len(scene.objects)
    areas = np.bincount(labels.ravel() + 1, minlength=number + 1)[1:]
    columns = np.broadcast_to(np.arange(width) + 0.5, labels.shape)
    sums = np.bincount(labels.ravel() + 1, weights=columns.ravel(), minlength=number + 1)[1:]
    outlines = _outline_areas(scene.camera, scene.objects)
    seen = {}
    for index, thing in enumerate(scene.objects):
        if thing.kind in NEVER_ASKED or areas[index] < LEAST_AREA * height * width:
            continue
        least_visible = LEAST_VISIBLE_SHELF if thing.kind is Kind.SHELF else LEAST_VISIBLE
        if areas[index] < least_visible * outlines[index] or not _stands_in_image(scene.camera, thing):
            continue
        seen[index] = Seen(index, thing.kind, thing.x, thing.y, float(sums[index] / areas[index] / width))
    inside: dict[int, list[int]] = {
        i: [] for i, thing in enumerate(scene.objects) if thing.kind is Kind.BUFFER
    }
    for index, thing in enumerate(scene.objects):
        if thing.inside is not None:
            inside[thing.inside].append(index)
    return Sight(
        tuple(seen.values()),
        {
            region: tuple(seen[pallet] for pallet in pallets)
            for region, pallets in inside.items()
            if region in seen and all(pallet in seen for pallet in pallets)
        },
    )


def _stands_in_image(camera: Camera, thing: SceneObject) -> bool:
    """Whether most of the footprint lies in the image: only then can its centre be told."""
    length, width = thing.length / 2, thing.width / 2
    half = (length, width) if abs(math.cos(thing.yaw)) > 0.7 else (width, length)
    return seen_points(camera, Rectangle(thing.x, thing.y, *half)) >= 7


def _outline_areas(camera: Camera, things: Sequence[SceneObject]) -> np.ndarray:
    """Image area of every object's bounding box if nothing hid it, `[n]` in pixels."""
    sizes = np.array([(thing.length / 2, thing.width / 2, thing.height) for thing in things]).reshape(-1, 3)
    places = np.array([(thing.x, thing.y, thing.yaw) for thing in things]).reshape(-1, 3)
    local = _FACE_CORNERS * sizes[:, None, None]
    cosine, sine = np.cos(places[:, 2])[:, None, None], np.sin(places[:, 2])[:, None, None]
    corners = np.stack(
        [
            local[..., 0] * cosine - local[..., 1] * sine + places[:, 0, None, None],
            local[..., 0] * sine + local[..., 1] * cosine + places[:, 1, None, None],
            local[..., 2],
        ],
        axis=-1,
    )
    image = camera.project(corners)
    x, y = image[..., 0], image[..., 1]
    signed = 0.5 * (x * np.roll(y, -1, axis=2) - y * np.roll(x, -1, axis=2)).sum(axis=2)
    # A box shows as the sum of the faces turned to the camera. Image rows grow downwards, so these have the
    # negative sign.
    areas: np.ndarray = -np.minimum(signed, 0).sum(axis=1)
    return areas
