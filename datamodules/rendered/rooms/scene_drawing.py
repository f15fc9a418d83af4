"""Draws scenes until they offer enough questions, for all splits and in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Generic, TypeVar

import numpy as np

from datamodules.rendered.rooms.balance import Question
from datamodules.rendered.rooms.box_marks import PixelBox
from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.room_scene import RoomScene, draw_room
from datamodules.rendered.rooms.room_sight import Sight, look
from datamodules.rendered.writing import SPLITS, in_order, progress
from datamodules.samples import DataError

REDRAWS = 50

AnyQuestion = TypeVar("AnyQuestion", bound=Question)


@dataclass(frozen=True)
class Subject(Generic[AnyQuestion]):
    """What a benchmark asks about scenes; everything in it can be sent to another process.

    Attributes:
        name: the benchmark's name, which also seeds its scenes.
        offer: gives all questions that an image can truly be asked.
        tasks: a scene that does not offer a question of each of these is drawn anew.
        draw: draws a scene for images of a size (width, height) in pixels.
    """

    name: str
    offer: Callable[[Sight, Random], list[AnyQuestion]]
    tasks: tuple[str, ...]
    draw: Callable[[Random, tuple[int, int]], RoomScene] = draw_room


@dataclass(frozen=True)
class Drawn(Generic[AnyQuestion]):
    """A drawn scene.

    Attributes:
        split: the split it belongs to.
        index: its number within the split.
        image: its colours, uint8 `[height, width, 3]`.
        boxes: the boxes of the objects that can be asked about, by their index in the scene.
        questions: all questions that it can be asked.
    """

    split: str
    index: int
    image: np.ndarray
    boxes: dict[int, PixelBox]
    questions: list[AnyQuestion]

    @property
    def name(self) -> str:
        """A name that no other scene has."""
        return f"{self.split}_{self.index:06d}"


def draw_scene(
    subject: Subject[AnyQuestion], split: str, index: int, size: tuple[int, int], seed: int
) -> tuple[RoomRendering, Sight, list[AnyQuestion]]:
    """Draw the scene of an index until it offers enough questions; also what is seen, and the questions.

    Raises:
        DataError: no such scene was found.
    """
    for attempt in range(REDRAWS):
        random = Random(f"{subject.name} {seed} {split} {index} {attempt}")
        rendering = RoomRendering(subject.draw(random, size))
        sight = look(rendering)
        questions = subject.offer(sight, random)
        if {question.task for question in questions} >= set(subject.tasks):
            return rendering, sight, questions
    raise DataError(
        f"Scene {index} of {split} could not be drawn with enough questions at {size[0]} x {size[1]} pixels; "
        "give larger images or another seed."
    )


@contextmanager
def drawn_scenes(
    subject: Subject[AnyQuestion],
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None,
) -> Iterator[Iterator[Drawn[AnyQuestion]]]:
    """Give the scenes of all wanted splits one after another, drawn by several processes, with a bar."""
    jobs = [(split, index) for split in SPLITS for index in range(scenes.get(split, 0))]
    draw = partial(_draw_job, subject, size, seed)
    with (
        progress(f"Rendering {len(jobs)} scenes for {subject.name}", len(jobs)) as advance,
        closing(in_order(draw, jobs, processes)) as drawn,
    ):

        def told() -> Generator[Drawn[AnyQuestion], None, None]:
            for scene in drawn:
                yield scene
                advance()

        yield told()


def _draw_job(
    subject: Subject[AnyQuestion], size: tuple[int, int], seed: int, job: tuple[str, int]
) -> Drawn[AnyQuestion]:
    """Draw one scene and its image."""
    rendering, sight, questions = draw_scene(subject, *job, size, seed)
    boxes = {seen.index: seen.box for seen in sight.seen}
    return Drawn(*job, rendering.colour_image(), boxes, questions)
