"""Reading a JSON array of any size one element at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import ijson
import rich.progress

from datamodules.errors.file_contents import why_not_readable
from datamodules.samples import DataError

_CHUNK_BYTES = 64 * 1024
_SHOW_PROGRESS_FROM_BYTES = 50_000_000
_DEEPEST = 100
_NO_NUMBER = (ValueError, ArithmeticError, SystemError)
"""What ijson raises for numbers of thousands of digits; the last one from its C code."""


def stream_array(path: Path) -> Iterator[object]:
    """Yield the elements of the JSON array in `path`, never holding more than one of them.

    A progress bar is drawn for files that take longer than a moment.

    Raises:
        DataError: the file is missing, is not well-formed JSON (with line and byte offset), or its top level
            is not an array.
    """
    if not path.is_file():
        raise DataError(f"The file {path} does not exist. Check the data folder and the split's name.")
    size = path.stat().st_size
    with ExitStack() as stack:
        reader: BinaryIO = stack.enter_context(path.open("rb"))
        _refuse_other_than_array(reader, path)
        if size >= _SHOW_PROGRESS_FROM_BYTES:
            progress = rich.progress.wrap_file(reader, total=size, description=f"Reading {path.name}")
            reader = stack.enter_context(progress)
        try:
            for element in ijson.items(reader, "item", buf_size=_CHUNK_BYTES, use_float=True):
                if _is_deeper(element, _DEEPEST):
                    raise DataError(
                        f"The file {path} holds an element that is nested too deeply for a record."
                    )
                yield element
        except ijson.JSONError as error:
            raise DataError(_describe(path)) from error
        except _NO_NUMBER as error:
            raise DataError(
                f"The file {path} holds a number of more digits than can be read. Repair its record."
            ) from error


def _is_deeper(value: object, levels: int) -> bool:
    """Whether there are lists and objects within each other on more levels, which no message could show."""
    if isinstance(value, dict):
        value = list(value.values())
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in value if type(each) in (list, dict))


def _refuse_other_than_array(handle: BinaryIO, path: Path) -> None:
    """Raise when the first character of the file does not open an array, and go back to it."""
    beginning = handle.read(_CHUNK_BYTES)
    start = beginning.removeprefix(codecs.BOM_UTF8)
    if not start.strip():
        raise DataError(f"The file {path} is empty: it should hold a JSON array of records.")
    if not start.lstrip().startswith(b"["):
        raise DataError(
            f"The file {path} should hold a JSON array of records, but does not start with '['. "
            f"{why_not_readable(path)}".rstrip()
        )
    handle.seek(len(beginning) - len(start))


class _CountingReader:
    """Hands out chunks, then from `fine_from` on single bytes: a parser stops at the byte it rejects."""

    def __init__(self, handle: BinaryIO, fine_from: int) -> None:
        self.handle = handle
        self.fine_from = fine_from
        self.handed_out = 0
        self.ended = False

    def read(self, size: int) -> bytes:
        """The next bytes of the file: at most `size`, and one at a time from `fine_from` on."""
        until_fine = self.fine_from - self.handed_out
        data = self.handle.read(min(size, until_fine) if until_fine > 0 else min(size, 1))
        self.handed_out += len(data)
        self.ended = size > 0 and not data
        return data


def _parse_until_error(path: Path, fine_from: int) -> _CountingReader:
    """Parse the file again; the reader tells how far the parser came."""
    with path.open("rb") as handle:
        reader = _CountingReader(handle, fine_from)
        with suppress(ijson.JSONError, *_NO_NUMBER):
            for _ in ijson.basic_parse(reader, buf_size=_CHUNK_BYTES):
                pass
        return reader


def _describe(path: Path) -> str:
    """Say where the file stops being JSON; parses it again, first in chunks and then byte by byte."""
    coarse = _parse_until_error(path, fine_from=path.stat().st_size)
    fine = _parse_until_error(path, fine_from=max(0, coarse.handed_out - _CHUNK_BYTES))
    offset = fine.handed_out if fine.ended else fine.handed_out - 1
    with path.open("rb") as handle:
        line, left = 1, offset
        while chunk := handle.read(min(_CHUNK_BYTES, left)):
            line += chunk.count(b"\n")
            left -= len(chunk)
    reason = "it ends too early" if fine.ended else "unexpected text"
    return (
        f"The file {path} is not well-formed JSON: {reason} at line {line}, byte offset {offset}. "
        "Download or write it again."
    )
