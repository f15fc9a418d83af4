"""The solids that objects of rooms and yards are built from, and their way into one triangle mesh.

Every solid is a unit mesh (reaching from -1 to 1 on all three axes) that is stretched, turned and moved. Its
corners carry normals, so that round solids look round although they are made of flat triangles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import NamedTuple

import numpy as np

SIDES = 20
"""Number of flat sides of everything round about an axis."""


class Shape(IntEnum):
    """The form of a solid."""

    BOX = 0
    CYLINDER = 1
    CONE = 2
    TAPERED = 3
    """Round, with the upper end 0.6 times as wide as the lower one."""
    FLARED = 4
    """Round, with the lower end 0.7 times as wide as the upper one."""
    SPHERE = 5
    CABIN = 6
    """A box whose upper face is shorter, as the windows of a car."""
    BLOB = 7
    """A sphere with few faces, for small or irregular things."""


class Finish(IntEnum):
    """How the surface of a solid is painted."""

    MATT = 0
    GLOSSY = 1
    WOOD = 2
    FABRIC = 3
    LEAVES = 4
    CARTON = 5
    SEGMENTS = 6
    """White segments about the vertical, as on a beach ball."""
    GLOWING = 7
    WALLPAPER = 8
    FENCE = 9
    PARQUET = 10
    TILES = 11
    CARPET = 12
    GRASS = 13
    ASPHALT = 14
    PAVING = 15
    BANDED = 16
    """Two white bands about the vertical, as on a traffic cone."""


GROUNDS = tuple(range(Finish.PARQUET, Finish.PAVING + 1))
"""The finishes of floors."""


class Solid(NamedTuple):
    """One solid in the frame of the object it belongs to.

    `center` and `size` are x, y, z in metres; `colour` is sRGB from 0 to 1; `turn` is about the vertical, in
    radians; `axis` is the one (0, 1 or 2) that the solid's own upright axis lies along.
    """

    shape: Shape
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    finish: Finish
    colour: tuple[float, float, float]
    turn: float = 0.0
    axis: int = 2


class Placed(NamedTuple):
    """The solids of one object, and where it stands: floor position in metres, yaw in radians.

    `z` is how high above the floor it stands or hangs, in metres.
    """

    parts: Sequence[Solid]
    x: float
    y: float
    yaw: float
    owner: int
    z: float = 0.0


@cache
def unit_mesh(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Corners and outward normals of the triangles of a unit solid, both `[triangles, 3, 3]`."""
    import trimesh

    if shape in (Shape.SPHERE, Shape.BLOB):
        ball = trimesh.creation.icosphere(subdivisions=2 if shape is Shape.SPHERE else 1)
        corners = np.asarray(ball.triangles)
        return corners.astype(np.float32), corners.astype(np.float32)
    if shape in (Shape.BOX, Shape.CABIN):
        mesh = trimesh.creation.box(extents=(2, 2, 2))
        top, bottom = ((0.62, 0.86) if shape is Shape.CABIN else (1.0, 1.0)), (1.0, 1.0)
    else:
        mesh = trimesh.creation.cylinder(radius=1, height=2, sections=SIDES)
        narrow = {Shape.CONE: 0.02, Shape.TAPERED: 0.6}.get(shape, 1.0)
        top, bottom = (narrow, narrow), ((0.7, 0.7) if shape is Shape.FLARED else (1.0, 1.0))
    corners = np.array(mesh.triangles)
    flat = np.asarray(mesh.face_normals)
    upper = corners[..., 2] > 0
    for axis in (0, 1):
        corners[..., axis] *= np.where(upper, top[axis], bottom[axis])
    if shape in (Shape.BOX, Shape.CABIN):
        edges = corners[:, 1:] - corners[:, :1]
        normals = np.repeat(np.cross(edges[:, 0], edges[:, 1])[:, None], 3, axis=1)
    else:
        # The side leans by the difference of its radii over its height of two.
        lean = (bottom[0] - top[0]) / 2
        radial = np.asarray(mesh.triangles) * (1, 1, 0) + (0, 0, lean)
        is_cap = np.abs(flat[:, 2]) > 0.9
        normals = np.where(is_cap[:, None, None], flat[:, None], radial)
    return corners.astype(np.float32), normals.astype(np.float32)


