"""Regions as people give them: boxes in pixels, or the run lengths of COCO."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from datamodules.files.text_files import NOT_JSON
from datamodules.samples import DataError, Region

FORMS = 'boxes [[x0, y0, x1, y1], ...] in pixels, or masks [{"size": [height, width], "counts": "..."}, ...]'
"""How the regions of a question are written."""


def regions_of(value: object, size: tuple[int, int], where: str) -> tuple[Region, ...]:
    """The regions that a cell or a JSON value holds; a single one needs no list around it.

    Args:
        value: what the file says, as JSON text or as its value.
        size: width and height of the image, in pixels.
        where: what to call the row in messages.

    Raises:
        DataError: they are not of a form in `FORMS`, a box is empty or leaves the image, or a mask has
            another size than the image or covers nothing.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except NOT_JSON as error:
            raise DataError(f"{where} has `regions` that are not JSON. Write {FORMS}.") from error
    if isinstance(value, dict) or (isinstance(value, list) and value and _is_number(value[0])):
        value = [value]
    if not isinstance(value, list):
        raise DataError(f"{where} has `regions` that are no list. Write {FORMS}.")
    return tuple(
        _region(each, size, f"Region {index} of {_inside(where)}") for index, each in enumerate(value)
    )


def _region(value: Any, size: tuple[int, int], where: str) -> Region:
    match value:
        case [x0, y0, x1, y1] if all(map(_is_number, value)):
            return _box((float(x0), float(y0), float(x1), float(y1)), size, where)
        case {"size": [int(height), int(width)], "counts": str() | list() as counts}:
            if (width, height) != size:
                raise DataError(
                    f"{where} is a mask of {width}x{height} pixels, but its image is shown in "
                    f"{size[0]}x{size[1]}. Encode the mask at the size in which the image is shown."
                )
            return _mask(height, width, counts, where)
    raise DataError(f"{where} is neither a box nor a mask. Write {FORMS}.")


def _box(box: tuple[float, float, float, float], size: tuple[int, int], where: str) -> Region:
    """The pixels that a box touches."""
    x0, y0, x1, y1 = box
    width, height = size
    written = f"[{', '.join(f'{edge:g}' for edge in box)}]"
    if min(x0, y0) < 0 or x1 > width or y1 > height:
        raise DataError(
            f"{where}, the box {written}, leaves its image, which is {width} pixels wide and {height} high. "
            "Boxes are left, top, right, bottom."
        )
    if x1 - x0 < 1 or y1 - y0 < 1 or max(box) <= 1:
        raise DataError(
            f"{where}, the box {written}, is less than a pixel wide or high. Boxes are left, top, "
            "right, bottom in pixels, not in shares of the image, and not with width and height."
        )
    mask = np.zeros((height, width), dtype=bool)
    mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = True
    return Region.from_mask(mask)


def _mask(height: int, width: int, counts: str | list[Any], where: str) -> Region:
    """A mask of compressed or of plain run lengths."""
    if isinstance(counts, list):
        if not counts or any(type(count) is not int or not 0 <= count <= height * width for count in counts):
            raise DataError(
                f"{where} has `counts` that are no run lengths of its image, which is a list of numbers of "
                "pixels or COCO's text. Encode the mask again."
            )
        encoded = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        counts = encoded["counts"].decode("ascii")
    region = Region(height, width, str(counts))
    region.require_whole(where)
    if not region.mask().any():
        raise DataError(f"{where} covers no pixel. Correct or remove it.")
    return region


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _inside(where: str) -> str:
    return where[0].lower() + where[1:]
