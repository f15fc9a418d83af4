"""Ids that occur twice are refused with their names, wherever questions or answers are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.cv_bench import CvBench
from datamodules.omni_spatial import OmniSpatial
from datamodules.own_images import OwnImages
from datamodules.samples import DataError
from experiments.commands.score import SCORERS
from experiments.report.comparison import paired_answers
from tests.helpers.omni_spatial_files import row as omni_row
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import cv_bench_row, write_cv_bench
from tests.helpers.track3_files import record, write_split

NUMBERS = (0, 1, 2, 3, 1, 3, 1)
"""The numbers of questions: 1 comes three times, 3 twice."""


def answers(path: Path, names: list[str], **values: Any) -> Path:
    lines = [{"id": name, **(values or {"answer": "A", "normalized_answer": "1"})} for name in names]
    text = "\n".join(map(json.dumps, lines)) if path.suffix == ".jsonl" else json.dumps(lines)
    path.write_text(text)
    return path


def cv_bench_split(folder: Path) -> None:
    write_cv_bench(folder / "test_2d.parquet", [cv_bench_row(number) for number in NUMBERS])
    CvBench(root=str(folder), cache=str(folder / "cache")).split("test")


def cv_bench_truth(folder: Path) -> None:
    rows = [cv_bench_row(number) for number in NUMBERS]
    truth = write_cv_bench(folder / "test_2d.parquet", rows, without=("image",))
    names = [f"2D/{number}" for number in sorted(set(NUMBERS))]
    SCORERS["cv_bench"](truth, answers(folder / "answers.json", names))


def omni_spatial_split(folder: Path) -> None:
    write_omni_spatial(folder, [omni_row(0, id=f"{number}_0") for number in NUMBERS])
    OmniSpatial(root=str(folder)).split("test")


def omni_spatial_truth(folder: Path) -> None:
    write_omni_spatial(folder, [omni_row(0, id=f"{number}_0") for number in NUMBERS], images=False)
    SCORERS["omni_spatial"](folder / "data.json", answers(folder / "answers.json", ["Dynamic_Reasoning/0_0"]))


def track3_split(folder: Path) -> None:
    write_split(folder, "test", [record("a.png", number) for number in NUMBERS])
    AiCityTrack3(root=str(folder), cache=str(folder / "cache")).split("test")


def track3_truth(folder: Path) -> None:
    truth = write_split(folder, "val", [record("a.png", number) for number in NUMBERS], images=False)
    names = [f"a-{number}" for number in sorted(set(NUMBERS))]
    SCORERS["ai_city_track3"](truth, answers(folder / "answers.json", names))


def own_questions(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    rows = [f"a.png,Question?,q-{number}" for number in NUMBERS]
    (folder / "questions.csv").write_text("\n".join(["image,question,id", *rows]))
    OwnImages(str(folder)).require_split("test")


def predictions(folder: Path, ending: str = "json") -> None:
    truth = write_cv_bench(folder / "test_2d.parquet", [cv_bench_row(number) for number in range(4)])
    given = answers(folder / f"answers.{ending}", [f"2D/{number}" for number in NUMBERS])
    SCORERS["cv_bench"](truth, given)


def lines_of_a_run(folder: Path) -> None:
    predictions(folder, "jsonl")


def submission(folder: Path) -> None:
    truth = write_split(folder, "val", [record("a.png", number) for number in range(4)], images=False)
    SCORERS["ai_city_track3"](truth, answers(folder / "answers.json", [f"a-{number}" for number in NUMBERS]))


def compared_runs(folder: Path) -> None:
    told = {"group": "g", "task": "t", "answer": "A", "correct": True}
    once = answers(folder / "a.jsonl", [f"q-{number}" for number in range(4)], **told)
    paired_answers(once, answers(folder / "b.jsonl", [f"q-{number}" for number in NUMBERS], **told))


@pytest.mark.parametrize(
    ("read", "ids", "place"),
    [
        (cv_bench_split, ("2D/1", "2D/3"), r"row 4 of .*test_2d\.parquet"),
        (cv_bench_truth, ("2D/1", "2D/3"), r"test_2d\.parquet"),
        (omni_spatial_split, ("Dynamic_Reasoning/1_0", "Dynamic_Reasoning/3_0"), r"Row 4 of .*data\.json"),
        (omni_spatial_truth, ("Dynamic_Reasoning/1_0", "Dynamic_Reasoning/3_0"), r"Row 4 of .*data\.json"),
        (track3_split, ("a-1", "a-3"), r"test\.json"),
        (track3_truth, ("a-1", "a-3"), r"val\.json"),
        (own_questions, ("q-1", "q-3"), r"Line 6 of .*questions\.csv .*line 3"),
        (predictions, ("2D/1", "2D/3"), r"answers\.json"),
        (lines_of_a_run, ("2D/1", "2D/3"), r"answers\.jsonl"),
        (submission, ("a-1", "a-3"), r"answers\.json"),
        (compared_runs, ("q-1", "q-3"), r"b\.jsonl"),
    ],
)
def test_they_are_refused_by_name(
    tmp_path: Path, read: Callable[[Path], None], ids: tuple[str, str], place: str
) -> None:
    with pytest.raises(DataError, match=place) as error:
        read(tmp_path)
    first, second = ids
    assert first in str(error.value) and f"with 1 further ids: {second}." in str(error.value)


def test_at_most_ten_are_named(tmp_path: Path) -> None:
    names = [f"q{number}" for number in range(30)] * 2
    with pytest.raises(DataError, match=r"q0 appears twice in .* 29 further ids: q1, q2,.* q9, \.\.\.\. Ids"):
        SCORERS["ai_city_track3"](
            answers(tmp_path / "truth.json", names), answers(tmp_path / "a.json", ["q0"])
        )
