"""Ray casting in rooms and yards: which solid every ray meets, where, and how its surface lies there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from datamodules.rendered.rooms.solids import Solids


@dataclass(frozen=True)
class Hits:
    """What n rays met first.

    Attributes:
        depths: planar depth along the optical axis, `[n]` metres; very large where nothing was met.
        solids: index of the solid met, `[n]`, or -1 where nothing was met.
        points: where it was met, `[n, 3]` metres.
        normals: outward unit vectors of the surface, `[n, 3]`.
    """

    depths: np.ndarray
    solids: np.ndarray
    points: np.ndarray
    normals: np.ndarray

    def at(self, where: np.ndarray) -> Hits:
        """The same of some of the rays, by their numbers `[m]`."""
        return Hits(*(np.take(array, where, axis=0) for array in vars(self).values()))


class RoomCaster:
    """The solids of one scene, ready to be hit by rays."""

    def __init__(self, solids: Solids) -> None:
        self.solids = solids
        self._scene = EmbreeScene()
        number = len(solids.corners) * 3
        # The scene does not keep its mesh alive by itself.
        self._mesh = TriangleMesh(
            self._scene, solids.corners.reshape(number, 3), np.arange(number, dtype=np.int32).reshape(-1, 3)
        )

    def cast(self, origin: np.ndarray, directions: np.ndarray) -> Hits:
        """Follow rays `[n, 3]` from one origin `[3]` to the first surface."""
        origins = np.ascontiguousarray(np.broadcast_to(origin, directions.shape))
        met = self._scene.run(origins, directions, output=1)
        triangles, depths = met["primID"], met["tfar"]
        at_corners = self.solids.normals[triangles]
        first, second = met["u"][:, None], met["v"][:, None]
        normals = (
            (1 - first - second) * at_corners[:, 0] + first * at_corners[:, 1] + second * at_corners[:, 2]
        )
        normals /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normals, normals)), 1e-9)[:, None]
        solids = np.where(triangles >= 0, self.solids.solids[triangles], -1)
        return Hits(depths, solids, origin + directions * depths[:, None], normals)

    def lit(self, hits: Hits, lamps: np.ndarray) -> np.ndarray:
        """Which points see their lamps `[n, 3]`, as booleans `[n]`."""
        # Start a little outside the surface, so that no point shades itself.
        starts = hits.points + hits.normals * np.float32(0.01)
        return (
            self._scene.run(starts, lamps - starts, np.ones(len(starts), np.float32), query="OCCLUDED") != 0
        )
