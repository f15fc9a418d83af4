"""The pinhole camera that looks down into the rendered warehouse.

World frame: metres, x and y along the walls of the warehouse, z up, the floor at z = 0. The camera stands at
`(0, 0, height_m)`, is turned by its yaw about z (0 looks along +y), pitched down, and then rolled about its
optical axis. On the floor the inverse of the depth is linear in the image row, with a roll in the column too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

HORIZONTAL_FIELD_OF_VIEW_DEG = 70.0
"""Angle between the left and the right border of an image, in degrees, where a scene says no other."""

HEIGHT_RANGE_M = (4.0, 7.0)
"""Smallest and largest height of the camera above the floor."""

PITCH_RANGE_DEG = (22.0, 50.0)
"""Smallest and largest angle of the optical axis below the horizon."""

YAW_RANGE_DEG = (-40.0, 40.0)
"""Smallest and largest turn of the camera against the walls of the warehouse."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels.

    Attributes:
        height_m: height above the floor, in metres.
        pitch_deg: angle of the optical axis below the horizon, in degrees.
        yaw_deg: turn to the right about the vertical, in degrees.
        width: image width, in pixels.
        height: image height, in pixels.
        roll_deg: turn about the optical axis, in degrees; positive where the right side is lower.
        field_of_view_deg: angle between the left and the right border of the image, in degrees.
    """

    height_m: float
    pitch_deg: float
    yaw_deg: float
    width: int
    height: int
    roll_deg: float = 0.0
    field_of_view_deg: float = HORIZONTAL_FIELD_OF_VIEW_DEG

    @cached_property
    def focal_px(self) -> float:
        """Focal length, in pixels."""
        return self.width / 2 / math.tan(math.radians(self.field_of_view_deg) / 2)

    @property
    def position(self) -> np.ndarray:
        """Where the camera stands, `[3]` in metres."""
        return np.array([0.0, 0.0, self.height_m], dtype=np.float32)

    @cached_property
    def axes(self) -> np.ndarray:
        """The directions right, down and forward of the image, as rows `[3, 3]` of unit vectors."""
        pitch, yaw = math.radians(self.pitch_deg), math.radians(self.yaw_deg)
        sine, cosine = math.sin(pitch), math.cos(pitch)
        level = np.array(
            [
                [math.cos(yaw), -math.sin(yaw), 0.0],
                [-math.sin(yaw) * sine, -math.cos(yaw) * sine, -cosine],
                [math.sin(yaw) * cosine, math.cos(yaw) * cosine, -sine],
            ]
        )
        roll = math.radians(self.roll_deg)
        right, down, forward = level
        return np.stack(
            [
                math.cos(roll) * right + math.sin(roll) * down,
                math.cos(roll) * down - math.sin(roll) * right,
                forward,
            ]
        )

    def directions(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Directions `[n, 3]` of the rays through image points `[n]` (pixel centres lie at .5).

        Their part along the optical axis is one, so a length along such a ray is a planar depth.
        """
        right, down, forward = self.axes.astype(np.float32)
        across = ((columns - self.width / 2) / self.focal_px).astype(np.float32)
        along = ((rows - self.height / 2) / self.focal_px).astype(np.float32)
        return across[:, None] * right + along[:, None] * down + forward

    def pixel_directions(self) -> np.ndarray:
        """Directions `[height * width, 3]` of the rays through all pixel centres, row by row."""
        rows, columns = np.mgrid[0 : self.height, 0 : self.width].reshape(2, -1) + 0.5
        return self.directions(columns, rows)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Columns, rows (pixels) and planar depths (metres) `[..., 3]` of world points `[..., 3]`."""
        across, along, depth = np.moveaxis((points - self.position) @ self.axes.T, -1, 0)
        # A point behind the camera has no image; it is pushed far outside instead.
        safe = np.where(depth > 0.05, depth, 1e-6)
        return np.stack(
            [
                across / safe * self.focal_px + self.width / 2,
                along / safe * self.focal_px + self.height / 2,
                depth,
            ],
            axis=-1,
        )

    def floor_point(self, column: float, row: float) -> tuple[float, float] | None:
        """The floor position (x, y) in metres seen at an image point, or None above the horizon."""
        right, down, forward = self.axes.tolist()
        across = (column - self.width / 2) / self.focal_px
        along = (row - self.height / 2) / self.focal_px
        x, y, z = (across * right[i] + along * down[i] + forward[i] for i in range(3))
        if z >= -1e-6:
            return None
        return -self.height_m * x / z, -self.height_m * y / z

    def farthest_floor_m(self) -> float:
        """Floor distance from below the camera to the middle of the upper image border, in metres."""
        point = self.floor_point(self.width / 2, 0.0)
        return math.hypot(*point) if point else math.inf
