"""Predictions of several processes as one file, and the submission that is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.cv_bench import CvBench
from datamodules.mixture import Mixture
from datamodules.samples import Answer, SpatialSample
from experiments.callbacks.predictions import PredictionsWriter, unique_lines
from experiments.command_line.submission_file import write_submission_file
from experiments.run_folders.run_folder import RunFolder


def test_of_a_question_that_several_processes_answered_the_first_line_stays(tmp_path: Path) -> None:
    """Its answers may differ: batches of other sizes round otherwise."""
    said = [[("a", "1"), ("b", "2")], [("b", "other"), ("c", "3")], [("a", "1"), ("d", "4"), ("d", "5")]]
    parts = []
    for number, lines in enumerate(said):
        parts.append(tmp_path / f"{number}.jsonl")
        parts[-1].write_text("".join(json.dumps({"id": i, "raw": raw}) + "\n" for i, raw in lines))
    kept = [json.loads(line) for line in unique_lines(parts)]
    assert [(line["id"], line["raw"]) for line in kept] == [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]


def test_what_was_asked_and_reasoned_stands_beside_the_answer(tmp_path: Path) -> None:
    """And what nobody has judged says so."""
    waited: list[int] = []
    trainer: Any = SimpleNamespace(
        global_rank=0,
        world_size=1,
        is_global_zero=True,
        datamodule=None,
        strategy=SimpleNamespace(barrier=lambda: waited.append(1)),
    )
    module: Any = None
    writer = PredictionsWriter()
    writer.folder = RunFolder(tmp_path / "run")
    writer.on_predict_start(trainer, module)
    first = SpatialSample("q0", "What?", group="i0", task="t", answer="B")
    answers = [
        Answer(first, "(B)", asked="Say: What?", reasoning="It is B. Answer:"),
        Answer(SpatialSample("q1", "Which?"), "x"),
    ]
    writer.write_on_batch_end(trainer, module, answers, None, {}, 0, 0)
    writer.on_predict_end(trainer, module)
    lines = [json.loads(line) for line in writer.folder.predictions.read_text().splitlines()]
    assert lines == [
        {
            "id": "q0",
            "group": "i0",
            "task": "t",
            "question": "What?",
            "answer": "B",
            "prediction": "(B)",
            "correct": None,
            "raw": "(B)",
            "asked": "Say: What?",
            "reasoning": "It is B. Answer:",
        },
        {
            "id": "q1",
            "group": "",
            "task": "",
            "question": "Which?",
            "answer": None,
            "prediction": "x",
            "correct": None,
            "raw": "x",
        },
    ]
    assert [path.name for path in writer.folder.path.iterdir()] == ["predictions.jsonl"]
    assert len(waited) == 2


WRITTEN = [
    ("count", "there are two boxes", "2"),
    ("distance", "it is 3.5 meters away", "3.5"),
    ("distance", "250 cm", "2.5"),
    ("left_right", "The pallet is on the left side.", "left"),
    ("mcq", "[Region 3] is the closest.", "3"),
    ("count", "no idea", ""),
    ("unheard of", "as it is written", "as it is written"),
]
"""Category, what a model wrote, and what the challenge is given."""


def test_a_submission_holds_what_is_read_in_the_form_of_the_category(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert write_submission_file(AiCityTrack3(), folder) is None
    lines = [
        {"id": f"q{number}", "question": "What?", "task": task, "raw": raw}
        for number, (task, raw, _) in enumerate(WRITTEN)
    ]
    folder.predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert write_submission_file(CvBench(), folder) is None
    mixed = Mixture(train=[CvBench(), AiCityTrack3()], evaluation=AiCityTrack3())
    for data in (AiCityTrack3(), mixed):
        folder.submission.unlink(missing_ok=True)
        assert write_submission_file(data, folder) == folder.submission
        assert json.loads(folder.submission.read_text()) == [
            {"id": f"q{number}", "normalized_answer": given} for number, (_, _, given) in enumerate(WRITTEN)
        ]
