"""The view that tells a text where the regions are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from datamodules.samples import MASK_PLACEHOLDER, Region, SpatialSample
from datamodules.views.view import View

SCALE = 1000
"""Boxes are written in thousandths of the image's width and height."""

_BOX = re.compile(r" \(box (?:\d+ ){3}\d+\)")
_SIDES_OF_BOX = re.compile(r"(?<= \(box )(\d+) (\d+) (\d+)(?= \d+\))")
_NAMED = re.compile(rf"{re.escape(MASK_PLACEHOLDER)}|\[Region (\d+)\](?!{_BOX.pattern})")


@dataclass(frozen=True)
class BoxesInText(View):
    """The i-th `<mask>` of the question becomes "[Region i] (box x1 y1 x2 y2)".

    The numbers are the left, top, right and bottom of the region's bounding box in thousandths of the image's
    width and height, as whole numbers: 0 0 1000 1000 is the whole image. Where `Marked` has named the regions
    before, the boxes are added to these names.
    """

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with boxes in its question; without regions they are named only."""
        seen = 0

        def written(found: re.Match[str]) -> str:
            nonlocal seen
            index = seen if found[1] is None else int(found[1])
            seen += found[1] is None
            box = f" (box {box_text(sample.regions[index])})" if index < len(sample.regions) else ""
            return f"{region_name(index)}{box}"

        return sample.replace(question=_NAMED.sub(written, sample.question))


def region_name(index: int) -> str:
    """What a region is called in texts; counted from 0, as in the answers of Track 3."""
    return f"[Region {index}]"


def box_text(region: Region) -> str:
    """The bounding box of a region in thousandths: left, top, right, bottom."""
    left, top, width, height = region.box()
    edges = (
        int(SCALE * left // region.width),
        int(SCALE * top // region.height),
        int(-(-SCALE * (left + width) // region.width)),
        int(-(-SCALE * (top + height) // region.height)),
    )
    return " ".join(map(str, edges))


def without_boxes(text: str) -> str:
    """The text without the boxes that `BoxesInText` wrote."""
    return _BOX.sub("", text)


def with_mirrored_boxes(text: str) -> str:
    """The text with the boxes that `BoxesInText` would write of the mirrored image."""
    return _SIDES_OF_BOX.sub(lambda box: f"{SCALE - int(box[3])} {box[2]} {SCALE - int(box[1])}", text)
