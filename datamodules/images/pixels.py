"""Images of every kind in the two forms that are looked at: colour in RGB and depth in grey, in 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from datamodules.images.upright import upright

_LARGEST_OF_16_BITS = 65535
_ROUNDING = 1e-6


def as_rgb(image: Image.Image) -> Image.Image:
    """A colour image upright, in RGB, and on white where it is transparent, as the models' processors do.

    Values of 16 bits are divided by 257, and floats, which lie in 0..1, multiplied by 255: whatever else the
    image shows, the same value is always the same grey.

    Raises:
        ValueError: its values are in no range that images have, or its colours cannot be turned into RGB.
    """
    image = upright(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if _is_deep(image):
        return Image.fromarray(_grey(image)).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def as_depth(image: Image.Image) -> Image.Image:
    """A depth image upright and in grey: brighter is farther, and 0 is where nothing was measured.

    Values of 16 bits and floats are scaled so that the image's largest becomes 255; 0, negative numbers,
    NaN, infinity and transparent pixels are missing. Depth of 8 bits has been scaled by whoever wrote it.

    Raises:
        ValueError: its mode cannot be turned into grey.
    """
    image = upright(image)
    if _is_deep(image):
        values = np.nan_to_num(_values(image), nan=0, posinf=0, neginf=0).clip(min=0)
        largest = values.max(initial=0)
        return Image.fromarray((values * (255 / largest if largest else 0)).round().astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image if image.mode == "L" else image.convert("L")
    layer = image.convert("RGBA")
    seen = layer.getchannel("A").point(lambda alpha: 255 * (alpha > 0))
    return Image.composite(layer.convert("L"), Image.new("L", layer.size), seen)


def _is_deep(image: Image.Image) -> bool:
    """Whether a value takes more than 8 bits; Pillow's own conversions cut those off above 255."""
    return image.mode == "F" or image.mode.startswith("I")


def _values(image: Image.Image) -> np.ndarray:
    """The numbers of a deep image, NaN where it is transparent, `[height, width]`."""
    values = np.asarray(image).astype(np.float64)
    if "transparency" in image.info:
        values[values == image.info["transparency"]] = np.nan
    return values


def _grey(image: Image.Image) -> np.ndarray:
    """The numbers of a deep colour image in 8 bits, `[height, width]`."""
    values = _values(image)
    largest = 1.0 if image.mode == "F" else float(_LARGEST_OF_16_BITS)
    if "transparency" in image.info:
        values = np.nan_to_num(values, nan=largest)
    if not ((values >= -_ROUNDING) & (values <= largest + _ROUNDING)).all():
        wanted = "0 to 1" if image.mode == "F" else f"0 to {_LARGEST_OF_16_BITS}"
        raise ValueError(
            f"its values go from {np.min(values):g} to {np.max(values):g}, where those of a colour image "
            f"of mode {image.mode} go from {wanted}. Save it in 8 bits"
        )
    return (values * (255 / largest)).round().clip(0, 255).astype(np.uint8)
