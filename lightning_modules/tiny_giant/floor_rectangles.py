"""Which rectangle of the floor a region covers, and how far inside of it another region stands.

In the image a tall thing before a zone hides a part of it, and one at its far edge seems to lie outside.
On the floor neither is so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ANGLES = np.radians(np.arange(0.0, 90.0, 5.0))
TRIMMED = 0.01
"""This share of a region's pixels beyond each side of its rectangle is left out: they lie on other things."""
LEAST_PIXELS = 12
FEATURES = 3
OUTSIDE = -8.0
"""How far inside of a region without a rectangle everything is, in camera heights."""


@dataclass(frozen=True)
class FloorRectangle:
    """A rectangle on the floor.

    Attributes:
        angle: of its first axis against the direction to the right, in radians.
        centre: along both axes, in camera heights.
        half: half of its extent along both axes, in camera heights.
    """

    angle: float
    centre: tuple[float, float]
    half: tuple[float, float]

    def margins(self, right: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """How far inside of the nearest side places are, negative outside, in camera heights, `[places]`."""
        along, across = _turned(right, ahead, self.angle)
        return np.minimum(
            self.half[0] - np.abs(along - self.centre[0]), self.half[1] - np.abs(across - self.centre[1])
        )


def rectangle_under(right: np.ndarray, ahead: np.ndarray) -> FloorRectangle | None:
    """The smallest rectangle under the pixels of a region; None of very few pixels.

    Args:
        right, ahead: where the pixels are on the floor, in camera heights, `[pixels]`.
    """
    if len(right) < LEAST_PIXELS:
        return None
    edge = max(1, int(len(right) * TRIMMED))
    both = np.concatenate(_turned(right[:, None], ahead[:, None], ANGLES), axis=1)
    ordered = np.partition(both, (edge, len(right) - 1 - edge), axis=0)
    low, high = ordered[edge], ordered[len(right) - 1 - edge]
    half, centre = (high - low).reshape(2, -1) / 2, (high + low).reshape(2, -1) / 2
    best = int(np.argmin(half[0] * half[1]))
    return FloorRectangle(float(ANGLES[best]), tuple(centre[:, best]), tuple(half[:, best]))


def inside_relations(places: np.ndarray, rectangles: Sequence[FloorRectangle | None]) -> np.ndarray:
    """Whether each region stands inside the rectangle of each other, `[regions, regions, 3]`.

    Args:
        places: where the regions stand on the floor: right and ahead, in camera heights, `[regions, 2]`.
        rectangles: what the regions cover there.

    Returns:
        the margin in tenths of a camera height, clipped, whether it is above 0, and it once more near 0.
    """
    count = len(places)
    margins = np.full((count, count), OUTSIDE, np.float32)
    for index, rectangle in enumerate(rectangles):
        if rectangle is not None:
            margins[:, index] = rectangle.margins(places[:, 0], places[:, 1])
    return np.stack([np.clip(margins * 10, -3, 3), margins > 0, np.tanh(margins * 30)], axis=-1)


def _turned(right: np.ndarray, ahead: np.ndarray, angle: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places along two axes at right angles, of which the first is turned by an angle."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return right * cosine + ahead * sine, ahead * cosine - right * sine
