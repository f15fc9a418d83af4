"""Text files that people and other programs have written: UTF-8, with or without a byte order mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datamodules.errors.file_contents import why_not_readable
from datamodules.samples import DataError


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
    except json.JSONDecodeError as error:
        why = why_not_readable(path) or "Write or fetch it again."
        raise DataError(
            f"{path} is not well-formed JSON: {error.msg} at line {error.lineno}, column {error.colno}. {why}"
        ) from error


def not_utf8(path: Path, error: UnicodeDecodeError) -> str:
    """The sentence for a text file in another encoding."""
    line = error.object[: error.start].count(b"\n") + 1
    return (
        f"{path} is no UTF-8 text (byte 0x{error.object[error.start]:02x} in line {line}): save it as "
        "UTF-8, for example with `iconv -f latin1 -t utf-8`."
    )
