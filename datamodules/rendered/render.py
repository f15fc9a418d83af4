"""From a scene to its images: colour, depth, and which object every pixel shows."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from datamodules.rendered.meshes import Placed, collect_boxes
from datamodules.rendered.objects import building
from datamodules.rendered.raycast import RayCaster, depth_image, label_image
from datamodules.rendered.scene import Scene
from datamodules.rendered.shading import Shader
from datamodules.rendered.tone_mapping import SUBPIXELS, developed, jagged


class Rendering:
    """The images of one scene; colour is only computed when it is asked for."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        objects = [
            Placed(thing.parts, thing.x, thing.y, thing.yaw, index)
            for index, thing in enumerate(scene.objects)
        ]
        walls = building(*scene.room, scene.variation.ceiling_m, scene.variation.floor)
        objects.append(Placed(walls, 0.0, 0.0, 0.0, -1))
        self._caster = RayCaster(collect_boxes(objects))
        camera = scene.camera
        self._surface = self._caster.cast(camera.position, camera.pixel_directions())
        self._shape = (camera.height, camera.width)

    @cached_property
    def labels(self) -> np.ndarray:
        """Index of the object that every pixel shows, or -1 for the building, `[height, width]`."""
        flat = label_image(self._surface, self._caster.boxes, self.scene.floor_regions())
        return flat.reshape(self._shape)

    @property
    def depths(self) -> np.ndarray:
        """Planar depth of every pixel, `[height, width]` in metres."""
        return self._surface.depths.reshape(self._shape)

    def depth_image(self) -> np.ndarray:
        """The depth scaled to the whole range of uint8, `[height, width]`; brighter is farther."""
        return depth_image(self.depths)

    def colour_image(self) -> np.ndarray:
        """The colours of all pixels, uint8 `[height, width, 3]`."""
        height, width = self._shape
        camera = self.scene.camera
        shader = Shader(self.scene, self._caster)
        colours = np.sqrt(shader.colours(self._surface, self._shape))
        uneven = jagged(colours.reshape(height, width, 3)).ravel().nonzero()[0]
        rows, columns = np.divmod(uneven, width)
        shifts = np.array(SUBPIXELS)
        directions = camera.directions(
            (columns + 0.5 + shifts[:, :1]).ravel(), (rows + 0.5 + shifts[:, 1:]).ravel()
        )
        finer = np.sqrt(shader.colours(self._caster.cast(camera.position, directions)))
        colours[uneven] = finer.reshape(len(shifts), -1, 3).mean(axis=0)
        return developed(colours.reshape(height, width, 3), self.scene.texture_seed)
