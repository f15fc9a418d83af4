"""Questions that somebody wrote down: the rows of a CSV or JSON file, each of which knows where it stands."""

from __future__ import annotations

import csv
import difflib
import io
import json
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.files.text_files import NOT_JSON, why_not_json
from datamodules.samples import DataError

ENDINGS = (".csv", ".tsv", ".json", ".jsonl")
"""The endings of files with questions, in small letters."""

PREFERRED = "questions"
"""What the file is called, without its ending, where a folder holds several such files."""

_DELIMITERS = ",;\t"
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class QuestionRow:
    """One row of a file: its values by column, without empty ones, and what to call it in messages."""

    where: str
    values: dict[str, Any]


def find_questions(folder: Path, name: str | None) -> Path:
    """The file of questions in a folder: the named one, the only one, or the one called `questions`.

    Raises:
        DataError: there is no such file, or it is not clear which one is meant.
    """
    if name is not None:
        file = folder / name
        if not file.is_file():
            raise DataError(f"The file of questions {file} does not exist. Correct `questions`.")
        return file
    there = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in ENDINGS and file.is_file() and not file.name.startswith(".")
    )
    chosen = [file for file in there if file.stem.lower() == PREFERRED] or there
    if not chosen:
        raise DataError(
            f"The folder {folder} holds no file of questions. Write {folder / PREFERRED}.csv with the "
            "columns image and question, a question a line."
        )
    if len(chosen) > 1:
        raise DataError(
            f"The folder {folder} holds several files that may be the questions: "
            f"{', '.join(file.name for file in chosen)}. Say which one with --data.questions NAME."
        )
    return chosen[0]


def read_questions(
    file: Path, needed: Collection[str], optional: Collection[str], encoding: str | None = None
) -> list[QuestionRow]:
    """The rows of a file.

    A CSV file names its columns in its first line and separates them by commas, semicolons or tabs. A JSON
    file holds a list of objects, a `.jsonl` file an object a line. Capitals in names of columns do not count,
    and columns of other names are passed over.

    Args:
        file: the file.
        needed: the columns that every row must fill.
        optional: the columns that a row may fill.
        encoding: how the text was written; UTF-8, or what its byte order mark says, when left out.

    Raises:
        DataError: the file cannot be read, decoded or taken apart, holds no question, or lacks a column; or
            the name of a column is nearly that of a known one.
    """
    text = _decoded(file, encoding)
    parse = {".json": _json_rows, ".jsonl": _json_lines}.get(file.suffix.lower())
    known = (*needed, *optional)
    rows = list(parse(text, file) if parse else _csv_rows(text, file, known))
    if not rows:
        raise DataError(f"The file {file} holds no questions. Write at least one with image and question.")
    columns = dict.fromkeys(name for row in rows for name in row.values)
    for name in columns:
        near = difflib.get_close_matches(name, known, 1, cutoff=0.8)
        if name not in known and near:
            raise DataError(f"The file {file} has the column {name!r}. Did you mean {near[0]!r}?")
    for row in rows:
        if missing := [name for name in needed if name not in row.values]:
            raise DataError(f"{row.where} has no {' and no '.join(missing)}. Fill it in, or remove the row.")
    return rows


def _decoded(file: Path, encoding: str | None) -> str:
    """The text of a file."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"The file {file} cannot be read: {error.strerror}.") from error
    written = encoding or _BYTE_ORDER_MARKS.get(content[:2], "utf-8-sig")
    try:
        return content.decode(written)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"Line {line} of {file} is not {written.removesuffix('-sig').upper()}: byte "
            f"0x{content[error.start]:02x} cannot be read. Save the file as UTF-8, or say how it was "
            "written, for example with --data.encoding latin-1."
        ) from error
    except LookupError as error:
        raise DataError(f"There is no `encoding` {encoding!r}; utf-8 and latin-1 are two of them.") from error


def _csv_rows(text: str, file: Path, known: Collection[str]) -> Iterator[QuestionRow]:
    """The rows below the line with the names of columns; lines without any text are passed over."""
    # The text of a mask may be long.
    csv.field_size_limit(sys.maxsize)
    lines = (line for line in text.splitlines() if line.strip() and not _is_hint(line))
    heading = next(lines, "")
    delimiter = max(_DELIMITERS, key=lambda mark: len({*map(_column, heading.split(mark))} & {*known}))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"The row at line {line} of {file} cannot be taken apart: {error}.") from error
        if not any(cells) or (not header and _is_hint(cells[0])):
            continue
        if not header:
            header = _header(cells, f"Line {line} of {file}")
            continue
        if any(cells[len(header) :]):
            raise DataError(
                f"Line {line} of {file} has {len(cells)} cells for {len(header)} columns. Put a text that "
                f"contains {delimiter!r} between double quotes."
            )
        values = {name: cell for name, cell in zip(header, cells, strict=False) if cell and name}
        yield QuestionRow(f"Line {line} of {file}", values)


def _is_hint(line: str) -> bool:
    """Whether a line tells a spreadsheet by what the cells are separated, as some of them write it."""
    return line.lower().startswith("sep=")


def _header(cells: list[str], where: str) -> list[str]:
    """The names of columns, of which `image` and `question` must be there and none may be there twice."""
    header = list(map(_column, cells))
    if missing := [name for name in ("image", "question") if name not in header]:
        raise DataError(
            f"{where} should name the columns, but has no {' and no '.join(missing)}; it has "
            f"{', '.join(header)[:200]}."
        )
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where} has the column {twice!r} twice. Keep one of them.")
    return header


def _column(name: str) -> str:
    """The name of a column as it is compared."""
    return name.strip().strip('"').strip().lower()


def _json_rows(text: str, file: Path) -> Iterator[QuestionRow]:
    """The objects of a JSON list."""
    records = _parsed(text, file, 1) if text.strip() else []
    if not isinstance(records, list):
        raise DataError(
            f"The file {file} should hold a JSON list of questions, but holds a {type(records).__name__}. "
            'Write [{"image": "a.jpg", "question": "..."}, ...].'
        )
    for number, record in enumerate(records, 1):
        yield _json_row(record, f"Record {number} of {file}")


def _json_lines(text: str, file: Path) -> Iterator[QuestionRow]:
    """The objects of a file with one on each line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _json_row(_parsed(line, file, number), f"Line {number} of {file}")


def _parsed(text: str, file: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = error.lineno + first_line - 1
        raise DataError(
            f"Line {line} of {file} is not JSON: {error.msg}, at character {error.colno}."
        ) from error
    except NOT_JSON as error:
        raise DataError(f"The file {file} holds no list of questions: {why_not_json(error)}.") from error


def _json_row(record: object, where: str) -> QuestionRow:
    if not isinstance(record, dict):
        raise DataError(f"{where} is not a JSON object with image and question, but {record!r:.60}.")
    values = {_column(name): value for name, value in record.items()}
    return QuestionRow(where, {name: value for name, value in values.items() if value not in (None, "", [])})
