"""Boxes in strong colours around objects of a picture."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Literal

import numpy as np
from PIL import Image

MarkColour = Literal["red", "blue", "green"]
MARK_COLOURS: dict[MarkColour, tuple[int, int, int]] = {
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 255, 0),
}

PixelBox = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""


def line_width(width: int) -> int:
    """How thick the lines of boxes are in an image of a width, both in pixels."""
    return max(2, round(width / 110))


def around(box: PixelBox, size: tuple[int, int]) -> PixelBox:
    """The outer edge of the lines around a box: they cover nothing of it, except at the image's border."""
    thick = line_width(size[0])
    left, top, right, bottom = box
    return (
        max(left - thick, 0),
        max(top - thick, 0),
        min(right + thick, size[0]),
        min(bottom + thick, size[1]),
    )


def with_boxes(picture: np.ndarray, marks: Iterable[tuple[MarkColour, PixelBox]]) -> np.ndarray:
    """A copy of a picture `[height, width, 3]` with boxes drawn around the pixels that they enclose."""
    marked = picture.copy()
    height, width, _ = picture.shape
    thick = line_width(width)
    for name, box in marks:
        left, top, right, bottom = around(box, (width, height))
        colour = MARK_COLOURS[name]
        marked[top : top + thick, left:right] = colour
        marked[bottom - thick : bottom, left:right] = colour
        marked[top:bottom, left : left + thick] = colour
        marked[top:bottom, right - thick : right] = colour
    return marked


def png_bytes(picture: np.ndarray) -> bytes:
    """A picture `[height, width, 3]` as the content of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
