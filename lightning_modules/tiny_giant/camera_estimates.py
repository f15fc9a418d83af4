"""A camera's roll and field of view, read from one depth image of unknown scale and offset.

The floor tells the roll: there `(m + offset) (a x + b y + d) = 1` for the image's value m and slopes x and y,
and the roll is the angle of `(a, b)`, whatever the focal length. It tells the depth's offset as well, but no
field of view. That takes a second plane: what stands upright is at right angles to the floor, and of all
focal lengths only one makes it so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from lightning_modules.tiny_giant.floor_fit import FloorFit, fit_floor

USUAL_DEG = 70.0
"""The field of view in which slopes are counted before it is known, in degrees."""
AGREEMENT = (5.0, 3.0, 2.0, 1.2, 1.2, 1.2)
"""How far a pixel may be from the floor in each pass, in steps of the depth image; more where it is noisy."""
STRIPS = (1 / 3, 1 / 6, 1 / 2, 0.0, 2 / 3)
"""Where the thirds of the image begin in which a floor without roll is looked for, as shares of its width."""
LEAST_SUPPORT = 0.1
"""Share of the pixels that must show the floor."""
WINDOWS = (9, 13, 19, 27, 39)
"""Widths of the windows in which planes are looked for, in pixels of an image 480 pixels wide."""
LEAST_STEPS = 3.0
"""By how many steps of the 8-bit depth image a window must slope."""
ROUNDING = 0.29
"""Noise of an exact depth that is rounded to 8 bits, root mean square, in steps."""
MOST_NOISE = 6.0
"""With more noise than this, in the same steps, what was fitted is no floor."""
FLAT = 1.45
"""How far from a plane a window's values may be, root mean square, in units of the floor's noise."""
FIELDS_OF_VIEW_DEG = (45.0, 110.0)
"""Fields of view that are believed, in degrees."""
LEAST_ERROR = 0.05
"""No window counts as more exact than this, relative: it may show two surfaces."""
LEAST_WINDOWS = 8
"""Fewest upright windows that a field of view is taken from."""
CELLS = 8
"""Into so many rows and columns an image is cut to see how much its parts differ: windows overlap."""
RESAMPLINGS = 100


@dataclass(frozen=True)
class RolledFloor:
    """The floor of a depth image.

    Attributes:
        right: how the floor's inverse depth grows to the right, where it grows by 1 downwards.
        level: the same inverse depth in the middle of the image; both for slopes at `USUAL_DEG`.
        offset: what is added to the image's values before scaling.
        roll_deg: the camera's roll in degrees; positive where its right side is lower.
        roll_error_deg: standard error of the roll, in degrees.
        support: share of the pixels that show the floor.
        noise: how far the floor's pixels are from it, root mean square, in steps of the depth image.
        covariance: of right, level and offset, `[3, 3]`.
    """

    right: float
    level: float
    offset: float
    roll_deg: float
    roll_error_deg: float
    support: float
    noise: float
    covariance: np.ndarray = field(compare=False, repr=False)


@dataclass(frozen=True)
class FieldOfView:
    """A horizontal field of view.

    Attributes:
        degrees: angle between the left and the right border of the image.
        error_deg: its standard error over the upright surfaces, in degrees.
        windows: how many windows on upright surfaces it was taken from.
    """

    degrees: float
    error_deg: float
    windows: int


def fit_rolled_floor(depth: np.ndarray) -> RolledFloor | None:
    """Fit the floor to a depth image `[height, width]` of 8 bits; None where too little of it is seen.

    Begins with fits without roll in thirds of the image, where a roll does little, until one can be grown.
    """
    x, y, values = _slopes_and_values(depth)
    width = depth.shape[1]
    tangent = np.tan(np.radians(USUAL_DEG) / 2)
    for left in STRIPS:
        strip = depth[:, round(left * width) : round((left + 1 / 3) * width)]
        start = fit_floor(strip, float(np.degrees(2 * np.arctan(tangent * strip.shape[1] / width))))
        if start.support > 0:
            near = np.abs(x - (2 * left - 2 / 3) * tangent) < tangent / 2
            floor = _grow(x, y, values, start, near)
            if floor is not None:
                return floor
    return None


def _grow(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, start: FloorFit, chosen: np.ndarray
) -> RolledFloor | None:
    """Fit the floor with its roll to chosen pixels, then again and again to all that agree with it."""
    # (m + offset) (y + right x + level) = product
    product = 1 / (start.scale * np.cos(start.pitch))
    solution = np.array([0.0, np.tan(start.pitch), start.offset, product])
    covariance, agree, noise = np.zeros((4, 4)), chosen, ROUNDING
    for step, tolerance in enumerate(AGREEMENT):
        below = np.maximum(y + solution[0] * x + solution[1], 1e-3)
        residual = values - (solution[3] / below - solution[2])
        agree = (np.abs(residual) < max(tolerance, 4 * noise)) & (below > 0.05)
        if step == 0:
            agree &= chosen
        if agree.mean() < LEAST_SUPPORT / (4 if step == 0 else 1):
            return None
        near = below[agree]
        slope = -solution[3] / near**2
        table = np.stack([slope * x[agree], slope, -np.ones_like(near), 1 / near], axis=1)
        change, *_ = np.linalg.lstsq(table, residual[agree], rcond=None)
        solution = solution + change
        covariance = np.linalg.pinv(table.T @ table) * residual[agree].var()
        # The median takes what stands on the floor for no noise.
        noise = max(ROUNDING, 1.48 * float(np.median(np.abs(residual[agree] - table @ change))))
        if noise > MOST_NOISE:
            return None
    right, level, offset, _ = solution.tolist()
    error = float(np.sqrt(covariance[0, 0]) / (1 + right**2))
    roll, error = np.degrees([np.arctan(right), error]).tolist()
    return RolledFloor(right, level, offset, roll, error, float(agree.mean()), noise, covariance[:3, :3])


def _slopes_and_values(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes right and down at `USUAL_DEG`, and values, of about 20,000 pixels."""
    height, width = depth.shape
    stride = max(1, round((height * width / 20_000) ** 0.5))
    rows, columns = np.mgrid[0:height:stride, 0:width:stride].reshape(2, -1)
    focal = width / 2 / np.tan(np.radians(USUAL_DEG) / 2)
    x, y = (columns + 0.5 - width / 2) / focal, (rows + 0.5 - height / 2) / focal
    return x, y, depth[rows, columns].astype(np.float64)


