"""From a room or yard to its images: colour, depth, and which object every pixel shows."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from datamodules.rendered.rooms.room_cast import RoomCaster
from datamodules.rendered.rooms.room_scene import RoomScene
from datamodules.rendered.rooms.room_shading import RoomShader
from datamodules.rendered.rooms.solids import Placed, collect_solids
from datamodules.rendered.rooms.surroundings import surroundings
from datamodules.rendered.tone_mapping import SUBPIXELS, developed, jagged

GRAIN = 1.2
"""Standard deviation of the sensor noise, of 255."""


class RoomRendering:
    """The images of one scene; colour is only computed when it is asked for."""

    def __init__(self, scene: RoomScene) -> None:
        self.scene = scene
        objects = [
            Placed(thing.parts, thing.x, thing.y, thing.yaw, index, thing.z)
            for index, thing in enumerate(scene.things)
        ]
        objects.append(Placed((*surroundings(scene), *scene.decor), 0.0, 0.0, 0.0, -1))
        self.solids = collect_solids(objects)
        self._caster = RoomCaster(self.solids)
        camera = scene.camera
        self._directions = camera.pixel_directions()
        self._hits = self._caster.cast(camera.position, self._directions)
        self._shape = (camera.height, camera.width)

    @cached_property
    def labels(self) -> np.ndarray:
        """Index of the object that every pixel shows, or -1, `[height, width]`."""
        solids = self._hits.solids
        return np.where(solids >= 0, self.solids.owners[solids], -1).reshape(self._shape)

    @property
    def depths(self) -> np.ndarray:
        """Planar depth of every pixel, `[height, width]` in metres; very large for the sky."""
        return self._hits.depths.reshape(self._shape)

    def colour_image(self) -> np.ndarray:
        """The colours of all pixels, uint8 `[height, width, 3]`."""
        height, width = self._shape
        camera = self.scene.camera
        shader = RoomShader(self.scene, self._caster)
        colours = np.sqrt(shader.colours(self._hits, self._directions, self._shape))
        uneven = jagged(colours.reshape(height, width, 3)).ravel().nonzero()[0]
        rows, columns = np.divmod(uneven, width)
        shifts = np.array(SUBPIXELS)
        directions = camera.directions(
            (columns + 0.5 + shifts[:, :1]).ravel(), (rows + 0.5 + shifts[:, 1:]).ravel()
        )
        finer = np.sqrt(shader.colours(self._caster.cast(camera.position, directions), directions))
        colours[uneven] = finer.reshape(len(shifts), -1, 3).mean(axis=0)
        return developed(colours.reshape(height, width, 3), self.scene.texture_seed, GRAIN)
