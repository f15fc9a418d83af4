"""The numbers that describe regions, from the pixels of each one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

FAR = 8.0


def at(values: Any, *shares: float) -> list[float]:
    """The values below which these shares of them lie."""
    ordered = sorted(map(float, values))
    return [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in shares]


def filled(mask: np.ndarray) -> np.ndarray:
    """Each row from its first to its last pixel."""
    result = np.zeros_like(mask)
    for row, columns in enumerate(map(np.flatnonzero, mask)):
        if len(columns):
            result[row, columns[0] : columns[-1] + 1] = True
    return result


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom as shares of the image."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height


def mask_features(mask: np.ndarray, depth: np.ndarray) -> list[float]:
    left, top, right, bottom = box_of(mask)
    rows, columns = np.nonzero(mask)
    area = mask.mean()
    edges = [low <= 0.004 or high >= 0.996 for low, high in ((left, right), (top, bottom))]
    return [
        *(left + right - 1, top + bottom - 1, right - left, bottom - top),
        *(2 * columns.mean() / mask.shape[1] - 1, 2 * rows.mean() / mask.shape[0] - 1),
        *(3 * math.sqrt(area), math.log(area + 1e-5) / 4 + 1, area / ((right - left) * (bottom - top))),
        *at(depth[mask] / 255, 0.1, 0.5, 0.9),
        *map(float, edges),
    ]


def on_the_floor(mask: np.ndarray, depth: np.ndarray, fit: Any, degrees: float) -> np.ndarray:
    """Right, ahead and above of each pixel in camera heights: its ray, turned up by the camera's pitch."""
    height, width = mask.shape
    focal = width / 2 / math.tan(math.radians(degrees / 2))
    turn = np.array([[math.cos(fit.pitch), -math.sin(fit.pitch)], [math.sin(fit.pitch), math.cos(fit.pitch)]])
    points = []
    for row, column in np.argwhere(mask):
        z = (float(depth[row, column]) + fit.offset) * fit.scale
        ahead, below = turn @ (z, z * (row + 0.5 - height / 2) / focal)
        points.append((z * (column + 0.5 - width / 2) / focal, ahead, 1 - below))
    return np.array(points)


def footprint(points: np.ndarray) -> tuple[float, float]:
    """The sides of the smallest rectangle, turned by tens of degrees, without a fiftieth at each end."""
    edge = max(1, len(points) // 50)
    sides: list[list[Any]] = []
    for degrees in range(0, 90, 10):
        axis = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
        both: list[Any] = [np.sort(points[:, :2] @ one) for one in (axis, np.array([-axis[1], axis[0]]))]
        sides.append([min(max(one[-1 - edge] - one[edge], 0), FAR) for one in both])
    short, long = min((sorted(pair) for pair in sides), key=lambda pair: float(np.prod(pair)))
    return long, short


def floor_features(points: np.ndarray, fit: Any) -> list[float]:
    x, z = (np.clip(at(points[:, axis], 0.03, 0.5, 0.97), -FAR, FAR) for axis in (0, 1))
    above = np.clip(at(points[:, 2], 0.05, 0.5, 0.97), -1, FAR)
    length, breadth = footprint(points)
    centre = ((x[0] + x[2]) / 2, (z[0] + z[2]) / 2)
    sizes = (length, breadth, math.sqrt(length * breadth))
    return [
        *(*centre, x[1], z[1], x[2] - x[0], z[2] - z[0]),
        *(math.log(size + 0.02) for size in sizes),
        *(*above, math.log(max(above[2], 0) + 0.02) / 2, (points[:, 2] < 0.06).mean()),
        *(math.hypot(*centre) / 2, fit.pitch, fit.support),
    ]


def mask_relation(one: np.ndarray, other: np.ndarray, depth: np.ndarray) -> list[float]:
    own, others = mask_features(one, depth), mask_features(other, depth)
    right, down = others[4] - own[4], others[5] - own[5]
    boxes = box_of(one), box_of(other)
    edges = [min(b[k + 2] for b in boxes) - max(b[k] for b in boxes) for k in (0, 1)]
    both = max(edges[0], 0) * max(edges[1], 0)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in boxes)
    return [
        *(right, down, math.tanh(10 * right)),
        *(filled(other)[one].mean(), filled(other)[base(one)].mean(), filled(one)[base(other)].mean()),
        *(both / (areas - both), others[10] - own[10], float(one is other)),
    ]


def base(mask: np.ndarray) -> np.ndarray:
    """The lowest third."""
    _, top, _, bottom = box_of(mask)
    rows = (np.arange(len(mask)) + 0.5) / len(mask)
    return mask & (rows > top + (bottom - top) * 2 / 3)[:, None]


def floor_relation(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Of two regions' numbers about the floor: between their centres, and between their middles."""
    right, ahead = other[0] - one[0], other[1] - one[1]
    middle = math.hypot(other[2] - one[2], other[3] - one[3])
    far = math.hypot(right, ahead)
    return [right, ahead, far, math.log(far + 0.05), math.log(middle + 0.05)]