def estimate_field_of_view(depth: np.ndarray, floor: RolledFloor) -> FieldOfView | None:
    """The field of view at which what stands upright is at right angles to the floor.

    None where too little stands upright. Its error is how far the image's parts differ, and what comes of the
    floor's own error.

    Args:
        depth: the depth image `[height, width]` of 8 bits.
        floor: the floor in it.
    """
    values, weights, cells = _windows(depth, floor)
    if len(values) < LEAST_WINDOWS:
        return None
    there, cells = np.unique(cells, return_inverse=True)
    even = np.full(len(there), 1 / len(there))
    times = np.random.default_rng(0).multinomial(len(there), even, RESAMPLINGS)
    degrees = _degrees(_centre(values, weights))
    parts = float(np.std([_degrees(_centre(values, weights * each[cells])) for each in times]))
    squares = [parts**2]
    # One standard error along each axis of what the floor may be.
    lengths, axes = np.linalg.eigh(floor.covariance)
    for right, level, offset in (axes * np.sqrt(np.maximum(lengths, 0))).T.tolist():
        other = replace(
            floor, right=floor.right + right, level=floor.level + level, offset=floor.offset + offset
        )
        moved, weighed, _ = _windows(depth, other)
        if len(moved):
            squares.append((_degrees(_centre(moved, weighed)) - degrees) ** 2)
    return FieldOfView(degrees, float(np.sqrt(sum(squares))), len(values))


def _windows(depth: np.ndarray, floor: RolledFloor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithm of the square that each window says, its weight and its cell, `[windows]`."""
    squares, errors, cells = np.concatenate(list(_ratios(depth, floor))).T
    return np.log(squares), 1 / (errors**2 + LEAST_ERROR**2), cells.astype(int)


def _degrees(log: float) -> float:
    """The field of view for the logarithm of a square of slopes over those at `USUAL_DEG`."""
    return float(2 * np.degrees(np.arctan(np.tan(np.radians(USUAL_DEG) / 2) * np.exp(log / 2))))


def _centre(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted median."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _ratios(depth: np.ndarray, floor: RolledFloor) -> Iterator[np.ndarray]:
    """What upright windows say, `[windows, 3]`.

    The square of the true slopes over those at `USUAL_DEG`, its relative error, and the window's cell.
    """
    height, width = depth.shape
    focal = width / 2 / np.tan(np.radians(USUAL_DEG) / 2)
    shifted = depth + floor.offset
    inverse = 1 / np.maximum(shifted, 1.0)
    least, most = (
        (np.tan(np.radians(each) / 2) / np.tan(np.radians(USUAL_DEG) / 2)) ** 2 for each in FIELDS_OF_VIEW_DEG
    )
    rows = (np.arange(height) + 0.5 - height / 2) / focal
    columns = (np.arange(width) + 0.5 - width / 2) / focal
    for window in WINDOWS:
        size = max(5, round(window * width / 480) | 1)
        steps = (np.arange(size) - size // 2) / focal
        moment = float((steps**2).sum() * size)
        mean = ndimage.uniform_filter(inverse, size)
        along = ndimage.correlate1d(ndimage.uniform_filter1d(inverse, size, 0) * size, steps, 1) / moment
        down = ndimage.correlate1d(ndimage.uniform_filter1d(inverse, size, 1) * size, steps, 0) / moment
        spread = ndimage.uniform_filter(inverse**2, size) - mean**2
        left = np.maximum(spread - (along**2 + down**2) * moment / size**2, 0)
        here = (
            slice(size // 2, height - size // 2, size // 2),
            slice(size // 2, width - size // 2, size // 2),
        )
        a, b, w = along[here], down[here], mean[here]
        away = np.sqrt(left[here]) / w**2  # in steps of the image
        level = w - a * columns[here[1]] - b * rows[here[0], None]
        slope = np.hypot(a, b) * (size - 1) / focal / w**2
        # The normals at a slope's true scale t: (a / t, b / t, level); the floor's (right, 1, floor.level).
        across = floor.right * a + b
        with np.errstate(divide="ignore", invalid="ignore"):
            square = -across / (floor.level * level)
            noise = floor.noise * w**2 / np.sqrt(moment)
            error = noise * np.hypot(1 / across, np.hypot(columns[here[1]], rows[here[0], None]) / level)
        good = (
            (away < FLAT * floor.noise)
            & (slope > LEAST_STEPS)
            & (square > least)
            & (square < most)
            & (error < 0.3)
        )
        cell_rows, cell_columns = (np.arange(count) * CELLS // count for count in square.shape)
        cells = np.broadcast_to(cell_rows[:, None] * CELLS + cell_columns, square.shape)
        yield np.stack([square[good], error[good], cells[good]], axis=1)
