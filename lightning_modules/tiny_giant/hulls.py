"""What stands inside of a zone in the image: things by their feet, the zone by its convex hull.

A zone is a flat piece of the floor with straight sides, and so convex, which it is in a picture, too. What
stands on it hides a part of it; its hull is whole again. Nothing but masks is needed.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

FEET = 0.2
"""Share of a region's height, from its lower end, that is taken for what stands on the floor."""

STANDS_INSIDE = 0.3
"""So large a share of its feet has a thing inside of the hull of what it stands on; the zone's front may hide
behind another thing."""

FEATURES = 4


def fill_hulls(masks: np.ndarray) -> np.ndarray:
    """The convex hulls of boolean masks `[regions, height, width]`; a line or a point is its own."""
    # Loaded late: whoever only computes with the network needs no scipy.
    from scipy.spatial import ConvexHull, QhullError

    filled = masks.copy()
    height, width = masks.shape[1:]
    for index, mask in enumerate(masks):
        points = np.argwhere(_ends_of_rows(mask))[:, ::-1]
        try:
            corners = points[ConvexHull(points).vertices]
        except (QhullError, ValueError):
            continue
        image = Image.new("1", (width, height))
        ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners.tolist()], fill=1, outline=1)
        filled[index] = filled[index] | np.asarray(image)
    return filled


def feet(masks: np.ndarray) -> np.ndarray:
    """The lowest fifth of boolean masks `[regions, height, width]`."""
    rows = np.arange(masks.shape[1])
    in_rows = np.asarray(masks.any(2))
    top, bottom = in_rows.argmax(1), masks.shape[1] - 1 - in_rows[:, ::-1].argmax(1)
    low = rows >= (bottom - (bottom - top) * FEET).astype(int)[:, None]
    return masks & low[..., None]


def standing_relations(shares: np.ndarray) -> np.ndarray:
    """Numbers that say which regions stand inside of which, `[regions, regions, 4]`.

    Args:
        shares: of each region's feet inside of the hull of each other, `[regions, regions]`.

    Returns:
        the share, whether it is large enough, and both the other way round.
    """
    inside = (shares > STANDS_INSIDE).astype(np.float32)
    return np.stack([shares, inside, shares.T, inside.T], axis=-1)


def _ends_of_rows(mask: np.ndarray) -> np.ndarray:
    """The first and the last pixel of each row: no other can be a corner of the hull."""
    ends = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(1))
    ends[rows, mask[rows].argmax(1)] = True
    ends[rows, mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)] = True
    return ends
