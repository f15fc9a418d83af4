"""Boxes in records: lists of four numbers each, or none."""

from __future__ import annotations

import math

from datamodules.benchmarks.record_texts import is_missing
from datamodules.samples import Box, DataError


def boxes_in(value: object, name: str, where: str) -> tuple[Box, ...]:
    """A list of boxes; none where the value is missing.

    Whether the third and fourth numbers lie beyond the first two is not asked: a record is of use without its
    boxes, and who looks at them looks at that too.

    Args:
        value: what the file holds.
        name: the key or column it stands under.
        where: what to call the record in messages.

    Raises:
        DataError: it is no list, or one of its items is not four finite numbers.
    """
    if is_missing(value):
        return ()
    if not isinstance(value, list):
        raise DataError(f"{where} has a `{name}` that is no list of boxes: {value!r:.60}. {_REPAIR}")
    return tuple(_box(each, number, name, where) for number, each in enumerate(value))


_REPAIR = "Repair it, or leave it empty."


def _box(value: object, number: int, name: str, where: str) -> Box:
    if isinstance(value, list) and len(value) == 4 and all(map(_is_finite, value)):
        left, top, right, bottom = map(float, value)
        return left, top, right, bottom
    raise DataError(
        f"{where} has in `{name}` box {number} as {value!r:.60}, which is not left, top, right and bottom in "
        f"pixels. {_REPAIR}"
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
