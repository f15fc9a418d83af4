"""The view that draws the regions of a question into its image, numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datamodules.images.pixels import as_rgb
from datamodules.samples import MASK_PLACEHOLDER, Region, SpatialSample
from datamodules.views.boxes import region_name
from datamodules.views.view import DerivedImage, View

COLOURS = (
    (230, 25, 75),
    (20, 140, 50),
    (0, 130, 200),
    (215, 95, 10),
    (145, 30, 180),
    (0, 140, 150),
    (215, 40, 200),
    (128, 128, 0),
    (170, 110, 40),
    (0, 0, 160),
)
"""The colours of the marks, in order; from the eleventh region on they come again."""

_LEAST_FONT_PX = 10.0
_FONT_OF_IMAGE = (1 / 36, 1 / 18)  # the height of numbers in the image's height, least and most
_FONT_OF_REGION = 0.8  # their height in the distance from the region's middle to its border
_OUTLINE_OF_IMAGE = 1 / 300

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Marked(View):
    """Every region outlined in the image with its number in a badge inside it; `<mask>` becomes "[Region i]".

    Numbers count from 0, in the order of the regions. The regions stay in the sample.
    """

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with marks in its image and names in its question."""
        first, *others = sample.question.split(MASK_PLACEHOLDER)
        question = first + "".join(f"{region_name(index)}{text}" for index, text in enumerate(others))
        if sample.image is None or not sample.regions:
            return sample.replace(question=question)
        return sample.replace(question=question, image=MarkedImage(sample.image, sample.regions))


@dataclass(frozen=True)
class MarkedImage(DerivedImage):
    """An image in which regions are outlined and numbered. Regions of another size are left unmarked."""

    regions: tuple[Region, ...]

    def change(self, image: Image.Image) -> Image.Image:
        """A copy with the marks."""
        masks = [region.mask() for region in self.regions if (region.width, region.height) == image.size]
        return draw_marks(image, masks)


def draw_marks(image: Image.Image, masks: Sequence[np.ndarray]) -> Image.Image:
    """A copy of the image in which each mask, `[height, width]`, is outlined and numbered from 0.

    All outlines are drawn before all badges, so that no outline crosses a number. A badge lies where its
    region is widest and no other badge is, and grows with the region; where the region is smaller than the
    badge, it covers the region's middle.
    """
    pixels = np.array(as_rgb(image))
    width_px = max(1, round(image.height * _OUTLINE_OF_IMAGE))
    insides = [_Inside.of(mask, width_px) for mask in masks]
    for index, inside in enumerate(insides):
        _outline(pixels, inside, COLOURS[index % len(COLOURS)], width_px)
    marked = Image.fromarray(pixels)
    draw = ImageDraw.Draw(marked)
    taken: list[Box] = []
    for index, inside in enumerate(insides):
        if inside.depth_px.any():
            font = _font(inside, image.height)
            box = _badge_box(draw, font, str(index), inside, image.size, taken)
            taken.append(box)
            _badge(draw, font, str(index), box, COLOURS[index % len(COLOURS)])
    return marked


@dataclass(frozen=True)
class _Inside:
    """The part of a mask that holds the region, without pinholes, and the depth of its pixels in it."""

    rows: slice
    columns: slice
    pixels: np.ndarray
    depth_px: np.ndarray

    @staticmethod
    def of(mask: np.ndarray, width_px: int) -> _Inside:
        """Holes that an outline would fill are closed; a margin for the outline is included."""
        from scipy import ndimage  # loaded late: only who draws marks needs it

        rows, columns = _surroundings(mask, 2 * width_px + 1)
        # A border of empty pixels, so that closing and depth see the image's edge as outside.
        padded = np.pad(mask[rows, columns], 1)
        closed = ndimage.binary_closing(padded, iterations=width_px)[1:-1, 1:-1] | mask[rows, columns]
        return _Inside(rows, columns, closed, ndimage.distance_transform_edt(np.pad(closed, 1))[1:-1, 1:-1])


def _font(inside: _Inside, image_height: int) -> Font:
    """The font of a region's number."""
    least, most = (share * image_height for share in _FONT_OF_IMAGE)
    size = float(np.clip(_FONT_OF_REGION * inside.depth_px.max(), least, most))
    return ImageFont.load_default(max(_LEAST_FONT_PX, size))


def _outline(pixels: np.ndarray, inside: _Inside, colour: tuple[int, int, int], width_px: int) -> None:
    """Draw the inner border of the region in its colour, and a thin dark line around it, into the pixels."""
    from scipy import ndimage

    part = pixels[inside.rows, inside.columns]
    around = ndimage.binary_dilation(inside.pixels, iterations=max(1, width_px // 2)) & ~inside.pixels
    part[around] = part[around] // 3
    part[inside.pixels & (inside.depth_px <= width_px)] = colour


def _surroundings(mask: np.ndarray, margin_px: int) -> tuple[slice, slice]:
    """The rows and columns that hold the mask and a margin around it."""
    from scipy import ndimage

    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return slice(0, 0), slice(0, 0)
    rows, columns = found[0]
    return (
        slice(max(0, rows.start - margin_px), rows.stop + margin_px),
        slice(max(0, columns.start - margin_px), columns.stop + margin_px),
    )


def _badge_box(
    draw: ImageDraw.ImageDraw,
    font: Font,
    text: str,
    inside: _Inside,
    size: tuple[int, int],
    taken: Sequence[Box],
) -> Box:
    """Where the badge of a region lies, in pixels: left, top, right, bottom."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    padding = max(2.0, (bottom - top) * 0.25)
    half_width, half_height = (right - left) / 2 + padding, (bottom - top) / 2 + padding
    rows, columns = inside.rows, inside.columns
    free = inside.depth_px.copy()
    for box in taken:
        # A centre in here would put this badge onto that one.
        above = max(0, int(box[1] - half_height) - rows.start)
        before = max(0, int(box[0] - half_width) - columns.start)
        below = max(0, int(box[3] + half_height) + 2 - rows.start)
        after = max(0, int(box[2] + half_width) + 2 - columns.start)
        free[above:below, before:after] = 0
    best = free if free.any() else inside.depth_px
    row, column = np.unravel_index(int(best.argmax()), best.shape)
    width, height = size
    middle_x = float(np.clip(column + columns.start + 0.5, half_width, max(half_width, width - half_width)))
    middle_y = float(np.clip(row + rows.start + 0.5, half_height, max(half_height, height - half_height)))
    edges = (middle_x - half_width, middle_y - half_height, middle_x + half_width, middle_y + half_height)
    return (float(round(edges[0])), float(round(edges[1])), float(round(edges[2])), float(round(edges[3])))


def _badge(draw: ImageDraw.ImageDraw, font: Font, text: str, box: Box, colour: tuple[int, int, int]) -> None:
    """A white number on the region's colour, with a white rim."""
    radius = (box[3] - box[1]) / 4
    draw.rounded_rectangle(box, radius=radius, fill=colour, outline=(255, 255, 255), width=1)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    # Between two pixels the strokes of small numbers would blur away.
    place = (round((box[0] + box[2] - left - right) / 2), round((box[1] + box[3] - top - bottom) / 2))
    draw.text(place, text, fill=(255, 255, 255), font=font)
