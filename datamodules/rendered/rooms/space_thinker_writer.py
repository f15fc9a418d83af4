"""Writes rendered rooms and yards as SpaceThinker: one Parquet file a split."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from random import Random

from datamodules.rendered.rooms.balance import Balance
from datamodules.rendered.rooms.box_marks import png_bytes
from datamodules.rendered.rooms.parquet import IMAGE, STRING, Feature, ParquetFile, listed
from datamodules.rendered.rooms.scene_drawing import Subject, drawn_scenes
from datamodules.rendered.rooms.space_thinker_questions import TASKS, ThinkerQuestion, offered
from datamodules.rendered.writing import SPLITS, require_empty

QUESTIONS_A_SCENE = {"distance": 2, "size": 1, "count": 1, "relation": 1}
"""So many questions of every task are asked about a scene, where the balance of answers allows it."""

SUBJECT: Subject[ThinkerQuestion] = Subject("SpaceThinker", offered, TASKS)

COLUMNS: dict[str, Feature] = {
    "input": STRING,
    "output": STRING,
    "reasoning": STRING,
    "images": listed(IMAGE),
}
"""The columns of the official files."""

INPUT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>  detailed thinking on<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>  {question}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>"
)
"""The template around every question."""

OUTPUT = "<think>{thought}</think>\n<answer>{answer}</answer>"
"""The template around every reply."""


def write_space_thinker(
    folder: Path,
    *,
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None = None,
) -> None:
    """Render scenes and write `data/{split}-00000-of-00001.parquet` into a new or empty folder.

    Sides and numbers are spread evenly over the answers; lengths are as they come.

    Raises:
        DataError: the folder holds files, or no scene with enough questions was found.
    """
    require_empty(folder)
    with drawn_scenes(SUBJECT, scenes, size, seed, processes) as drawn:
        for split in (split for split in SPLITS if split in scenes):
            balance: Balance[ThinkerQuestion] = Balance()
            with ParquetFile(folder / "data" / f"{split}-00000-of-00001.parquet", COLUMNS) as file:
                for scene in islice(drawn, scenes[split]):
                    image = {"bytes": png_bytes(scene.image), "path": f"{scene.name}.png"}
                    random = Random(f"{seed} {scene.name} questions")
                    for question in balance.ask(scene.questions, QUESTIONS_A_SCENE, random):
                        file.append(
                            {
                                "input": INPUT.format(question=question.question),
                                "output": OUTPUT.format(thought=question.thought, answer=question.answer),
                                "reasoning": "on",
                                "images": [image],
                            }
                        )
