"""Irregular textures that repeat without a seam, looked up by position."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

TEXTURE_SIZE = 512
CLOUDS, MOTTLES = 0, 1
"""The two textures: soft clouds, and fine mottles."""


@cache
def _noise() -> np.ndarray:
    """Two tileable textures around zero, `[2, size, size]`: soft clouds, and fine mottles."""
    white = np.random.default_rng(0).standard_normal((4, TEXTURE_SIZE, TEXTURE_SIZE)).astype(np.float32)

    def blurred(layer: int, sigma: float) -> np.ndarray:
        soft = ndimage.gaussian_filter(white[layer], sigma, mode="wrap")
        return soft / soft.std()

    clouds = 0.65 * blurred(0, 40) + 0.35 * blurred(1, 12)
    mottles = 0.6 * blurred(2, 2.5) + 0.4 * blurred(3, 0.8)
    return np.stack([clouds, mottles])


def look_up(layer: int, x: np.ndarray, y: np.ndarray, pixels_a_metre: float) -> np.ndarray:
    """A texture's values around zero at positions `[n]` in metres."""
    columns = (x * pixels_a_metre).astype(np.int32) & (TEXTURE_SIZE - 1)
    rows = (y * pixels_a_metre).astype(np.int32) & (TEXTURE_SIZE - 1)
    return _noise()[layer][rows, columns]
