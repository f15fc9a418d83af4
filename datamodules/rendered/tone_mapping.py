"""From linear colours to an image: which pixels need more rays, and what a sensor makes of the light."""

from __future__ import annotations

import numpy as np

CONTRAST = 0.08
"""A pixel that differs from a neighbour by more than this (0..1) is drawn again with more rays."""

SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))
"""Where the additional rays of a pixel pass, in pixels from its centre (a rotated grid)."""


def jagged(colours: np.ndarray) -> np.ndarray:
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


def developed(colours: np.ndarray, seed: int, grain: float = 2.0) -> np.ndarray:
    """Darker corners and sensor noise, then uint8; takes and gives `[height, width, 3]`.

    `grain` is the standard deviation of the noise, of 255.
    """
    height, width, _ = colours.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)
    vignette = 1 - 0.09 * (x * x + y * y)
    noise = np.random.default_rng(seed).standard_normal((height, width), dtype=np.float32) * np.float32(grain)
    bright = colours * (vignette * 255)[..., None] + noise[..., None]
    return np.clip(bright, 0, 255).astype(np.uint8)
