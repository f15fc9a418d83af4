"""Scoring files: the official golden values, and files that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.samples import Answer, AnswerType, DataError, SpatialSample
from datamodules.scoring.submission import write_submission
from experiments.commands.score import main, score_track3
from tests.helpers.track3_files import record

TRUTH = [
    {"id": "a", "normalized_answer": "left"},
    {"id": "b", "normalized_answer": "2"},
    {"id": "c", "normalized_answer": 2.5},
    {"id": "d", "normalized_answer": 3},
    {"id": "e", "normalized_answer": 0},
]


def write(path: Path, rows: Any) -> Path:
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return path


@pytest.mark.parametrize(("name", "score"), [("perfect", 100.0), ("partial", 48.98584037253627)])
def test_golden_values(shared_data: Path, name: str, score: float) -> None:
    folder = shared_data / "ai_city_track3" / "predictions"
    result = score_track3(folder / "perfect_predictions_val.json", folder / f"{name}_predictions_val.json")
    assert result["score"] == score
    assert (result["n"], result["unreadable"]) == (1942, 0)
    assert {task: part["n"] for task, part in result["tasks"].items()} == {
        "left_right": 500,
        "mcq": 456,
        "distance": 486,
        "count": 500,
    }


@pytest.mark.parametrize(
    ("of", "changed", "official"),
    [
        ({"left", "right"}, "{}\n", 100.0),
        ({"left", "right"}, "\t{} ", 100.0),
        (set("0123456789"), "0{}", 75.0),
        (set("0123456789"), "none: {}", 77.47),
    ],
    ids=["a line break behind each side", "spaces", "a 0 before each region", "a word before each region"],
)
def test_official_means_official(
    shared_data: Path, tmp_path: Path, of: set[str], changed: str, official: float
) -> None:
    """Perfect answers written in an odd way: the challenge's code strips sides and compares regions as text.

    It makes "no1" of "none", so that a quarter of the score is the share of regions that are 1 (45 of 456).
    """
    perfect = shared_data / "ai_city_track3" / "predictions" / "perfect_predictions_val.json"
    rows = json.loads(perfect.read_text())
    for row in rows:
        value = row["normalized_answer"]
        if isinstance(value, str) and (value in of or (value.isdigit() and "0" in of)):
            row["normalized_answer"] = changed.format(value)
    result = score_track3(perfect, write(tmp_path / "odd.json", rows))
    assert result["official"] == {key: result[key] for key in ("score", "n", "interval")}
    assert result["score"] == pytest.approx(official, abs=0.01)
    assert result["ours"]["score"] == 100.0
    assert result["unreadable"] == 0


def test_bare_truth_tells_its_categories(tmp_path: Path) -> None:
    truth = write(tmp_path / "truth.json", TRUTH)
    result = score_track3(truth, truth)
    assert {task: part["n"] for task, part in result["tasks"].items()} == {
        "left_right": 1,
        "mcq": 1,
        "distance": 2,
        "count": 1,
    }


def test_official_records_as_truth(tmp_path: Path) -> None:
    truth = write(tmp_path / "val.json", [record("a.png", number) for number in range(4)])
    rows = [
        {"id": f"a-{number}", "normalized_answer": value}
        for number, value in enumerate(["left", 1, "8.9", "?"])
    ]
    result = score_track3(truth, write(tmp_path / "submission.json", rows))
    assert {task: part["score"] for task, part in result["tasks"].items()} == {
        "left_right": 100,
        "mcq": 100,
        "distance": 100,
        "count": 0,
    }
    assert (result["score"], result["unreadable"]) == (75, 1)


@pytest.mark.parametrize(
    ("rows", "pattern"),
    [
        (TRUTH[2:], "2 ids are missing and 0 are extra"),
        ([*TRUTH[1:], {"id": "x", "normalized_answer": 1}], "1 ids are missing and 1 are extra"),
        ([*TRUTH, TRUTH[0]], "id a appears twice"),
        ([*TRUTH[1:], {"id": "a"}], "Prediction a .* has no `normalized_answer`"),
        ([], "holds no records"),
        ([1], "not an object with an `id`"),
        ("[{", "not well-formed JSON"),
    ],
)
def test_bad_predictions_are_refused(tmp_path: Path, rows: Any, pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        score_track3(write(tmp_path / "truth.json", TRUTH), write(tmp_path / "predictions.json", rows))


@pytest.mark.parametrize(
    ("row", "pattern"),
    [
        ({"id": "a"}, "Question a .* has no `normalized_answer`"),
        ({"id": "a", "normalized_answer": 1, "category": "colour"}, "unknown category 'colour'"),
    ],
)
def test_bad_truth_is_refused(tmp_path: Path, row: dict[str, Any], pattern: str) -> None:
    predictions = write(tmp_path / "predictions.json", [{"id": "a", "normalized_answer": 1}])
    with pytest.raises(DataError, match=pattern):
        score_track3(write(tmp_path / "truth.json", [row]), predictions)


def test_the_command_prints_one_json_line_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = str(write(tmp_path / "truth.json", TRUTH))
    arguments = ["--benchmark", "ai_city_track3", "--truth", truth, "--predictions"]
    main([*arguments, truth])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result.keys() == {
        "score",
        "n",
        "interval",
        "unreadable",
        "weakly_read",
        "tasks",
        "official",
        "ours",
    }
    with pytest.raises(SystemExit, match="1"):
        main([*arguments, str(tmp_path / "nothing.json")])
    assert "nothing.json does not exist" in capsys.readouterr().err


def answered(name: str, raw: str, form: AnswerType | None = AnswerType.COUNT) -> Answer:
    return Answer(SpatialSample(name, "?", answer_type=form), raw)


def test_a_submission_holds_every_id_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "submission.json"
    answers = [answered("a", "three pallets"), answered("b", "many"), answered("c", " left ", None)]
    assert write_submission([*answers, answers[0]], file) == 3
    assert json.loads(file.read_text()) == [
        {"id": "a", "normalized_answer": "3"},
        {"id": "b", "normalized_answer": ""},
        {"id": "c", "normalized_answer": "left"},
    ]
    assert [path.name for path in file.parent.iterdir()] == ["submission.json"]
    with pytest.raises(DataError, match="Question a has two different answers, '3' and '4'"):
        write_submission([answers[0], answered("a", "4")], file)
