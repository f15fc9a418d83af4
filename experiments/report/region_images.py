"""A question's image as a reader should see it: its regions outlined and numbered."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from datamodules.samples import Region, SpatialSample, open_rgb

COLOURS = (
    "#ff5d5d",
    "#3fa9f5",
    "#ffd23f",
    "#59cd90",
    "#c08cf0",
    "#ff9f40",
    "#4dd0e1",
    "#f579b0",
    "#aed581",
    "#a9b4f5",
)
"""Regions take these in turn, in images as in texts."""


def colour_of(region: int) -> str:
    """The colour of the region with this number."""
    return COLOURS[region % len(COLOURS)]


def draw_question(sample: SpatialSample, width: int = 560) -> Image.Image | None:
    """The sample's image, `width` pixels wide, with outlined regions; None where it has no image.

    Raises:
        UnreadableImage: the image cannot be decoded.
    """
    if sample.image is None:
        return None
    image = open_rgb(sample.image)
    size = (width, round(width * image.height / image.width))
    image = image.resize(size, Image.Resampling.LANCZOS)
    for index, region in enumerate(sample.regions):
        _outline(image, region, colour_of(index))
    for index, region in enumerate(sample.regions):
        _number(image, region, index)
    return image


def _outline(image: Image.Image, region: Region, colour: str) -> None:
    mask = Image.fromarray(region.mask()).convert("L").resize(image.size, Image.Resampling.NEAREST)
    edge = ImageChops.subtract(mask.filter(ImageFilter.MaxFilter(3)), mask.filter(ImageFilter.MinFilter(3)))
    tint = mask.point(lambda value: value // 6)
    image.paste(colour, mask=tint)
    image.paste(colour, mask=edge)


def _number(image: Image.Image, region: Region, index: int) -> None:
    rows, columns = np.nonzero(region.mask())
    if not len(rows):
        return
    # The region's pixel nearest its centre of mass: the centre itself may lie outside of a bent region.
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    scale = image.width / region.width
    centre = (columns[middle] * scale, rows[middle] * scale)
    font = ImageFont.load_default(size=13)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.textbbox(centre, str(index), font=font, anchor="mm")
    draw.rounded_rectangle((left - 4, top - 3, right + 4, bottom + 3), radius=4, fill=colour_of(index))
    draw.text(centre, str(index), font=font, anchor="mm", fill="black")
