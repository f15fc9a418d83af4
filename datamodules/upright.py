"""Images from any camera and program as models expect them: upright, in 8 bits, without transparency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from datamodules.samples import UnreadableImage
from datamodules.views import DerivedImage

_TURNED = (5, 6, 7, 8)
"""The EXIF orientations that exchange width and height."""


@dataclass(frozen=True)
class Upright(DerivedImage):
    """A photo as it is shown: turned as its EXIF data say, in RGB, on white where it is transparent."""

    def change(self, picture: Image.Image) -> Image.Image:
        """The photo in RGB."""
        turned = in_eight_bits(ImageOps.exif_transpose(picture))
        if not turned.has_transparency_data:
            return turned.convert("RGB")
        layer = turned.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


@dataclass(frozen=True)
class DepthInEightBits(DerivedImage):
    """A depth image in 8 bits (brighter is farther), as depth cameras write theirs in 16."""

    def change(self, picture: Image.Image) -> Image.Image:
        """The depth in grey."""
        return in_eight_bits(ImageOps.exif_transpose(picture)).convert("L")


def in_eight_bits(picture: Image.Image) -> Image.Image:
    """An image whose single channel has more than 8 bits, scaled so that its largest value becomes 255.

    Pillow's own conversion cuts off all values above 255. Others are returned as they are.
    """
    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64), posinf=0, neginf=0).clip(min=0)
    largest = values.max(initial=0)
    if largest > 255 or (picture.mode == "F" and largest > 0):
        values *= 255 / largest
    return Image.fromarray(values.round().astype(np.uint8))


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as it is shown, in pixels, without decoding it.

    Raises:
        UnreadableImage: it is not an image that can be read.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(
            f"The image {path} cannot be read: save it as JPEG, PNG or WebP, or leave it out."
        ) from error
    return (height, width) if turned else (width, height)
