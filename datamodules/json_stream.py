"""Reading a JSON array of any size one element at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import ijson
import rich.progress

from datamodules.samples import DataError

_CHUNK_BYTES = 64 * 1024
_SHOW_PROGRESS_FROM_BYTES = 50_000_000


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
    with path.open("rb") as handle:
        _refuse_other_than_array(handle, path)
        reader: BinaryIO = handle
        if size >= _SHOW_PROGRESS_FROM_BYTES:
            reader = rich.progress.wrap_file(
                handle, total=size, description=f"Indexing {path.name} (once)"
            ).__enter__()
        try:
            yield from ijson.items(reader, "item", buf_size=_CHUNK_BYTES, use_float=True)
        except ijson.JSONError as error:
            raise DataError(_describe(path, error)) from error
        finally:
            reader.close()


def _refuse_other_than_array(handle: BinaryIO, path: Path) -> None:
    """Raise when the first character of the file does not open an array, and go back to its start."""
    start = handle.read(_CHUNK_BYTES).lstrip()
    if not start:
        raise DataError(f"The file {path} is empty: it should hold a JSON array of records.")
    if not start.startswith(b"["):
        raise DataError(f"The file {path} should hold a JSON array of records, but does not start with '['.")
    handle.seek(0)


class _CountingReader(io.RawIOBase):
    """Hands out chunks, then from `fine_from` on single bytes: a parser stops at the byte it rejects."""

    def __init__(self, handle: BinaryIO, fine_from: int) -> None:
        self.handle = handle
        self.fine_from = fine_from
        self.handed_out = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file: at most `size`, and one at a time from `fine_from` on."""
        until_fine = self.fine_from - self.handed_out
        data = self.handle.read(min(size, until_fine) if until_fine > 0 else min(size, 1))
        self.handed_out += len(data)
        return data


def _failing_offset(path: Path, fine_from: int) -> int:
    """How many bytes the parser took before it gave up."""
    with path.open("rb") as handle:
        reader = _CountingReader(handle, fine_from)
        try:
            for _ in ijson.basic_parse(reader, buf_size=_CHUNK_BYTES):
                pass
        except ijson.JSONError:
            pass
        return reader.handed_out


def _describe(path: Path, error: ijson.JSONError) -> str:
    """Say where the file stops being JSON; parses it again, first in chunks and then byte by byte."""
    size = path.stat().st_size
    coarse = _failing_offset(path, fine_from=size)
    taken = _failing_offset(path, fine_from=max(0, coarse - _CHUNK_BYTES))
    offset = max(0, taken - 1) if not isinstance(error, ijson.IncompleteJSONError) or taken < size else size
    with path.open("rb") as handle:
        line = 1
        left = offset
        while left > 0 and (chunk := handle.read(min(_CHUNK_BYTES, left))):
            line += chunk.count(b"\n")
            left -= len(chunk)
    reason = "it ends too early" if offset == size else "unexpected text"
    return (
        f"The file {path} is not well-formed JSON: {reason} at line {line}, byte offset {offset}. "
        "Download or write it again."
    )
