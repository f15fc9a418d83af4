"""The file the AI City Challenge takes: one normalised answer for each question id."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from datamodules.answers import read_answer
from datamodules.samples import Answer, DataError


def write_submission(answers: Iterable[Answer], path: Path) -> int:
    """Write a Track 3 submission, a JSON list of `{"id", "normalized_answer"}`, and return its length.

    The answers are read in the form of their category where it is known, else taken as they are written. An
    unreadable answer is submitted as an empty string: the challenge wants every id.

    Raises:
        DataError: two answers to one question differ (equal ones are written once).
    """
    rows: dict[str, str] = {}
    for answer in answers:
        text = read_answer(answer) or ""
        if rows.setdefault(answer.sample.id, text) != text:
            raise DataError(
                f"Question {answer.sample.id} has two different answers, {rows[answer.sample.id]!r} and "
                f"{text!r}; a submission holds one. Do not join the predictions of two runs."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(
        json.dumps([{"id": name, "normalized_answer": text} for name, text in rows.items()], indent=1) + "\n",
        encoding="utf-8",
    )
    unfinished.replace(path)
    return len(rows)
