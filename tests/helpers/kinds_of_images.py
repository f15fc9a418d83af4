"""Images as cameras and programs write them, and what is to be seen in them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 20
TURNS = range(2, 9)
"""The EXIF orientations that turn an image."""


def red_corner(turned: int = 1, ending: str = "png") -> bytes:
    """A file whose upper left quarter is stored in red, taken by a camera that was held otherwise."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (255, 0, 0)
    return file_of(Image.fromarray(pixels), ending, turned)


def red_quarter_shown(turned: int) -> np.ndarray:
    """Where the red quarter is seen, by the definition of the orientation, `[height, width]`."""
    width, height = (WIDTH, HEIGHT) if turned < 5 else (HEIGHT, WIDTH)
    right, low = turned in (2, 3, 6, 7), turned in (3, 4, 7, 8)
    rows, columns = np.arange(height)[:, None], np.arange(width)
    return ((rows >= height // 2) == low) & ((columns >= width // 2) == right)


def is_red(image: Image.Image) -> np.ndarray:
    """Which pixels are red, `[height, width]`."""
    return np.asarray(image.convert("RGB"))[..., 0] > 128


def file_of(image: Image.Image, ending: str = "png", turned: int = 1) -> bytes:
    """The bytes of an image's file."""
    exif = Image.Exif()
    if turned != 1:
        exif[0x0112] = turned
    options: dict[str, Any] = {"exif": exif} if turned != 1 else {}
    buffer = io.BytesIO()
    Image.registered_extensions()
    image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()), **options)
    return buffer.getvalue()


def grey(values: list[Any], dtype: Any) -> Image.Image:
    """One row of numbers as an image."""
    return Image.fromarray(np.array([values], dtype=dtype))


def clear_palette() -> Image.Image:
    """Two colours of a palette, red and one that is transparent."""
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 7, 7, 7])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 1
    return image


def clear(image: Image.Image, value: Any) -> Image.Image:
    """An image of which one value or colour is transparent."""
    image.info["transparency"] = value
    return image


COLOURS: dict[str, tuple[Image.Image, list[Any]]] = {
    "grey": (grey([0, 200], np.uint8), [0, 200]),
    "16 bits": (grey([0, 257, 25700, 65535], np.uint16), [0, 1, 100, 255]),
    "16 bits, dark": (grey([0, 1285], np.uint16), [0, 5]),
    "16 bits, big end first": (grey([257, 65535], ">u2"), [1, 255]),
    "32 bits": (grey([0, 25700, 65535], np.int32), [0, 100, 255]),
    "float": (grey([0, 0.2, 1], np.float32), [0, 51, 255]),
    "float, dark": (grey([0, 0.02], np.float32), [0, 5]),
    "one bit": (grey([0, 255], np.uint8).convert("1"), [0, 255]),
    "CMYK": (Image.new("RGB", (1, 1), (90, 60, 30)).convert("CMYK"), [(90, 60, 30)]),
    "palette": (Image.new("RGB", (1, 1), (255, 0, 51)).convert("P"), [(255, 0, 51)]),
    "palette, clear": (clear_palette(), [(255, 0, 0), 255]),
    "RGB, clear": (
        clear(Image.fromarray(np.array([[[9, 9, 9], [40, 0, 0]]], np.uint8)), (9, 9, 9)),
        [255, (40, 0, 0)],
    ),
    "16 bits, clear": (clear(grey([0, 25700], np.uint16), 0), [255, 100]),
    "clear": (Image.fromarray(np.array([[[9, 9, 9, 0], [0, 0, 0, 255]]], np.uint8)), [255, 0]),
    "half clear": (
        Image.fromarray(np.array([[[0, 0, 0, 128], [255, 0, 0, 128]]], np.uint8)),
        [127, (255, 127, 127)],
    ),
    "grey, clear": (Image.fromarray(np.array([[[9, 0], [40, 255]]], np.uint8)), [255, 40]),
    "grey, multiplied": (Image.fromarray(np.array([[[0, 0], [40, 255]]], np.uint8)).convert("La"), [255, 40]),
}
"""Images of one row, and the colour of each pixel."""

NO_COLOURS = {
    "metres": grey([0, 2.5], np.float32),
    "below 0": grey([-0.5, 1], np.float32),
    "not a number": grey([0, np.nan], np.float32),
    "infinite": grey([0, np.inf], np.float32),
    "more than 16 bits": grey([0, 70000], np.int32),
    "negative": grey([-5, 70], np.int32),
}
"""Numbers that are no colours."""

DEPTHS: dict[str, tuple[Image.Image, list[int]]] = {
    "8 bits": (grey([0, 100, 200], np.uint8), [0, 100, 200]),
    "16 bits": (grey([0, 2000, 8000], np.uint16), [0, 64, 255]),
    "16 bits, small numbers": (grey([0, 20, 80], np.uint16), [0, 64, 255]),
    "16 bits, big end first": (grey([0, 2000, 8000], ">u2"), [0, 64, 255]),
    "32 bits": (grey([-1, 0, 50_000, 200_000], np.int32), [0, 0, 64, 255]),
    "metres": (grey([np.nan, 0, 1.5, 6], np.float32), [0, 0, 64, 255]),
    "metres, infinite": (grey([np.inf, -np.inf, -3, 6], np.float32), [0, 0, 0, 255]),
    "nothing measured": (grey([0, np.nan], np.float32), [0, 0]),
    "RGB": (grey([0, 100], np.uint8).convert("RGB"), [0, 100]),
    "palette": (grey([0, 100], np.uint8).convert("P"), [0, 100]),
    "clear": (Image.fromarray(np.array([[[200, 0], [40, 255]]], np.uint8)), [0, 40]),
    "nearly clear": (Image.fromarray(np.array([[[200, 0], [40, 1], [60, 128]]], np.uint8)), [0, 40, 60]),
    "16 bits, clear": (clear(grey([65535, 2000, 8000], np.uint16), 65535), [0, 64, 255]),
}
"""Depth of one row, and what is seen of each pixel."""
