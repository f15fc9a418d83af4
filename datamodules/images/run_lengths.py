"""The compressed run lengths of COCO masks, which pycocotools decodes without a look at whether they fit."""

from __future__ import annotations

import numpy as np

_FIRST, _LAST = 48, 111
_LARGEST_DIGITS = 7
"""So many digits of 5 bits hold any run of an image."""


def why_not_a_mask(counts: str, height: int, width: int) -> str:
    """What is wrong with the run lengths of a mask, as the end of a sentence; "" where they are whole.

    Whole are those whose runs add up to the mask. Of shorter ones pycocotools leaves the rest of the mask as
    its memory happened to be.

    Args:
        counts: the COCO string: runs in digits of 5 bits, from the fourth on as differences to the one but
            last before.
        height, width: the mask's, in pixels.
    """
    if not counts:
        return "are empty"
    if height < 1 or width < 1:
        return "belong to no pixels"
    letters = np.frombuffer(counts.encode("ascii"), np.uint8) if counts.isascii() else np.zeros(1)
    if letters.min() < _FIRST or letters.max() > _LAST:
        return "hold characters that COCO does not write"
    digits = letters.astype(np.int64) - _FIRST
    ends = np.flatnonzero(digits < 32)
    sizes = np.diff(ends, prepend=-1)
    if not len(ends) or ends[-1] != len(digits) - 1 or sizes.max() > _LARGEST_DIGITS:
        return "are cut off within a number"
    place = np.arange(len(digits)) - np.repeat(ends - sizes + 1, sizes)
    numbers = np.add.reduceat((digits & 31) << 5 * place, ends - sizes + 1)
    numbers = np.where(digits[ends] & 16, numbers - (np.int64(1) << 5 * sizes), numbers)
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    if runs.min() < 0:
        return "hold a negative run"
    if runs.sum() != height * width:
        return f"add up to {runs.sum():,} pixels"
    return ""