@dataclass(frozen=True)
class Solids:
    """All solids of a scene in the world frame: m triangles and n solids.

    Attributes:
        corners: of all triangles, `[m, 3, 3]` metres.
        normals: outward at these corners, `[m, 3, 3]`, of any length.
        solids: the solid that a triangle belongs to, `[m]`.
        centers: of the solids, `[n, 3]` metres.
        halves: half of their sizes, `[n, 3]` metres.
        cosines: of the turn about the vertical, `[n]`.
        sines: of the same turn, `[n]`.
        finishes: `[n]` values of `Finish`.
        colours: linear light 0..1, `[n, 3]`.
        owners: index of the object a solid belongs to, or -1 for the surroundings, `[n]`.
    """

    corners: np.ndarray
    normals: np.ndarray
    solids: np.ndarray
    centers: np.ndarray
    halves: np.ndarray
    cosines: np.ndarray
    sines: np.ndarray
    finishes: np.ndarray
    colours: np.ndarray
    owners: np.ndarray


def collect_solids(objects: Iterable[Placed]) -> Solids:
    """Move the parts of all objects into the world frame."""
    parts = [(placed, part) for placed in objects for part in placed.parts]
    yaws = np.array([placed.yaw for placed, _ in parts])
    local = np.array([part.center for _, part in parts])
    places = np.array([(placed.x, placed.y, placed.z) for placed, _ in parts])
    centers = _turned(local, np.cos(yaws), np.sin(yaws)) + places
    turns = yaws + np.array([part.turn for _, part in parts])
    halves = np.array([part.size for _, part in parts]) / 2
    corners, normals, counts = [], [], []
    for (_, part), half in zip(parts, halves, strict=True):
        positions, directions = unit_mesh(part.shape)
        if part.axis != 2:
            # The upright axis goes to `axis`; the other two follow in their cyclic order.
            positions, directions = (
                np.roll(array, part.axis - 2, axis=-1) for array in (positions, directions)
            )
        corners.append(positions * half)
        normals.append(directions / half)
        counts.append(len(positions))
    solids = np.repeat(np.arange(len(parts)), counts)
    cosines, sines = np.cos(turns), np.sin(turns)
    cosine, sine = cosines[solids, None], sines[solids, None]
    return Solids(
        corners=(_turned(np.concatenate(corners), cosine, sine) + centers[solids, None]).astype(np.float32),
        normals=_turned(np.concatenate(normals), cosine, sine).astype(np.float32),
        solids=solids,
        centers=centers.astype(np.float32),
        halves=halves.astype(np.float32),
        cosines=cosines.astype(np.float32),
        sines=sines.astype(np.float32),
        finishes=np.array([part.finish for _, part in parts], dtype=np.int8),
        colours=np.array([part.colour for _, part in parts], dtype=np.float32) ** 2.2,
        owners=np.array([placed.owner for placed, _ in parts], dtype=np.int32),
    )


def _turned(points: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Points `[..., 3]` turned about the vertical by angles whose shape fits `[...]`."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x * cosine - y * sine, x * sine + y * cosine, z], axis=-1)


def scaled(parts: Iterable[Solid], factor: float) -> tuple[Solid, ...]:
    """The parts of an object that is smaller or larger by a factor in all directions."""
    return tuple(
        part._replace(
            center=(part.center[0] * factor, part.center[1] * factor, part.center[2] * factor),
            size=(part.size[0] * factor, part.size[1] * factor, part.size[2] * factor),
        )
        for part in parts
    )


def extent(parts: Sequence[Solid]) -> tuple[float, float, float]:
    """Length, width and height in metres of the box around parts that stand on the floor about the origin."""
    half_x = half_y = top = 0.0
    for part in parts:
        x, y, z = part.center
        length, width, height = part.size
        # What is round about the vertical stays as it is when it turns.
        is_round = part.shape not in (Shape.BOX, Shape.CABIN) and length == width
        turn = 0.0 if is_round else part.turn
        cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
        half_x = max(half_x, abs(x) + (length * cosine + width * sine) / 2)
        half_y = max(half_y, abs(y) + (length * sine + width * cosine) / 2)
        top = max(top, z + height / 2)
    return 2 * half_x, 2 * half_y, top
