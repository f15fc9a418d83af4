"""CV-Bench's questions, of which height in the image answers half of those about distance wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from random import Random

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.box_marks import around
from datamodules.rendered.rooms.cv_bench_questions import CvQuestion, counts, depths, distances, relations
from datamodules.rendered.rooms.raised_scene import UNLIKE_A_RACK
from datamodules.rendered.rooms.room_sight import Sight
from datamodules.rendered.rooms.room_truth import is_closer_in_space, is_nearer_in_space
from datamodules.statistics.height_for_distance import (
    HeightClass,
    class_of_lead,
    nearness_in_rows,
    nearness_to_camera,
)

BOTH: tuple[HeightClass, ...] = ("consistent", "counter")
"""The classes of which equally many questions are asked; ambiguous ones are not asked."""


def offered_by_height(sight: Sight, random: Random) -> list[CvQuestion]:
    """All questions that an image can truly be asked; for distance, only those that height speaks about.

    Where height is right of all of a task's questions or wrong of all, none of that task are offered.
    """
    flat = [*counts(sight, random), *relations(sight, random)]
    about_space = [
        *depths(sight, partial(is_nearer_in_space, sight.scene.camera)),
        *distances(sight, is_closer_in_space),
    ]
    return [
        *(question for question in flat if UNLIKE_A_RACK not in question.about),
        *_of_both(list(_evened(sight, about_space))),
    ]


def _evened(sight: Sight, questions: Iterable[CvQuestion]) -> Iterator[CvQuestion]:
    """The questions that height speaks about, to be asked as often with as against it, by each letter."""
    for question in questions:
        height = _height_class(sight, question)
        if height == "ambiguous":
            continue
        evened = (
            # One of each in turn: the writer relies on it.
            Tally((question.task, "height"), height, BOTH, slack=1),
            Tally((question.task, height, "letter"), question.answer, (0, 1)),
        )
        yield replace(question, height=height, tallies=(*question.tallies, *evened))


def _of_both(questions: list[CvQuestion]) -> list[CvQuestion]:
    """Those of the tasks that have questions of both classes."""
    there = {(question.task, question.height) for question in questions}
    return [question for question in questions if there >= {(question.task, height) for height in BOTH}]


def _height_class(sight: Sight, question: CvQuestion) -> HeightClass:
    """The class of a question by the boxes that are written, which end where the drawn lines do."""
    camera = sight.scene.camera
    seen = {found.index: found.box for found in sight.seen}
    boxes = [around(seen[index], (camera.width, camera.height)) for _, index in question.marks]
    is_depth = question.task == "Depth"
    near = nearness_to_camera(boxes) if is_depth else nearness_in_rows(boxes[0], boxes[1:])
    return class_of_lead(near[1 - question.answer] - near[question.answer], camera.height)
