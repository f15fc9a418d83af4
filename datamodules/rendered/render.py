"""From a scene to its pictures: colour, depth, and which object every pixel shows."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from datamodules.rendered.meshes import Placed, collect_boxes
from datamodules.rendered.objects import building
from datamodules.rendered.raycast import RayCaster, depth_picture, label_image
from datamodules.rendered.scene import CEILING_M, Scene
from datamodules.rendered.shading import Shader

CONTRAST = 0.08
"""A pixel that differs from a neighbour by more than this (0..1) is drawn again with more rays."""

SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))
"""Where the additional rays of a pixel pass, in pixels from its centre (a rotated grid)."""


class Rendering:
    """The pictures of one scene; colour is only computed when it is asked for."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        objects = [
            Placed(thing.parts, thing.x, thing.y, thing.yaw, index)
            for index, thing in enumerate(scene.objects)
        ]
        objects.append(Placed(building(*scene.room, CEILING_M), 0.0, 0.0, 0.0, -1))
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

    def depth_picture(self) -> np.ndarray:
        """The depth scaled to the whole range of uint8, `[height, width]`; brighter is farther."""
        return depth_picture(self.depths)

    def colour_picture(self) -> np.ndarray:
        """The colours of all pixels, uint8 `[height, width, 3]`."""
        height, width = self._shape
        camera = self.scene.camera
        shader = Shader(self.scene, self._caster)
        colours = np.sqrt(shader.colours(self._surface, self._shape))
        jagged = _jagged(colours.reshape(height, width, 3)).ravel().nonzero()[0]
        rows, columns = np.divmod(jagged, width)
        shifts = np.array(SUBPIXELS)
        directions = camera.directions(
            (columns + 0.5 + shifts[:, :1]).ravel(), (rows + 0.5 + shifts[:, 1:]).ravel()
        )
        finer = np.sqrt(shader.colours(self._caster.cast(camera.position, directions)))
        colours[jagged] = finer.reshape(len(shifts), -1, 3).mean(axis=0)
        return _developed(colours.reshape(height, width, 3), self.scene.texture_seed)


def _jagged(colours: np.ndarray) -> np.ndarray:
    """Which pixels `[height, width]` differ strongly from the next one in their row or column."""
    brightness = colours.sum(axis=2) / 3
    found = np.zeros(brightness.shape, dtype=bool)
    across = np.abs(np.diff(brightness, axis=1)) > CONTRAST
    along = np.abs(np.diff(brightness, axis=0)) > CONTRAST
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= along
    found[:-1] |= along
    return found


def _developed(colours: np.ndarray, seed: int) -> np.ndarray:
    """Darker corners and sensor noise, then uint8; takes and gives `[height, width, 3]`."""
    height, width, _ = colours.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)
    vignette = 1 - 0.09 * (x * x + y * y)
    grain = np.random.default_rng(seed).standard_normal((height, width), dtype=np.float32) * np.float32(2.0)
    bright = colours * (vignette * 255)[..., None] + grain[..., None]
    return np.clip(bright, 0, 255).astype(np.uint8)
