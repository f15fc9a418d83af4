"""Relations between objects that are true by a margin, so that a person would agree."""

from __future__ import annotations

import math
from typing import Literal

from datamodules.rendered.camera import Camera
from datamodules.rendered.rooms.room_scene import Thing
from datamodules.rendered.rooms.room_sight import Seen

LEAST_SIDEWAYS = 0.10
"""Least horizontal gap between the middles of two boxes, as a share of the image width."""

LEAST_UPRIGHT = 0.15
"""Least vertical gap between the middles of two boxes, as a share of the image height."""

LEAST_DEPTH_M = 0.5
"""Least gap between the median depths of two objects, in metres."""

LEAST_DEPTH_RATIO = 1.15
"""The farther object is at least this many times as far from the camera."""

LEAST_DISTANCE_M = 0.5
"""Least gap between two distances that are compared, in metres."""

LEAST_DISTANCE_RATIO = 1.3
"""The larger distance is at least this many times the smaller one."""

Side = Literal["left", "right"]
Level = Literal["above", "below"]


def side(first: Seen, second: Seen, width: int) -> Side | None:
    """On which side of the second the first is in the image, or None where that is not clear."""
    gap = first.center[0] - second.center[0]
    left, right = sorted((first, second), key=lambda seen: seen.center[0])
    narrower = min(seen.box[2] - seen.box[0] for seen in (first, second))
    if abs(gap) < LEAST_SIDEWAYS * width or left.box[2] - right.box[0] > 0.25 * narrower:
        return None
    return "left" if gap < 0 else "right"


def level(first: Seen, second: Seen, height: int) -> Level | None:
    """Whether the first is above or below the second in the image, or None where that is not clear."""
    gap = first.center[1] - second.center[1]
    upper, lower = sorted((first, second), key=lambda seen: seen.center[1])
    clear = upper.box[1] < lower.box[1] and upper.box[3] < lower.box[3]
    if abs(gap) < LEAST_UPRIGHT * height or not clear:
        return None
    return "above" if gap < 0 else "below"


def is_nearer(first: Seen, second: Seen) -> bool:
    """Whether the first is clearly closer to the camera than the second."""
    return (
        second.middle_m - first.middle_m >= LEAST_DEPTH_M
        and second.middle_m >= LEAST_DEPTH_RATIO * first.middle_m
        and first.nearest_m < second.nearest_m
    )


def gap_m(first: Thing, second: Thing) -> float:
    """Distance between the footprints of two objects, as rectangles along x and y, in metres."""
    half_first, half_second = first.half_extents, second.half_extents
    across = max(abs(first.x - second.x) - half_first[0] - half_second[0], 0.0)
    along = max(abs(first.y - second.y) - half_first[1] - half_second[1], 0.0)
    return (across * across + along * along) ** 0.5


def is_closer_to(anchor: Thing, first: Thing, second: Thing) -> bool:
    """Whether the first is clearly closer to the anchor than the second, by middles and by edges."""
    near, far = anchor.distance_m(first), anchor.distance_m(second)
    return (
        far - near >= LEAST_DISTANCE_M
        and far >= LEAST_DISTANCE_RATIO * near
        and gap_m(anchor, first) < gap_m(anchor, second)
    )


def is_nearer_in_space(camera: Camera, first: Seen, second: Seen) -> bool:
    """The same as `is_nearer` of objects at any height: straight from the camera it is nearer as well.

    The depths that `is_nearer` compares are those along the optical axis; what is far from that axis is
    farther away than its depth says.
    """
    eye = (0.0, 0.0, camera.height_m)
    return (
        is_nearer(first, second)
        and math.dist(eye, first.thing.middle) < math.dist(eye, second.thing.middle)
        and _from_point_m(eye, first.thing) < _from_point_m(eye, second.thing)
    )


def is_closer_in_space(anchor: Thing, first: Thing, second: Thing) -> bool:
    """The same as `is_closer_to` of objects at any height, by middles and sides of the boxes around them."""
    near, far = math.dist(anchor.middle, first.middle), math.dist(anchor.middle, second.middle)
    return (
        far - near >= LEAST_DISTANCE_M
        and far >= LEAST_DISTANCE_RATIO * near
        and _gap_in_space_m(anchor, first) < _gap_in_space_m(anchor, second)
    )


def _gap_in_space_m(first: Thing, second: Thing) -> float:
    """Distance between the boxes around two objects, in metres."""
    upright = max(first.z - second.z - second.height, second.z - first.z - first.height, 0.0)
    return math.hypot(gap_m(first, second), upright)


def _from_point_m(point: tuple[float, float, float], thing: Thing) -> float:
    """Distance from a point to the box around an object, in metres."""
    halves = (*thing.half_extents, thing.height / 2)
    sides = zip(point, thing.middle, halves, strict=True)
    return math.hypot(*(max(abs(place - middle) - half, 0.0) for place, middle, half in sides))
