"""Writes rendered rooms and yards as CV-Bench: one Parquet file for its 2D tasks and one for its 3D tasks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

from datamodules.rendered.rooms.balance import Balance
from datamodules.rendered.rooms.box_marks import around, png_bytes, with_boxes
from datamodules.rendered.rooms.counter_intuitive_questions import offered_by_height
from datamodules.rendered.rooms.cv_bench_questions import TASKS, CvQuestion, offered
from datamodules.rendered.rooms.parquet import IMAGE, NUMBER, STRING, WHOLE, Feature, ParquetFile, listed
from datamodules.rendered.rooms.raised_scene import draw_raised_room
from datamodules.rendered.rooms.scene_drawing import Drawn, Subject, drawn_scenes
from datamodules.rendered.writing import SPLITS, require_empty
from datamodules.samples import DataError

QUESTIONS_A_SCENE: Mapping[str, int] = dict.fromkeys(TASKS, 2)
"""So many questions of every task are asked about a scene, where the balance of answers allows it."""

Difficulty = Literal["ordinary", "counter_intuitive"]

SUBJECT: Subject[CvQuestion] = Subject("CV-Bench", offered, TASKS)

SUBJECTS: Mapping[Difficulty, Subject[CvQuestion]] = {
    "ordinary": SUBJECT,
    "counter_intuitive": Subject("counter-intuitive CV-Bench", offered_by_height, TASKS, draw_raised_room),
}
"""What is drawn and asked at each difficulty."""

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


def write_cv_bench(
    folder: Path,
    *,
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None = None,
    difficulty: Difficulty = "ordinary",
) -> None:
    """Render scenes and write `{split}_2d.parquet` and `{split}_3d.parquet` into a new or empty folder.

    The answers of every task are spread evenly over the letters, and no class of objects is right more often
    than it is wrong. `source` holds the three official values, so that the official score can be taken;
    `source_dataset` says "rendered". Questions with one `source_filename` show the same scene. `bbox` holds
    the outer edges of the boxes that are drawn (left, top, right, bottom in pixels).

    At the difficulty "counter_intuitive", things stand on others or hang, and cameras are tilted. In every
    split, height in the image (see `height_for_distance`) answers as many questions for depth right as wrong,
    and so of those for distance; where it says too little, nothing is asked.

    Raises:
        DataError: the difficulty is unknown, the folder holds files, or no scene with enough questions was
            found.
    """
    check_difficulty(difficulty)
    require_empty(folder)
    with drawn_scenes(SUBJECTS[difficulty], scenes, size, seed, processes) as drawn:
        for split in (split for split in SPLITS if split in scenes):
            balance: Balance[CvQuestion] = Balance()
            numbers = count()
            waiting: _Waiting = {}
            with ExitStack() as stack:
                files = {
                    name: stack.enter_context(
                        ParquetFile(folder / f"{split}_{name.lower()}.parquet", COLUMNS)
                    )
                    for name in ("2D", "3D")
                }
                for scene in islice(drawn, scenes[split]):
                    random = Random(f"{seed} {scene.name} questions")
                    for question in balance.ask(scene.questions, QUESTIONS_A_SCENE, random):
                        for asked in _in_pairs(scene, question, waiting):
                            files[DIMENSIONS[question.task]].append(_row(*asked, next(numbers)))


def check_difficulty(difficulty: str) -> None:
    """Raise `DataError` for a difficulty that is not known."""
    if difficulty not in get_args(Difficulty):
        raise DataError(
            f"The difficulty {difficulty!r} of a rendered CV-Bench is unknown; "
            'give "ordinary" or "counter_intuitive".'
        )


_Asked = tuple[Drawn[CvQuestion], CvQuestion]
_Waiting = dict[str, _Asked]


def _in_pairs(scene: Drawn[CvQuestion], question: CvQuestion, waiting: _Waiting) -> list[_Asked]:
    """What is to be written now: nothing of a question whose counterpart is still to come, then both.

    The balance gives every second question with a class of height the other class than the one before it has.
    One that has no counterpart at the end of a split is never written.
    """
    asked = scene, question
    if question.height is None:
        return [asked]
    if (before := waiting.pop(question.task, None)) is None:
        waiting[question.task] = asked
        return []
    return [before, asked]


def _row(scene: Drawn[CvQuestion], question: CvQuestion, number: int) -> dict[str, Any]:
    """The row of one question, with its own copy of the image and its own boxes."""
    height, width, _ = scene.image.shape
    marks = [(colour, scene.boxes[index]) for colour, index in question.marks]
    dimension = DIMENSIONS[question.task]
    source = "Omni3D" if dimension == "3D" else ("ADE20K", "COCO")[number % 2]
    name = f"{source.lower()}_{number}.png"
    choices = "\n".join(f"({letter}) {text}" for letter, text in zip("ABCD", question.choices, strict=False))
    return {
        "idx": number,
        "type": dimension,
        "task": question.task,
        "image": {"bytes": png_bytes(with_boxes(scene.image, marks)), "path": name},
        "question": question.question,
        "choices": list(question.choices),
        "answer": f"({'ABCD'[question.answer]})",
        "prompt": f"{question.question} Select from the following choices.\n{choices}",
        "filename": f"img/{dimension}/{question.task.lower()}/{name}",
        "source": source,
        "source_dataset": "rendered",
        "source_filename": f"{scene.name}.png",
        "target_class": None,
        "target_size": None,
        "bbox": [[float(side) for side in around(box, (width, height))] for _, box in marks] or None,
    }
