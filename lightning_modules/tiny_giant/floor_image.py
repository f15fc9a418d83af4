"""The depth image as a picture of places: what each pixel's place over the floor is, in camera heights.

Raw depth has an unknown scale and grows towards the upper border whatever stands there. To the right, ahead
and above the floor are what things have by themselves, whichever way the camera looks: a network that sees
them need not undo the camera first. In the manner of HHA images (Gupta et al. 2014, section 3).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lightning_modules.tiny_giant.floor_fit import fit_floor, pixel_slopes

DepthEncoding = Literal["raw", "floor"]
"""What the depth backbone sees: the depth image, or that and the three maps of places over the floor."""

CHANNELS = {"raw": 1, "floor": 4}

RANGES = ((-4.0, 4.0), (0.0, 8.0), (-0.1, 1.5))
"""What black and white stand for in camera heights: to the right, ahead, and above the floor."""


def floor_image(depth: np.ndarray, field_of_view: float) -> np.ndarray:
    """Places over the floor, `[3, height, width]` in uint8: to the right, ahead, above, as `RANGES` has them.

    Args:
        depth: the depth image `[height, width]`, brighter is farther.
        field_of_view: the camera's horizontal field of view, in degrees.

    Returns:
        the three maps; black where no floor is found.
    """
    height, width = depth.shape
    floor = fit_floor(depth, field_of_view)
    if floor.support == 0:
        return np.zeros((3, height, width), np.uint8)
    columns, rows = pixel_slopes(height, width, field_of_view)
    places = floor.points(depth.astype(np.float32), columns[None], rows[:, None])
    scaled = [(place - low) / (high - low) * 255 for place, (low, high) in zip(places, RANGES, strict=True)]
    return np.clip(np.rint(np.stack(scaled)), 0, 255).astype(np.uint8)
