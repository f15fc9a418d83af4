"""What height in the image alone says about distance, and whether that is true of a question.

On flat ground and before a level camera, what is farther away stands higher in the image. A model that has
learnt this in place of space answers most questions of a benchmark; those on which height misleads tell
(arXiv 2605.30161). Three kinds of question have an answer by height:

* which of two things is closer to the camera (CV-Bench's Depth): the one whose box's centre is lower;
* which of two things is closer to a third (CV-Bench's Distance): the one whose box's centre is nearer to the
  third's, in rows of the image;
* which region is nearest to a thing (see `nearest_region`): the one whose box's centre is nearest to that of
  the thing in the image, in rows and columns; where the thing is the camera, the one whose box's centre is
  lowest.

Each compares a number of pixels, the smaller the nearer: the row counted from below, or a distance in the
image. A question is consistent where that of the right answer is smaller than that of every other one by 5 %
of the image's height, counter where it is larger than that of another one by as much, and ambiguous between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from datamodules.samples import LETTERS, AnswerType, Box, SpatialSample
from datamodules.statistics.nearest_region import nearest_question

HeightClass = Literal["consistent", "counter", "ambiguous"]
"""Whether height in the image leads to the right answer, misleads, or says too little."""

LEAST_LEAD = 0.05
"""Numbers that differ by less than this share of the image's height are taken for equal."""

_NAMED_BOX = re.compile(r"\bthe ([^,()?]+?) \((?:highlighted|annotated) by (?:a|the) \w+ box\)")


def answer_by_height(sample: SpatialSample) -> str | None:
    """What height alone answers: a letter, or the number of a region; of equal ones the first.

    None where the question is of no kind that height has an answer to, or lacks its boxes or regions.
    """
    found = _nearness(sample)
    return None if found is None else min(found, key=found.__getitem__)


def height_class(sample: SpatialSample, height: int) -> HeightClass | None:
    """Whether height leads to the right answer of a question about an image `height` pixels high.

    None where `answer_by_height` is none, or the right answer is not known or none of the possible ones.
    """
    found = _nearness(sample)
    if found is None or sample.answer not in found:
        return None
    right = found.pop(sample.answer)
    return class_of_lead(min(found.values()) - right, height)


def class_of_lead(lead: float, height: int) -> HeightClass:
    """The class of a question by how much nearer the right answer is than the next one, in pixels.

    Args:
        lead: negative where another answer is nearer than the right one.
        height: of the image, in pixels.
    """
    if abs(lead) < LEAST_LEAD * height:
        return "ambiguous"
    return "consistent" if lead > 0 else "counter"


def nearness_to_camera(boxes: Sequence[Box]) -> list[float]:
    """How near to the camera things seem by height: rows from the upper edge to their centres, negated."""
    return [-_centre(box)[1] for box in boxes]


def nearness_in_rows(anchor: Box, boxes: Sequence[Box]) -> list[float]:
    """How near to another thing things seem by height: rows between their centres and its centre."""
    return [abs(_centre(box)[1] - _centre(anchor)[1]) for box in boxes]


def _nearness(sample: SpatialSample) -> dict[str, float] | None:
    """How near each possible answer seems, in pixels (the smaller, the nearer); None where none is told."""
    if sample.answer_type is AnswerType.REGION:
        return _nearness_of_regions(sample)
    if sample.task not in ("Depth", "Distance") or len(sample.choices) != 2:
        return None
    names = [_plain(name) for name in _NAMED_BOX.findall(sample.question)]
    anchors = len(sample.boxes) - 2
    if anchors != (sample.task == "Distance") or len(names) != len(sample.boxes):
        return None
    # The choices may stand in another order than the boxes: then a view has turned them.
    choices = [_plain(choice) for choice in sample.choices]
    if sorted(choices) != sorted(names[anchors:]) or not all(map(_is_whole, sample.boxes)):
        return None
    pair = sample.boxes[anchors:]
    values = nearness_in_rows(sample.boxes[0], pair) if anchors else nearness_to_camera(pair)
    return {LETTERS[choices.index(name)]: value for name, value in zip(names[anchors:], values, strict=True)}


def _nearness_of_regions(sample: SpatialSample) -> dict[str, float] | None:
    """The same of a question for the region that is nearest to something."""
    asked = nearest_question(sample.question)
    if asked is None or len(sample.regions) <= max((*asked.candidates, asked.target or 0)):
        return None
    boxes = {index: _corners(sample, index) for index in asked.candidates}
    if asked.target is None:
        values = nearness_to_camera(list(boxes.values()))
    else:
        target = _centre(_corners(sample, asked.target))
        values = [math.dist(_centre(box), target) for box in boxes.values()]
    return {str(index): value for index, value in zip(boxes, values, strict=True)}


def _corners(sample: SpatialSample, index: int) -> Box:
    """The box around a region's mask."""
    left, top, width, height = sample.regions[index].box()
    return left, top, left + width, top + height


def _centre(box: Box) -> tuple[float, float]:
    """Column and row of the middle of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _is_whole(box: Box) -> bool:
    """Whether its sides are where a box has them; boxes of another convention mostly fail here."""
    return box[0] < box[2] and box[1] < box[3]


def _plain(name: str) -> str:
    return name.strip().lower().removeprefix("the ")
