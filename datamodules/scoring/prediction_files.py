"""Files of predictions: any system's list of answers, and the lines that a run of this project writes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.errors.file_contents import why_not_readable
from datamodules.files.json_stream import stream_array
from datamodules.files.text_files import NOT_JSON, not_utf8, why_not_json
from datamodules.files.unique_ids import UniqueIds
from datamodules.samples import DataError

ANSWER_KEYS = ("raw", "prediction", "answer")
"""Where an answer stands, best first: beside `raw` or `prediction`, `answer` is the truth (a run's lines)."""


class Written(NamedTuple):
    """What a system wrote, and what it was asked with; None where the file does not say (see `Answer`)."""

    text: str
    asked: str | None


def records_by_id(path: Path) -> dict[str, dict[str, Any]]:
    """The objects of a file by their id: those of a JSON list, or one on each line of a `.jsonl` file.

    Raises:
        DataError: the file is missing, malformed or empty, an element has no id, or ids appear twice.
    """
    records: dict[str, dict[str, Any]] = {}
    ids = UniqueIds()
    elements = _lines(path) if path.suffix == ".jsonl" else stream_array(path)
    for position, record in enumerate(elements):
        if not isinstance(record, dict) or "id" not in record:
            raise DataError(f"Element {position} of {path} is not an object with an `id`.")
        name = str(record["id"])
        ids.add(name, f"The id {name} appears twice in {path}.")
        records[name] = record
    ids.require()
    if not records:
        raise DataError(f"{path} holds no records.")
    return records


def read_predictions(path: Path) -> dict[str, Written]:
    """What a system answered to each question, as it wrote it; "" for a null.

    Raises:
        DataError: `records_by_id` refuses the file, or an element has no answer or one that is no text.
    """
    return {
        name: Written(_answer(record, path), _asked(record, path))
        for name, record in records_by_id(path).items()
    }


def require_same_ids(truth: Collection[str], predictions: Collection[str], files: tuple[Path, Path]) -> None:
    """Raise `DataError` with both counts where predictions leave out questions or answer others.

    Args:
        truth: the ids of the questions.
        predictions: the ids of the answers.
        files: where the two come from, truth first.
    """
    missing, extra = _without(truth, predictions), _without(predictions, truth)
    if missing or extra:
        example = f"for example {sorted(missing or extra)[0]!r}"
        raise DataError(
            f"{files[1]} does not answer the questions of {files[0]}: {len(missing)} ids are missing and "
            f"{len(extra)} are extra ({example}). Only files with exactly the same ids are scored."
        )


def _without(names: Iterable[str], others: Iterable[str]) -> set[str]:
    return set(names) - set(others)


def _answer(record: dict[str, Any], path: Path) -> str:
    key = next((key for key in ANSWER_KEYS if key in record), None)
    if key is None:
        raise DataError(
            f"Prediction {record['id']} of {path} has no `answer`. Put what the system wrote there, as text."
        )
    value = record[key]
    if isinstance(value, bool | list | dict):
        raise DataError(f"Prediction {record['id']} of {path} has an `{key}` that is no text: {value!r}.")
    return "" if value is None else str(value)


def _asked(record: dict[str, Any], path: Path) -> str | None:
    """What an answer replies to: a run's lines say so where it was written, other systems need not."""
    asked = record.get("asked", "" if "raw" in record else None)
    if asked is not None and not isinstance(asked, str):
        raise DataError(f"Prediction {record['id']} of {path} has an `asked` that is no text: {asked!r}.")
    return asked


def _lines(path: Path) -> Iterator[object]:
    if not path.is_file():
        raise DataError(f"The file {path} does not exist. Check the name of the predictions file.")
    with path.open(encoding="utf-8-sig") as lines:
        number = 0
        try:
            for number, line in enumerate(lines, 1):  # noqa: B007 - the error names it
                if line.strip():
                    yield json.loads(line)
        except UnicodeDecodeError as error:
            raise DataError(not_utf8(path, error)) from error
        except NOT_JSON as error:
            raise DataError(
                f"Line {number} of {path} is not well-formed JSON ({why_not_json(error, number)}). "
                f"{why_not_readable(path) or 'A line holds one object.'}"
            ) from error
