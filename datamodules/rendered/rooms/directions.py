"""Directions from somebody's point of view on the floor, where they are clear."""

from __future__ import annotations

import math

from datamodules.rendered.rooms.room_scene import Thing

SIDES = ("left", "right")
QUADRANTS = ("front left", "front right", "back left", "back right")

LEAST_ASIDE_M, LEAST_ASIDE_DEG = 0.4, 18.0
"""A direction is only named where an object lies so far to that side, in metres and as an angle."""


def aside(viewer: tuple[float, float], facing: tuple[float, float], thing: Thing) -> tuple[float, float]:
    """How far ahead and how far to the left of a viewer an object stands, both in metres."""
    x, y = thing.x - viewer[0], thing.y - viewer[1]
    return x * facing[0] + y * facing[1], y * facing[0] - x * facing[1]


def is_clear(part: float, whole: float) -> bool:
    """Whether an offset to one side is large enough, in metres and as an angle."""
    return abs(part) >= LEAST_ASIDE_M and abs(part) >= math.sin(math.radians(LEAST_ASIDE_DEG)) * whole


def side_of(ahead: float, left: float) -> str | None:
    """On which side something is, or None where that is not clear."""
    return (SIDES[0] if left > 0 else SIDES[1]) if is_clear(left, math.hypot(ahead, left)) else None


def quadrant_of(ahead: float, left: float) -> str | None:
    """In which quadrant something is, or None where that is not clear."""
    if not (is_clear(left, math.hypot(ahead, left)) and is_clear(ahead, math.hypot(ahead, left))):
        return None
    return QUADRANTS[(0 if ahead > 0 else 2) + (0 if left > 0 else 1)]
