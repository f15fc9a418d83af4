"""Writes rendered rooms and yards as OmniSpatial: `data.json` and a folder of images for each task type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from datamodules.rendered.rooms.arrow_scene import draw_arrow_room
from datamodules.rendered.rooms.balance import Balance
from datamodules.rendered.rooms.box_marks import png_bytes, with_letters
from datamodules.rendered.rooms.omni_question import TASKS, OmniQuestion
from datamodules.rendered.rooms.omni_spatial_questions import offered
from datamodules.rendered.rooms.scene_drawing import Subject, drawn_scenes
from datamodules.rendered.writing import SPLITS, require_empty

QUESTIONS_A_SCENE = {
    "Perspective_Taking": 2,
    "Dynamic_Reasoning": 1,
    "Spatial_Interaction": 1,
    "Complex_Logic": 1,
}
"""So many questions of every task type are asked about a scene, where the balance of answers allows it."""

SUBJECT: Subject[OmniQuestion] = Subject("OmniSpatial", offered, TASKS, draw_arrow_room)


def write_omni_spatial(
    folder: Path,
    *,
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None = None,
) -> None:
    """Render scenes and write `data.json` and `{task_type}/{number}.png` into a new or empty folder.

    The test split lies in the folder itself, the other two in the same layout in `train` and `val`. The
    answers are spread evenly over the options. Images of different task types with one number show the
    same scene.

    Raises:
        DataError: the folder holds files, or no scene with enough questions was found.
    """
    require_empty(folder)
    with drawn_scenes(SUBJECT, scenes, size, seed, processes) as drawn:
        for split in (split for split in SPLITS if split in scenes):
            place = folder if split == "test" else folder / split
            for task in TASKS:
                (place / task).mkdir(parents=True)
            balance: Balance[OmniQuestion] = Balance()
            rows: list[dict[str, Any]] = []
            for scene in islice(drawn, scenes[split]):
                asked = dict.fromkeys(TASKS, 0)
                random = Random(f"{seed} {scene.name} questions")
                for question in balance.ask(scene.questions, QUESTIONS_A_SCENE, random):
                    letters = [scene.boxes[index] for index in question.letters]
                    image = with_letters(scene.image, letters)
                    file = place / question.task / f"{scene.index}.png"
                    if not asked[question.task]:
                        file.write_bytes(png_bytes(image))
                    rows.append(_row(question, f"{scene.index}_{asked[question.task]}"))
                    asked[question.task] += 1
            text = ",\n".join(json.dumps(row) for row in rows)
            (place / "data.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


def _row(question: OmniQuestion, identity: str) -> dict[str, Any]:
    """The row of one question."""
    return {
        "id": identity,
        "question": question.question,
        "options": list(question.options),
        "answer": question.answer,
        "task_type": question.task,
        "sub_task_type": question.kind,
    }
