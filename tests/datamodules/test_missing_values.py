"""A choice that is missing is refused with its record, and one rule finds the answer of every reply."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from datamodules import cv_bench, omni_spatial
from datamodules.answers import read_length
from datamodules.answers.final_answer import final_answer, plain_characters
from datamodules.benchmarks.space_thinker_text import answer_text, reasoning_text
from datamodules.own_images import OwnImages
from datamodules.samples import DataError
from tests.helpers import parquet_files
from tests.helpers.omni_spatial_files import row as omni_row
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import cv_bench_row


def from_parquet(folder: Path, choices: list[Any]) -> tuple[str, ...]:
    row = cv_bench_row(2, choices=choices, answer="(A)")
    numbers = any(isinstance(choice, float) for choice in choices)
    types = {
        "image": parquet_files.HUB_IMAGE,
        "choices": pa.list_(pa.float64() if numbers else pa.string()),
        "bbox": pa.list_(pa.list_(pa.float64())),
    }
    file = parquet_files._write(folder / "test_2d.parquet", [row], list(row), types, ("image",))
    return next(iter(cv_bench.read_rows(file))).choices


def from_json(folder: Path, choices: list[Any]) -> tuple[str, ...]:
    write_omni_spatial(folder, [omni_row(0, options=choices)], images=False)
    return next(iter(omni_spatial.read_rows(folder))).choices


def from_own(folder: Path, choices: list[Any]) -> tuple[str, ...]:
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    (folder / "questions.json").write_text(
        json.dumps([{"image": "a.png", "question": "?", "choices": choices}])
    )
    (sample,) = OwnImages(str(folder)).split("test").samples(0, [0])
    return sample.choices


LAYOUTS = [
    (from_parquet, r"Row 0 of .*test_2d\.parquet \(id 2D/2\)"),
    (from_json, r"Row 0 of .*data\.json \(id 0_0\)"),
    (from_own, r"Record 1 of .*questions\.json"),
]


@pytest.mark.parametrize(("read", "where"), LAYOUTS)
@pytest.mark.parametrize(
    "missing", [None, "", " \t", float("nan")], ids=["null", "empty", "blank", "not a number"]
)
def test_a_missing_choice_is_refused(
    tmp_path: Path, read: Callable[[Path, list[Any]], tuple[str, ...]], where: str, missing: Any
) -> None:
    numbers = isinstance(missing, float)
    if numbers and read is from_json:
        pytest.skip("JSON that is streamed has no NaN")
    others = [1.0, 2.0, 3.0] if numbers else ["one", "two", "three"]
    with pytest.raises(DataError, match=f"{where} has a missing `(choices|options)`"):
        read(tmp_path, [*others, missing])


@pytest.mark.parametrize(("read", "where"), LAYOUTS)
def test_the_word_for_nothing_is_a_choice(
    tmp_path: Path, read: Callable[[Path, list[Any]], tuple[str, ...]], where: str
) -> None:
    assert read(tmp_path, ["None", "nan", "0", "null"]) == ("None", "nan", "0", "null")


@pytest.mark.parametrize(
    ("reply", "answer", "reasoning"),
    [
        ("<think>a</think><answer>2 m</answer>", "2 m", "a"),
        (
            "<think>First <answer>1 m</answer>, no.</think><answer>2 m</answer>",
            "2 m",
            "First <answer>1 m</answer>, no.",
        ),
        ("<answer>1 m</answer> Wait. <answer>2\u20133 feet</answer>", "2\u20133 feet", ""),
        ("<answer>2 m</answer><answer></answer>", "2 m", ""),
        ("<think>I close </think> twice.</think> 2 m", "2 m", "I close </think> twice."),
        ("<THINK>a</THINK><ANSWER> 2 m </ANSWER>", "2 m", "a"),
        ("<think>a <answer>2 m", "2 m", "a"),
        ("2 m", "2 m", ""),
    ],
)
def test_the_truth_is_found_as_it_is_read(reply: str, answer: str, reasoning: str) -> None:
    """The last answer block that holds something; and whoever answers as the data do is right."""
    assert (answer_text(reply, "Row 0"), reasoning_text(reply)) == (answer, reasoning)
    assert final_answer(reply) == plain_characters(answer)
    assert read_length(reply) == read_length(answer)


@pytest.mark.parametrize(
    "reply", ["<think>a</think>", "<think>a", "<answer></answer>", "<think>a</think><answer> "]
)
def test_a_reply_without_an_answer_is_refused(reply: str) -> None:
    with pytest.raises(DataError, match="Row 7 has a reply without an answer"):
        answer_text(reply, "Row 7")
