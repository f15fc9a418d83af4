"""Writes rendered rooms and yards as CV-Bench: one Parquet file for its 2D tasks and one for its 3D tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from datamodules.rendered.rooms.balance import Balance
from datamodules.rendered.rooms.cv_bench_questions import TASKS, CvQuestion, offered
from datamodules.rendered.rooms.marks import PixelBox, around, png_bytes, with_boxes
from datamodules.rendered.rooms.parquet import IMAGE, NUMBER, STRING, WHOLE, Feature, ParquetFile, listed
from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.room_scene import draw_room
from datamodules.rendered.rooms.room_sight import Sight, look
from datamodules.rendered.writing import SPLITS, in_order, progress, require_empty
from datamodules.samples import DataError

QUESTIONS_A_SCENE = 2
"""So many questions of every task are asked about a scene, where the balance of answers allows it."""

REDRAWS = 50

DIMENSIONS = {"Count": "2D", "Relation": "2D", "Depth": "3D", "Distance": "3D"}

COLUMNS: dict[str, Feature] = {
    "idx": WHOLE,
    "type": STRING,
    "task": STRING,
    "image": IMAGE,
    "question": STRING,
    "choices": listed(STRING),
    "answer": STRING,
    "prompt": STRING,
    "filename": STRING,
    "source": STRING,
    "source_dataset": STRING,
    "source_filename": STRING,
    "target_class": STRING,
    "target_size": WHOLE,
    "bbox": listed(listed(NUMBER)),
}
"""The columns of the official files."""


@dataclass(frozen=True)
class _DrawnScene:
    """What a process hands back: a picture, the boxes of the objects, and the possible questions."""

    picture: np.ndarray
    boxes: dict[int, PixelBox]
    questions: list[CvQuestion]


def write_cv_bench(
    folder: Path,
    *,
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None = None,
) -> None:
    """Render scenes and write `{split}_2d.parquet` and `{split}_3d.parquet` into a new or empty folder.

    The answers of every task are spread evenly over the letters, and no class of objects is right more often
    than it is wrong. `source` holds the three official values, so that the official score can be taken;
    `source_dataset` says "rendered". Questions with one `source_filename` show the same scene.

    Raises:
        DataError: the folder holds files, or no scene with enough questions was found.
    """
    require_empty(folder)
    jobs = [(split, index) for split in SPLITS for index in range(scenes.get(split, 0))]
    draw = partial(_draw_job, size, seed)
    with (
        progress(f"Rendering {len(jobs)} scenes for CV-Bench", len(jobs)) as advance,
        closing(in_order(draw, jobs, processes)) as drawn,
    ):
        for split in SPLITS:
            if split not in scenes:
                continue
            balance: Balance[CvQuestion] = Balance()
            numbers = count()
            with ExitStack() as stack:
                files = {
                    name: stack.enter_context(
                        ParquetFile(folder / f"{split}_{name.lower()}.parquet", COLUMNS)
                    )
                    for name in ("2D", "3D")
                }
                for index, scene in enumerate(islice(drawn, scenes[split])):
                    random = Random(f"{seed} {split} {index} questions")
                    for question in _chosen(scene, balance, random):
                        row = _row(scene, question, next(numbers), f"{split}_{index:06d}.png")
                        files[DIMENSIONS[question.task]].append(row)
                    advance()


def draw_cv_scene(
    split: str, index: int, size: tuple[int, int], seed: int
) -> tuple[RoomRendering, Sight, list[CvQuestion]]:
    """Draw the scene of an index until it offers questions of all tasks; also what is seen, and they.

    Raises:
        DataError: no such scene was found.
    """
    for attempt in range(REDRAWS):
        random = Random(f"cv-bench {seed} {split} {index} {attempt}")
        rendering = RoomRendering(draw_room(random, size))
        sight = look(rendering)
        questions = offered(sight, random)
        if {question.task for question in questions} == set(TASKS):
            return rendering, sight, questions
    raise DataError(
        f"Scene {index} of {split} could not be drawn with enough questions at {size[0]} x {size[1]} pixels; "
        "give larger pictures or another seed."
    )


def _draw_job(size: tuple[int, int], seed: int, job: tuple[str, int]) -> _DrawnScene:
    """Draw one scene and its picture."""
    rendering, sight, questions = draw_cv_scene(*job, size, seed)
    boxes = {seen.index: seen.box for seen in sight.seen}
    return _DrawnScene(rendering.colour_picture(), boxes, questions)


def _chosen(scene: _DrawnScene, balance: Balance[CvQuestion], random: Random) -> Iterator[CvQuestion]:
    """The questions that are asked about a scene."""
    for task in TASKS:
        left = [question for question in scene.questions if question.task == task]
        for _ in range(QUESTIONS_A_SCENE):
            chosen = balance.choose([(question, question.tallies) for question in left], random)
            if chosen is None:
                break
            yield chosen[0]
            left = [question for question in left if question.about != chosen[0].about]


def _row(scene: _DrawnScene, question: CvQuestion, number: int, source_filename: str) -> dict[str, Any]:
    """The row of one question, with its own copy of the picture and its own boxes."""
    height, width, _ = scene.picture.shape
    marks = [(colour, scene.boxes[index]) for colour, index in question.marks]
    dimension = DIMENSIONS[question.task]
    source = "Omni3D" if dimension == "3D" else ("ADE20K", "COCO")[number % 2]
    name = f"{source.lower()}_{number}.png"
    choices = "\n".join(
        f"({letter}) {text}" for letter, text in zip("ABCDEF", question.choices, strict=False)
    )
    return {
        "idx": number,
        "type": dimension,
        "task": question.task,
        "image": {"bytes": png_bytes(with_boxes(scene.picture, marks)), "path": name},
        "question": question.question,
        "choices": list(question.choices),
        "answer": f"({'ABCDEF'[question.answer]})",
        "prompt": f"{question.question} Select from the following choices.\n{choices}",
        "filename": f"img/{dimension}/{question.task.lower()}/{name}",
        "source": source,
        "source_dataset": "rendered",
        "source_filename": source_filename,
        "target_class": None,
        "target_size": None,
        "bbox": [[float(side) for side in around(box, (width, height))] for _, box in marks] or None,
    }
