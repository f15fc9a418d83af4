"""Pictures of every kind in the two forms that are looked at: colour in RGB and depth in grey, in 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from datamodules.images.upright import upright

_LARGEST_OF_16_BITS = 65535
_ROUNDING = 1e-6


def as_rgb(picture: Image.Image) -> Image.Image:
    """A colour picture upright, in RGB, and on white where it is transparent, as the models' processors do.

    Values of 16 bits are divided by 257, and floats, which lie in 0..1, multiplied by 255: whatever else the
    picture shows, the same value is always the same grey.

    Raises:
        ValueError: its values are in no range that pictures have, or its colours cannot be turned into RGB.
    """
    picture = upright(picture)
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture
    if _is_deep(picture):
        return Image.fromarray(_grey(picture)).convert("RGB")
    if picture.mode == "La":
        picture = picture.convert("LA")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def as_depth(picture: Image.Image) -> Image.Image:
    """A depth picture upright and in grey: brighter is farther, and 0 is where nothing was measured.

    Values of 16 bits and floats are scaled so that the picture's largest becomes 255; 0, negative numbers,
    NaN, infinity and transparent pixels are missing. Depth of 8 bits has been scaled by whoever wrote it.

    Raises:
        ValueError: its mode cannot be turned into grey.
    """
    picture = upright(picture)
    if _is_deep(picture):
        values = np.nan_to_num(_values(picture), nan=0, posinf=0, neginf=0).clip(min=0)
        largest = values.max(initial=0)
        return Image.fromarray((values * (255 / largest if largest else 0)).round().astype(np.uint8))
    if picture.mode == "La":
        picture = picture.convert("LA")
    if not picture.has_transparency_data:
        return picture if picture.mode == "L" else picture.convert("L")
    layer = picture.convert("RGBA")
    seen = layer.getchannel("A").point(lambda alpha: 255 * (alpha > 0))
    return Image.composite(layer.convert("L"), Image.new("L", layer.size), seen)


def _is_deep(picture: Image.Image) -> bool:
    """Whether a value takes more than 8 bits; Pillow's own conversions cut those off above 255."""
    return picture.mode == "F" or picture.mode.startswith("I")


def _values(picture: Image.Image) -> np.ndarray:
    """The numbers of a deep picture, NaN where it is transparent, `[height, width]`."""
    values = np.asarray(picture).astype(np.float64)
    if "transparency" in picture.info:
        values[values == picture.info["transparency"]] = np.nan
    return values


def _grey(picture: Image.Image) -> np.ndarray:
    """The numbers of a deep colour picture in 8 bits, `[height, width]`."""
    values = _values(picture)
    largest = 1.0 if picture.mode == "F" else float(_LARGEST_OF_16_BITS)
    if "transparency" in picture.info:
        values = np.nan_to_num(values, nan=largest)
    if not ((values >= -_ROUNDING) & (values <= largest + _ROUNDING)).all():
        wanted = "0 to 1" if picture.mode == "F" else f"0 to {_LARGEST_OF_16_BITS}"
        raise ValueError(
            f"its values go from {np.min(values):g} to {np.max(values):g}, where those of a colour picture "
            f"of mode {picture.mode} go from {wanted}. Save it in 8 bits"
        )
    return (values * (255 / largest)).round().clip(0, 255).astype(np.uint8)
