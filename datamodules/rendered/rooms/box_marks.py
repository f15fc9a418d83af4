"""Boxes in strong colours around objects of an image, and letters on them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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


def with_boxes(image: np.ndarray, marks: Iterable[tuple[MarkColour, PixelBox]]) -> np.ndarray:
    """A copy of an image `[height, width, 3]` with boxes drawn around the pixels that they enclose."""
    marked = image.copy()
    height, width, _ = image.shape
    thick = line_width(width)
    for name, box in marks:
        left, top, right, bottom = around(box, (width, height))
        colour = MARK_COLOURS[name]
        marked[top : top + thick, left:right] = colour
        marked[bottom - thick : bottom, left:right] = colour
        marked[top:bottom, left : left + thick] = colour
        marked[top:bottom, right - thick : right] = colour
    return marked


def letter_size(width: int) -> int:
    """How large the square of a letter is in an image of a width, both in pixels."""
    return max(11, round(width / 15))


def letter_place(box: PixelBox, size: tuple[int, int]) -> tuple[float, float]:
    """Where the middle of the letter of a box lies: above it, as far as the image reaches."""
    half = letter_size(size[0]) / 2
    return min(max((box[0] + box[2]) / 2, half), size[0] - half), max(box[1] - half, half)


def with_letters(image: np.ndarray, boxes: Sequence[PixelBox]) -> np.ndarray:
    """A copy of an image `[height, width, 3]` with a letter from A on above every box."""
    if not boxes:
        return image
    marked = Image.fromarray(image)
    tall = letter_size(marked.width)
    draw = ImageDraw.Draw(marked)
    font = ImageFont.load_default(tall)
    for letter, box in zip("ABCD", boxes, strict=False):
        x, y = letter_place(box, marked.size)
        square = (x - tall / 2, y - tall / 2, x + tall / 2, y + tall / 2)
        draw.rectangle(square, fill=(255, 255, 255), outline=(0, 0, 0))
        draw.text((x, y), letter, fill=(0, 0, 0), font=font, anchor="mm")
    return np.asarray(marked)


def png_bytes(image: np.ndarray) -> bytes:
    """An image `[height, width, 3]` as the content of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
