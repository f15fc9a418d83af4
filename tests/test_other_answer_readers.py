"""The readers of other suites do here what their own code does, and the comparison counts rightly."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import measuring
from benchmarks.other_answer_readers import (
    GUESSING,
    OURS,
    OWN_STRINGS,
    READERS,
    choice_strings,
    compare,
    main,
    read_as_lmms_eval,
    read_as_lmms_eval_cv_bench,
    read_as_lmms_eval_extracts,
    read_as_vlmevalkit,
    tally,
)
from datamodules.samples import DataError

FURNITURE = ("table", "chair", "lamp", "sofa")
Reader = Callable[[str, str, Sequence[str]], str | None]


@pytest.mark.parametrize(
    ("read", "text", "letter"),
    [
        # MMMU's: brackets, then a letter before a blank, then one before a full stop; the last of several.
        (read_as_lmms_eval, "(A) is wrong, so (C). B ", "C"),
        (read_as_lmms_eval, "B", "B"),
        (read_as_lmms_eval, "It is B or D , surely", "D"),
        (read_as_lmms_eval, "A chair.", "A"),
        (read_as_lmms_eval, "Seen from MEDIA B.x", "A"),
        (read_as_lmms_eval, "answer:C.", "C"),
        (read_as_lmms_eval, "a lamp stands on the old table", "B"),
        (read_as_lmms_eval, "the lamp", None),
        (read_as_lmms_eval, "B<|im_end|>", None),
        # The one of its spatial benchmarks: an end of the text goes before everything else.
        (read_as_lmms_eval_extracts, "A man. The answer is B, surely", "A"),
        (read_as_lmms_eval_extracts, "The answer is B, not C", "C"),
        (read_as_lmms_eval_extracts, "The answer is Chair, surely", "C"),
        (read_as_lmms_eval_extracts, "Not A) but B) here", "B"),
        (read_as_lmms_eval_extracts, "<answer>D</answer>", "D"),
        (read_as_lmms_eval_extracts, "the lamp", None),
        # CV-Bench's: the first letter, of whatever word it is.
        (read_as_lmms_eval_cv_bench, " (c) lamp", "C"),
        (read_as_lmms_eval_cv_bench, "Based on the image, the answer is (C).", "B"),
        (read_as_lmms_eval_cv_bench, "The answer is (B)", None),
        (read_as_lmms_eval_cv_bench, "**B**", None),
        # VLMEvalKit's: the only letter that is a word, if it is among the last four.
        (read_as_vlmevalkit, "The image shows a chair: (B).", "B"),
        (read_as_vlmevalkit, "A chair.", "A"),
        (read_as_vlmevalkit, "B is what I see there", None),
        (read_as_vlmevalkit, "A or B", None),
        (read_as_vlmevalkit, "The answer is B, as A is hidden", "B"),
        (read_as_vlmevalkit, "The answer is clearly visible", "C"),
        (read_as_vlmevalkit, "Z", None),
        (read_as_vlmevalkit, "That is the LAMP", "C"),
        (read_as_vlmevalkit, "lamp, table", None),
        (read_as_vlmevalkit, "It is the lamp over there, in the far corner of the room", None),
    ],
)
def test_what_another_suite_reads(read: Reader, text: str, letter: str | None) -> None:
    choices = ("old", "table", "lamp", "sofa") if "old table" in text else FURNITURE
    assert read(text, "ABCD", choices) == letter


@pytest.mark.parametrize("read", [read_as_lmms_eval, read_as_vlmevalkit])
def test_choices_that_are_not_written_are_not_found(read: Reader) -> None:
    assert read("this text has no letter of any choice", "ABCD", ()) is None


def says(reading: str | None, row: dict[str, Any]) -> str | None:
    return reading


def test_a_string_that_may_stay_unread_is_right_unread_and_wrong_misread() -> None:
    prose: dict[str, Any] = {"text": "x", "letters": "AB", "choices": [], "want": "A", "prose": True}
    none: dict[str, Any] = {"text": "y", "letters": "AB", "choices": [], "want": None}
    plain: dict[str, Any] = {"text": "z", "letters": "AB", "choices": [], "want": "A"}
    readings = {
        None: {"right": 2, "wrong": 0, "unreadable": 1, "nothing read": 3},
        "A": {"right": 2, "wrong": 1, "unreadable": 0, "nothing read": 0},
        "B": {"right": 0, "wrong": 3, "unreadable": 0, "nothing read": 0},
    }
    for reading, counts in readings.items():
        assert tally(partial(says, reading), [prose, none, plain]) == {"strings": 3, **counts}


def test_own_strings_have_readings_that_can_be_read() -> None:
    rows = choice_strings(OWN_STRINGS)
    assert len({row["text"] for row in rows}) == len(rows) == 50
    for row in rows:
        assert row["want"] is None or row["want"] in row["letters"], row
        assert len(row["choices"]) in (0, len(row["letters"])), row
    assert sum("question" in row for row in rows) == 15


def write(file: Path, *rows: object) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_the_comparison_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "bench")
    rows = [
        {"reader": "choice", "text": "(B)", "letters": "AB", "choices": [], "want": "B"},
        {"reader": "choice", "text": "Nothing to see", "letters": "AB", "choices": [], "want": None},
        {"reader": "length", "text": "2 m", "want": [2, 2]},
    ]
    file = write(tmp_path / "strings.jsonl", *rows)
    main([str(file)])
    assert "guessed at random" in capsys.readouterr().out
    result = json.loads((tmp_path / "bench" / "other_answer_readers.json").read_text())
    found = result["details"]["strings.jsonl"]
    assert found.keys() == READERS.keys()
    assert all(counts["strings"] == counts["right"] == 2 for counts in found.values())
    assert found[GUESSING]["guesses"] == 1 and "guesses" not in found[OURS]
    assert (result["ours"], result["other"], result["ratio"]) == (100, 100, 1)


def test_a_file_without_choice_strings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = write(tmp_path / "lengths.jsonl", {"reader": "length", "text": "2 m", "want": [2, 2]})
    with pytest.raises(DataError, match="has no string whose `reader` is `choice`"):
        compare([lengths])
    for rows in ([{"reader": "choice", "text": "B"}], [7]):
        with pytest.raises(DataError, match=r"Line 1 of .* is no string with its reading"):
            compare([write(tmp_path / "broken.jsonl", *rows)])
    with pytest.raises(SystemExit):
        main([str(tmp_path / "absent.jsonl")])
    assert "absent.jsonl" in capsys.readouterr().err
