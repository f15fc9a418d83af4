"""Scoring files for CV-Bench, OmniSpatial and SpaceThinker: real truths, forms of predictions, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.samples import DataError
from experiments.commands.score import SCORERS, main
from tests.helpers.omni_spatial_files import row, write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)


def answers(path: Path, texts: dict[str, Any]) -> Path:
    path.write_text(json.dumps([{"id": name, "answer": text} for name, text in texts.items()]))
    return path


@pytest.mark.parametrize(
    ("text", "score", "official", "unreadable"),
    [
        ("Answer: A", 28.51, 28.51, 0),
        ("I cannot tell.", 0.0, 28.51, 1533),
        ("(C)", 24.14, 28.51, 2),
        ("**Answer:** B", 24.59, 28.51, 0),
        ("answer: b", 24.59, 0.0, 0),
        ("Answer: A? No.\nAnswer: B", 24.59, 24.59, 0),
    ],
)
def test_the_real_omni_spatial(
    shared_data: Path, tmp_path: Path, text: str, score: float | None, official: float | None, unreadable: int
) -> None:
    """Always "A" scores 28.51; refusing scores nothing, and 28.51 by the official protocol.

    Two questions have no (C): there it is unreadable. The official protocol reads nothing but `Answer: X`.
    """
    truth = shared_data / "omni_spatial" / "data.json"
    rows = json.loads(truth.read_text())
    texts = {f"{row['task_type']}/{row['id']}": text for row in rows}
    result = SCORERS["omni_spatial"](truth, answers(tmp_path / "answers.json", texts))
    assert (result["n"], result["unreadable"]) == (1533, unreadable)
    assert result["score"] == pytest.approx(score, abs=0.005)
    assert result["official"]["score"] == pytest.approx(official, abs=0.005)
    assert {name: part["n"] for name, part in result["tasks"].items()} == {
        "Dynamic_Reasoning": 420,
        "Spatial_Interaction": 300,
        "Complex_Logic": 252,
        "Perspective_Taking": 561,
    }
    assert sum(part["n"] for part in result["sources"].values()) == 1533


def test_the_real_space_thinker_rows(shared_data: Path, tmp_path: Path) -> None:
    truth = shared_data / "space_thinker" / "test-00000-of-00001.parquet"
    texts = {"0": "about 2.5 feet", "1": "<think>A goal ...</think><answer>30 m</answer>", "2": "1.5 meters"}
    result = SCORERS["space_thinker"](truth, answers(tmp_path / "answers.json", texts))
    assert result["score"] == pytest.approx(100)  # twice 15 m is the last length that is accepted
    assert result["within_25_percent"]["score"] == pytest.approx(100 / 3)
    assert result["tasks"].keys() == {"distance"}


def test_cv_bench_from_a_file_or_the_folder(tmp_path: Path) -> None:
    rows = [cv_bench_row(number) for number in range(4)]
    deep = [cv_bench_row(number, type="3D") for number in range(4)]
    write_cv_bench(tmp_path / "test_2d.parquet", rows)
    write_cv_bench(tmp_path / "test_3d.parquet", deep)
    right = {f"{row['type']}/{row['idx']}": row["answer"] for row in [*rows, *deep]}
    wrong = {**right, "2D/0": "Z", "2D/2": "(D) 0"}
    result = SCORERS["cv_bench"](tmp_path, answers(tmp_path / "answers.json", wrong))
    assert (result["score"], result["ours"]["score"], result["unreadable"]) == (75, 75, 1)
    assert {name: part["score"] for name, part in result["sources"].items()} == {
        "ADE20K": 0,
        "COCO": 100,
        "Omni3D": 100,
    }
    only = {name: text for name, text in right.items() if name.startswith("3D")}
    result = SCORERS["cv_bench"](tmp_path / "test_3d.parquet", answers(tmp_path / "deep.json", only))
    assert (result["score"], result["n"]) == (100, 4)


def test_the_lines_of_a_run_are_scored_by_what_the_model_wrote(tmp_path: Path) -> None:
    """In these lines `answer` is the truth, which must not be taken for the prediction."""
    folder = write_omni_spatial(tmp_path / "omni", [row(number) for number in range(8)])
    lines = [
        {
            "id": f"{entry['task_type']}/{entry['id']}",
            "answer": "ABCD"[entry["answer"]],
            "prediction": None,
            "raw": "C",
        }
        for entry in map(row, range(8))
    ]
    file = tmp_path / "predictions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = SCORERS["omni_spatial"](folder, file)
    assert (result["score"], result["n"]) == (25, 8)
    assert result["official"] is None, "a run whose lines name no words chose among candidates"
    asked = "".join(json.dumps({**line, "asked": "Write Answer: X."}) + "\n" for line in lines)
    file.write_text(asked)
    assert SCORERS["omni_spatial"](folder, file)["official"]["score"] == 25, "all taken for A"
    file.write_text(asked.replace('"Write', '0, "not": "Write', 1))
    with pytest.raises(DataError, match="an `asked` that is no text"):
        SCORERS["omni_spatial"](folder, file)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ('[{"id": "0", "answer": "1 m"}]', "1 ids are missing and 0 are extra .for example '1'"),
        (
            '[{"id": "0", "answer": "1 m"}, {"id": "1", "answer": "1 m"}, {"id": "2"}]',
            "Prediction 2 .* no `answer`",
        ),
        ('[{"id": "0", "answer": ["1 m"]}, {"id": "1", "answer": null}]', "that is no text"),
        ('{"id": "0", "answer": "1 m"}', "should hold a JSON array"),
        ("[]", "holds no records"),
    ],
)
def test_bad_predictions_are_refused(tmp_path: Path, content: str, pattern: str) -> None:
    truth = write_space_thinker(tmp_path / "truth.parquet", [space_thinker_row(0), space_thinker_row(1)])
    predictions = tmp_path / "predictions.json"
    predictions.write_text(content)
    with pytest.raises(DataError, match=pattern):
        SCORERS["space_thinker"](truth, predictions)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    truth = write_space_thinker(tmp_path / "truth.parquet", [space_thinker_row(0)])
    predictions = tmp_path / "predictions.jsonl"
    predictions.write_text('{"id": "0", "raw": "1 m"}\n{"id": ')
    with pytest.raises(DataError, match=r"Line 2 of .* is not well-formed JSON"):
        SCORERS["space_thinker"](truth, predictions)


def test_the_command_prints_one_json_line_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_cv_bench(tmp_path / "test_2d.parquet", [cv_bench_row(0)])
    file = answers(tmp_path / "answers.json", {"2D/0": "The answer is (A)."})
    arguments = ["--benchmark", "cv_bench", "--truth", str(truth), "--predictions"]
    main([*arguments, str(file)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result.keys() == {
        "score",
        "n",
        "interval",
        "unreadable",
        "weakly_read",
        "tasks",
        "sources",
        "official",
        "ours",
    }
    with pytest.raises(SystemExit, match="1"):
        main([*arguments, str(tmp_path / "nothing.jsonl")])
    assert "nothing.jsonl does not exist" in capsys.readouterr().err
