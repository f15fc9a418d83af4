"""Which way up an image is: as its file stores it, or as it is shown."""

from __future__ import annotations

import struct

from PIL import ExifTags, Image, ImageOps

_TURNED = (5, 6, 7, 8)
"""The EXIF orientations that exchange width and height."""

_TAGS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Where the formats keep an orientation."""


def upright(image: Image.Image) -> Image.Image:
    """A decoded image as it is shown: turned as its EXIF data say, and without the tag that says so."""
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def as_stored(image: Image.Image) -> Image.Image:
    """A decoded image as its file stores it, without a tag by which it might still be turned."""
    if _orientation(image) == 1:
        return image
    bare = image.copy()
    for tag in _TAGS:
        bare.info.pop(tag, None)
    return bare


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened image as it is shown, in pixels, without decoding it."""
    width, height = image.size
    return (height, width) if _orientation(image) in _TURNED else (width, height)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (as stored) where there is none, or none that can be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
        return 1
    return value if value in range(1, 9) else 1
