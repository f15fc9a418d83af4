"""Ray casting: which surface every ray meets, and from that the depth image and the visible masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from datamodules.rendered.meshes import Boxes, Material


@dataclass(frozen=True)
class Surface:
    """What n rays met first.

    Attributes:
        depths: planar depth along the optical axis, `[n]` metres.
        boxes: index of the box met, `[n]`.
        faces: face of that box, `[n]`, in the order -x, +x, -y, +y, -z, +z of its own frame.
        points: where it was met, `[n, 3]` metres.
    """

    depths: np.ndarray
    boxes: np.ndarray
    faces: np.ndarray
    points: np.ndarray

    def at(self, where: np.ndarray) -> Surface:
        """The same of some of the rays, by their numbers `[m]`."""
        points = np.take(self.points, where, axis=0)
        return Surface(self.depths[where], self.boxes[where], self.faces[where], points)


class RayCaster:
    """The boxes of one scene, ready to be hit by rays."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self._scene = EmbreeScene()
        # The scene does not keep its mesh alive by itself.
        self._mesh = TriangleMesh(self._scene, boxes.vertices(), boxes.triangles())

    def cast(self, origin: np.ndarray, directions: np.ndarray) -> Surface:
        """Follow rays `[n, 3]` from one origin `[3]` to the first surface; the building is closed."""
        origins = np.ascontiguousarray(np.broadcast_to(origin, directions.shape))
        hits = self._scene.run(origins, directions, output=1)
        triangles, depths = hits["primID"], hits["tfar"]
        boxes, within = np.divmod(triangles.astype(np.intp), 12)
        return Surface(depths, boxes, within >> 1, origin + directions * depths[:, None])

    def lit(self, points: np.ndarray, normals: np.ndarray, lamps: np.ndarray) -> np.ndarray:
        """Which points `[n, 3]` with outward normals `[n, 3]` see their lamps `[n, 3]`, as booleans `[n]`."""
        # Start a little outside the surface, so that no point shades itself.
        starts = points + normals * np.float32(0.004)
        return (
            self._scene.run(starts, lamps - starts, np.ones(len(points), np.float32), query="OCCLUDED") != 0
        )


def label_image(
    surface: Surface, boxes: Boxes, floor_regions: Sequence[tuple[int, tuple[float, float, float, float]]]
) -> np.ndarray:
    """The object seen by every ray, `[n]`: an index, or -1 for the building.

    Args:
        surface: what the rays met.
        boxes: the boxes of the scene.
        floor_regions: regions painted on the floor: object index and least x, least y, most x, most y in
            metres. Their pixels are those of bare floor inside the rectangle.
    """
    labels = boxes.owners[surface.boxes]
    floor = np.flatnonzero(boxes.materials[surface.boxes] == Material.CONCRETE)
    x, y = surface.points[floor, 0], surface.points[floor, 1]
    for index, (left, near, right, far) in floor_regions:
        labels[floor[(x >= left) & (x <= right) & (y >= near) & (y <= far)]] = index
    return labels


def depth_image(depths: np.ndarray) -> np.ndarray:
    """Planar depths `[height, width]` in metres as uint8: the nearest becomes 0, the farthest 255."""
    nearest, farthest = float(depths.min()), float(depths.max())
    return np.rint((depths - nearest) * (255.0 / max(farthest - nearest, 1e-6))).astype(np.uint8)
