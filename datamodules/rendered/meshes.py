"""Everything in the warehouse is made of upright boxes; here they become arrays and one triangle mesh."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Material(IntEnum):
    """What a surface is made of: chooses how the shader paints it."""

    CONCRETE = 0
    WALL = 1
    CARTON = 2
    WOOD = 3
    PAINT = 4
    HAZARD = 5


class Box(NamedTuple):
    """An upright box in the frame of the object it belongs to.

    `center` and `size` are x, y, z in metres; `turn` is about the vertical, in radians; `colour` is sRGB
    from 0 to 1.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    material: Material
    colour: tuple[float, float, float]
    turn: float = 0.0


class Placed(NamedTuple):
    """The boxes of one object, and where the object stands: floor position in metres, yaw in radians."""

    parts: Sequence[Box]
    x: float
    y: float
    yaw: float
    owner: int


CORNERS = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=np.float32)
"""Signs of the eight corners of a box, `[8, 3]`."""

# Two triangles a face; faces in the order -x, +x, -y, +y, -z, +z, so that `triangle // 2` names the face.
FACES = np.array(
    [
        [[0, 1, 3], [0, 3, 2]],
        [[4, 6, 7], [4, 7, 5]],
        [[0, 4, 5], [0, 5, 1]],
        [[2, 3, 7], [2, 7, 6]],
        [[0, 2, 6], [0, 6, 4]],
        [[1, 5, 7], [1, 7, 3]],
    ],
    dtype=np.int32,
).reshape(12, 3)


@dataclass(frozen=True)
class Boxes:
    """All boxes of a scene in the world frame, as arrays of n rows.

    Attributes:
        centers: `[n, 3]` metres.
        halves: half of the sizes, `[n, 3]` metres.
        cosines: of the turn about the vertical, `[n]`.
        sines: of the same turn, `[n]`.
        materials: `[n]` values of `Material`.
        colours: linear light 0..1, `[n, 3]`.
        owners: index of the object a box belongs to, or -1 for the building, `[n]`.
    """

    centers: np.ndarray
    halves: np.ndarray
    cosines: np.ndarray
    sines: np.ndarray
    materials: np.ndarray
    colours: np.ndarray
    owners: np.ndarray

    def vertices(self) -> np.ndarray:
        """Corners of all boxes, `[n * 8, 3]` metres."""
        local = self.halves[:, None] * CORNERS
        x = local[..., 0] * self.cosines[:, None] - local[..., 1] * self.sines[:, None]
        y = local[..., 0] * self.sines[:, None] + local[..., 1] * self.cosines[:, None]
        return (np.stack([x, y, local[..., 2]], axis=-1) + self.centers[:, None]).reshape(-1, 3)

    def triangles(self) -> np.ndarray:
        """Corner numbers of all triangles, `[n * 12, 3]`: twelve a box, two a face."""
        first = np.arange(len(self.centers), dtype=np.int32)[:, None, None] * 8
        return (first + FACES).reshape(-1, 3)


def collect_boxes(objects: Iterable[Placed]) -> Boxes:
    """Move the parts of all objects into the world frame."""
    rows = []
    for placed in objects:
        cosine, sine = math.cos(placed.yaw), math.sin(placed.yaw)
        for (x, y, z), (length, depth, tall), material, (red, green, blue), turn in placed.parts:
            rows.append(
                (
                    placed.x + x * cosine - y * sine,
                    placed.y + x * sine + y * cosine,
                    z,
                    length / 2,
                    depth / 2,
                    tall / 2,
                    placed.yaw + turn,
                    material,
                    red,
                    green,
                    blue,
                    placed.owner,
                )
            )
    table = np.array(rows, dtype=np.float32)
    return Boxes(
        centers=table[:, 0:3],
        halves=table[:, 3:6],
        cosines=np.cos(table[:, 6]),
        sines=np.sin(table[:, 6]),
        materials=table[:, 7].astype(np.int8),
        colours=table[:, 8:11] ** 2.2,
        owners=table[:, 11].astype(np.int32),
    )
