"""Whatever a model may write, as the readers of answers meet it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from datamodules.answers import FINDERS, find_choice, find_length
from datamodules.answers.final_answer import stated_answer
from datamodules.benchmarks.space_thinker_text import reasoning_text, task_of, user_text
from datamodules.samples import AnswerType
from tests.fuzz.mutations import mutated_text
from tests.fuzz.trials import Target
from tests.helpers.commands import ROOT
from tests.helpers.parquet_files import WRAPPER

STRINGS = ROOT / "tests/datamodules/answers/own_strings.jsonl"
PIECES = (
    *(
        "(A)",
        " not ",
        "\\boxed{",
        "</think>",
        "<think>",
        "<answer>",
        "</answer>",
        " 3 ",
        " m",
        "\n",
        "left",
        "1/0",
    ),
    *(
        "¼",
        "'",
        '"',
        "{",
        "}",
        " and ",
        "one hundred ",
        "1,",
        ".5",
        "-",
        "*",
        "Answer: ",
        "\0",
        "\ud800",
        "²",
        "٣",
    ),
    *("twenty-", "a half ", "e9", "feet ", "°", "\u200b", "option ", "(", ")", "[Region 0]", "  ", "\t", "½"),
)


def rows() -> list[dict[str, Any]]:
    """The strings of the tests, with what they are read for."""
    return [json.loads(line) for line in STRINGS.read_text("utf-8").splitlines()]


TEXTS = [row["text"] for row in rows()]
CHOICES = ("the lamp", "the table", "left", "3", "1/2")


def _find(kind: AnswerType, texts: tuple[str, str], folder: Path) -> None:
    FINDERS[kind](*texts)


def _choice(texts: tuple[str, str, int], folder: Path) -> None:
    text, question, count = texts
    find_choice(text, "ABCDE"[:count], CHOICES[:count], question)
    find_choice(text, "ABCD", (), question)


def _reply(text: str, folder: Path) -> None:
    stated_answer(text)
    reasoning_text(text)
    task_of(text)
    if text:
        user_text({"input": text, "output": text}, "Row 1")


TEXT = st.one_of(mutated_text(TEXTS, PIECES), st.text(), st.text("0123456789., -/'\"mftin()ABC\n"))
QUESTION = st.sampled_from(["", "How far is it?", "How many chairs?", "Left or right?", "Is <mask> near?"])

TARGETS = (
    *(Target(f"answers, {kind}", st.tuples(TEXT, QUESTION), partial(_find, kind)) for kind in FINDERS),
    Target("answers, length", st.tuples(TEXT, QUESTION), lambda texts, folder: find_length(*texts)),
    Target("answers, letter", st.tuples(TEXT, QUESTION, st.integers(1, 5)), _choice),
    Target(
        "replies of SpaceThinker",
        st.one_of(TEXT, mutated_text([WRAPPER.format(text) for text in TEXTS[:20]], PIECES)),
        _reply,
    ),
)
"""All of them."""
