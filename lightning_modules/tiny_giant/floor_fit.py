"""The floor in a depth image whose scale is unknown.

A camera at height h above a flat floor, pitched down by the angle p and without roll, sees at the image row
with slope y (offset from the optical axis over the focal length, downward) the floor at the depth z along
its axis:

    1 / z = (y cos p + sin p) / h

The depth image holds m = (z - z0) / s with unknown s and z0, that is z = s (m + c). Put together,

    m y = -tan(p) m - c y + k

is linear in the three unknowns tan(p), c and k, and everything follows in units of the camera's height.
Nothing stands below the floor, so that in every row the floor is the farthest surface seen: the fit needs
one number a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AGREEMENT = 1.5
"""How far a row's farthest value may be from the floor's, in steps of the 8-bit depth image."""
LEAST_SUPPORT = 0.2
"""Share of the rows that must agree on a floor."""


@dataclass(frozen=True)
class FloorFit:
    """A camera over a floor, as read from one depth image.

    Attributes:
        pitch: the camera's angle below the horizon, in radians.
        offset: what is added to the depth image's value before scaling (its unknown zero).
        scale: camera heights per unit of the depth image.
        support: share of the image's rows that show the floor, 0 where no floor was found.
    """

    pitch: float
    offset: float
    scale: float
    support: float

    def points(
        self, values: np.ndarray, slope_x: np.ndarray, slope_y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where pixels are: to the right, ahead and above the floor, each in camera heights.

        Args:
            values: depth image values, `[pixels]`.
            slope_x, slope_y: the pixels' viewing slopes right and down, `[pixels]`.
        """
        z = (values + self.offset) * self.scale
        sine, cosine = np.sin(self.pitch), np.cos(self.pitch)
        ahead = z * (cosine - slope_y * sine)
        above = 1.0 - z * (slope_y * cosine + sine)
        return slope_x * z, ahead, above


NO_FLOOR = FloorFit(0.0, 0.0, 0.0, 0.0)


def pixel_slopes(height: int, width: int, field_of_view: float) -> tuple[np.ndarray, np.ndarray]:
    """Viewing slopes of columns `[width]` and rows `[height]` for a horizontal field of view in degrees."""
    focal = width / 2 / np.tan(np.radians(field_of_view) / 2)
    columns = (np.arange(width) + 0.5 - width / 2) / focal
    rows = (np.arange(height) + 0.5 - height / 2) / focal
    return columns.astype(np.float32), rows.astype(np.float32)


def fit_floor(depth: np.ndarray, field_of_view: float) -> FloorFit:
    """Fit the floor to a depth image `[height, width]` (brighter is farther, any scale).

    Rows where a wall or an object hides the whole floor are left out as they turn out not to fit. Returns
    `NO_FLOOR` where fewer than a fifth of the rows agree on one.
    """
    height, width = depth.shape
    _, slopes = pixel_slopes(height, width, field_of_view)
    # The second percentile from above instead of the farthest pixel: one noisy pixel must not move a row.
    farthest = np.partition(depth, int(width * 0.98) - 1, axis=1)[:, int(width * 0.98) - 1].astype(np.float64)
    # The floor fills the lower rows; how far up it reaches differs, so that several beginnings are tried.
    fits = [_grow_floor(farthest, slopes, round(height * share)) for share in (0.3, 0.5, 0.65, 0.78)]
    return max(fits, key=lambda fit: fit.support)


def _grow_floor(farthest: np.ndarray, slopes: np.ndarray, first_row: int) -> FloorFit:
    """Fit the rows from `first_row` down, then again and again the rows that agree with the last fit."""
    height = len(farthest)
    chosen = np.arange(height) >= first_row
    best = NO_FLOOR
    for _ in range(6):
        m, y = farthest[chosen], slopes[chosen].astype(np.float64)
        solution, *_ = np.linalg.lstsq(np.stack([-m, -y, np.ones_like(m)], axis=1), m * y, rcond=None)
        tangent, offset, constant = solution
        curvature = constant + offset * tangent
        pitch = float(np.arctan(tangent))
        if curvature <= 0 or not 0.05 < pitch < 1.5:
            break
        # Back to the image's own unit: how far each row's farthest value is from the fitted floor.
        below_horizon = slopes + tangent
        expected = curvature / np.maximum(below_horizon, 1e-3) - offset
        agree = (np.abs(farthest - expected) < AGREEMENT) & (below_horizon > 1e-3)
        support = float(agree.mean())
        if support < LEAST_SUPPORT:
            break
        if support > best.support:
            best = FloorFit(pitch, float(offset), float(1.0 / (curvature * np.cos(pitch))), support)
        if np.array_equal(agree, chosen):
            break
        chosen = agree
    return best
