"""Text files that people and other programs have written: UTF-8, with or without a byte order mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datamodules.errors.file_contents import why_not_readable
from datamodules.samples import DataError

NOT_JSON = (ValueError, RecursionError)
"""What `json.loads` raises: also for numbers of thousands of digits, and for deep nesting."""


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        DataError: the file is not there, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(not_utf8(path, error)) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path} cannot be read. {why_not_readable(path)}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: the file is not there, is no UTF-8, or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except NOT_JSON as error:
        why = why_not_readable(path) or "Write or fetch it again."
        raise DataError(f"{path} is not well-formed JSON: {why_not_json(error)}. {why}") from error


def why_not_json(error: ValueError | RecursionError, first_line: int = 1) -> str:
    """What `json.loads` has against a text, as a part of a sentence.

    Args:
        error: what it raised, one of `NOT_JSON`.
        first_line: where in its file the text begins.
    """
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno + first_line - 1}, column {error.colno}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it holds a whole number of more digits than can be read"


def not_utf8(path: Path, error: UnicodeDecodeError) -> str:
    """The sentence for a text file in another encoding."""
    line = error.object[: error.start].count(b"\n") + 1
    return (
        f"{path} is no UTF-8 text (byte 0x{error.object[error.start]:02x} in line {line}): save it as "
        "UTF-8, for example with `iconv -f latin1 -t utf-8`."
    )
