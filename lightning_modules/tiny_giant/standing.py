"""How much of a zone is hidden by what stands on it, whether a question names that or not.

A zone's hull without its visible pixels is where something stands. Into how many pieces that falls, how large
it is and how high, tells how many things there are, from masks and depth alone.
"""

from __future__ import annotations

import numpy as np

from lightning_modules.tiny_giant.floor_fit import FloorFit, pixel_slopes

FEATURES = 6

EDGE = 3
"""Neighbouring pixels that differ by more than this show different things, in steps of the 8-bit depth."""

LEAST_PIXELS = 8
"""Pieces up to this many pixels are left out: a hull's border hides no thing."""

PIECES, AREA, HEIGHT = 4.0, 0.06, 0.2
"""What numbers are divided by, so that they are near 1: pieces; a pallet's area, in squared camera heights,
and its height with what lies on it, in camera heights, where a camera hangs five metres high."""


NEAR_HORIZON = 0.1
"""Sine of the angle below the horizon from which on the floor counts: ten camera heights away."""

HIGHEST = 5.0
"""More than this many pallets' heights above the floor, or below it, are no measurement."""


def hiding_features(
    masks: np.ndarray, hulls: np.ndarray, depth: np.ndarray | None, floor: FloorFit, field_of_view: float
) -> np.ndarray:
    """Numbers that describe what hides a part of each region, `[regions, 6]`, zeros where no piece does.

    Args:
        masks: the regions' visible pixels, `[regions, height, width]`.
        hulls: their hulls, of the same shape.
        depth: the depth image `[height, width]`, brighter is farther, or None.
        floor: as fitted to it.
        field_of_view: the camera's horizontal field of view, in degrees.

    Returns:
        the pieces that it consists of in the image, the same where it is cut at edges of the depth, the share
        of the hull that it hides, the logarithms of the surface that is seen of it and of the floor that it
        hides, and its mean height above the floor; the second is 0 without depth, the last three are 0
        without a floor.
    """
    # Loaded late: whoever only computes with the network needs no scipy.
    from scipy.ndimage import find_objects

    features = np.zeros((len(masks), FEATURES), np.float32)
    _, height, width = masks.shape
    columns, rows = pixel_slopes(height, width, field_of_view)
    for index, (mask, hull) in enumerate(zip(masks, hulls, strict=True)):
        hidden = hull & ~mask
        if not hidden.any():
            continue
        (part,) = find_objects(hull.astype(np.int8))
        there = hidden[part]
        pieces = _pieces(there)
        if not pieces:
            continue
        features[index, 0] = pieces / PIECES
        features[index, 2] = there.sum() / hull.sum()
        if depth is None:
            continue
        values = depth[part].astype(np.float32)
        features[index, 1] = _pieces(there & ~_edges(values)) / PIECES
        if floor.support > 0:
            right, down = np.broadcast_arrays(columns[None, part[1]], rows[part[0], None])
            features[index, 3:] = _sizes(
                values[there], right[there], down[there], floor, columns[1] - columns[0]
            )
    return features


def _sizes(
    values: np.ndarray, right: np.ndarray, down: np.ndarray, floor: FloorFit, step: float
) -> list[float]:
    """Surface seen, floor hidden and mean height of pixels, from their depths and viewing slopes.

    A pixel at depth z along the camera's axis is z * step wide and high. Where it would show the floor, at
    the depth f, a step of the viewing slope goes f ** 2 ahead, by the derivative of the floor's equation in
    `floor_fit`, so that the pixel would show f ** 3 * step ** 2 of the floor.
    """
    seen = (values + floor.offset) * floor.scale
    below_horizon = down * np.cos(floor.pitch) + np.sin(floor.pitch)
    # Near the horizon and above it there is no floor to hide, or one that is too far to matter.
    at_floor = np.where(below_horizon > NEAR_HORIZON, 1.0 / np.maximum(below_horizon, NEAR_HORIZON), 0.0)
    _, _, above = floor.points(values, right, down)
    surface, hidden = (seen**2).sum() * step**2, (at_floor**3).sum() * step**2
    height = np.clip(above.mean() / HEIGHT, -HIGHEST, HIGHEST)
    return [float(np.log1p(surface / AREA)), float(np.log1p(hidden / AREA)), float(height)]


def _edges(values: np.ndarray) -> np.ndarray:
    """Pixels whose left or upper neighbour is of another thing, from depths `[height, width]`."""
    edges = np.zeros(values.shape, bool)
    edges[:, 1:] |= np.abs(np.diff(values, axis=1)) > EDGE
    edges[1:] |= np.abs(np.diff(values, axis=0)) > EDGE
    return edges


def _pieces(pixels: np.ndarray) -> int:
    """How many pieces of more than a few pixels boolean pixels `[height, width]` fall into."""
    from scipy.ndimage import label

    labels, _ = label(pixels)
    return int((np.bincount(labels.ravel())[1:] > LEAST_PIXELS).sum())
