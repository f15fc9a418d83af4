"""The records of a Track 3 JSON file as a memory-mapped Arrow index, grouped by image.

The official training file holds 499,083 records in well over a gigabyte: as Python objects they would fill
every worker's memory. The file is streamed once into two Arrow files; afterwards a record is a slice of
mapped memory that all workers share, and the questions of an image are found by two array look-ups.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from datamodules.json_stream import stream_array
from datamodules.samples import DataError
from datamodules.track3_records import Track3Record, parse_record

FORMAT_VERSION = 1
"""Raised when the columns below or the checks of `parse_record` change; older indexes are then rebuilt."""

_ROWS_PER_BATCH = 1024
_RECORDS = "records.arrow"
_IMAGES = "images.arrow"
_RECORD_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),
        ("question", pa.string()),
        ("category", pa.string()),
        ("answer", pa.string()),
        ("rationale", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("masks", pa.list_(pa.string())),
    ]
)
_IMAGE_SCHEMA = pa.schema([("image", pa.string()), ("rows", pa.list_(pa.int32()))])


def index_records(json_path: Path, cache_folder: Path) -> Path:
    """The index folder of `json_path`, written first where it is missing or out of date.

    The index is keyed by the file's path, size and time of change and by the format version. It is written
    beside its final place and renamed, so an interrupted run leaves no half index. It takes about the size
    of the JSON file; the index of an earlier state of the same file is removed.

    Args:
        json_path: a JSON array of records in the official form.
        cache_folder: where indexes are kept; a folder in the user's cache is used where it is read-only.

    Raises:
        DataError: the file is missing, empty or malformed, or a record is not usable (see `parse_record`).
    """
    if not json_path.is_file():
        raise DataError(f"The file {json_path} does not exist. Check the data folder and the split's name.")
    json_path = json_path.resolve()
    status = json_path.stat()
    source = hashlib.sha256(str(json_path).encode()).hexdigest()[:12]
    key = f"v{FORMAT_VERSION}-{status.st_size}-{status.st_mtime_ns}"
    place = Path(f"{json_path.stem}-{source}")
    for folder in (cache_folder, user_cache_folder()):
        if (folder / place / key / _IMAGES).is_file():
            return folder / place / key
    shelf = _writable(cache_folder, user_cache_folder()) / place
    shelf.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=shelf))
    try:
        _write_index(json_path, unfinished)
        _put_in_place(unfinished, shelf / key)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for outdated in shelf.glob("v*"):
        if outdated.name != key:
            shutil.rmtree(outdated, ignore_errors=True)
    return shelf / key


def user_cache_folder() -> Path:
    """This project's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smallspatial"


def _writable(*folders: Path) -> Path:
    """The first of the folders that can be written to."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    raise DataError(f"None of the cache folders can be written to: {', '.join(map(str, folders))}.")


def _put_in_place(unfinished: Path, final: Path) -> None:
    """Give a finished index its name; another process may have been faster, with the same content."""
    try:
        unfinished.rename(final)
    except OSError:
        if not (final / _IMAGES).is_file():
            raise


def _write_index(json_path: Path, folder: Path) -> None:
    """Stream the JSON file into the record file, then write which rows belong to which image."""
    group_of_image: dict[str, int] = {}
    group_of_row: list[np.ndarray] = []
    records = (parse_record(raw, json_path, row) for row, raw in enumerate(stream_array(json_path)))
    with pa.OSFile(str(folder / _RECORDS), "wb") as sink, pa.ipc.new_file(sink, _RECORD_SCHEMA) as writer:
        while rows := list(islice(records, _ROWS_PER_BATCH)):
            columns = [list(column) for column in zip(*rows, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_RECORD_SCHEMA))
            group_of_row.append(
                np.array([group_of_image.setdefault(row.image, len(group_of_image)) for row in rows])
            )
    if not group_of_row:
        raise DataError(f"The file {json_path} holds no records: an empty split cannot be used.")
    groups = np.concatenate(group_of_row)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(groups))]).astype(np.int32)
    rows_of_image = pa.ListArray.from_arrays(offsets, np.argsort(groups, kind="stable").astype(np.int32))
    images = pa.record_batch([pa.array(list(group_of_image)), rows_of_image], schema=_IMAGE_SCHEMA)
    with pa.OSFile(str(folder / _IMAGES), "wb") as sink, pa.ipc.new_file(sink, _IMAGE_SCHEMA) as writer:
        writer.write_batch(images)


class Track3Index:
    """An opened index: records by image, read from mapped memory.

    It is pickled as the path of its folder, so handing it to a worker costs nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Map the index in `folder`, as `index_records` returned it."""
        self.folder = folder
        self._batches = _mapped_batches(folder / _RECORDS)
        (images,) = _mapped_batches(folder / _IMAGES)
        self._images = images.column("image")
        self._offsets = images.column("rows").offsets.to_numpy()
        self._rows = images.column("rows").values.to_numpy()

    def __reduce__(self) -> tuple[type[Track3Index], tuple[Path]]:
        return Track3Index, (self.folder,)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._images)

    def image(self, group: int) -> str:
        """The file name of the `group`-th image."""
        return str(self._images[group].as_py())

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return np.diff(self._offsets)

    def record(self, group: int, question: int) -> Track3Record:
        """The `question`-th record of the `group`-th image."""
        first, last = int(self._offsets[group]), int(self._offsets[group + 1])
        if not 0 <= question < last - first:
            raise IndexError(f"image {group} has {last - first} questions, there is no number {question}")
        batch, row = divmod(int(self._rows[first + question]), _ROWS_PER_BATCH)
        values = [column[row].as_py() for column in self._batches[batch].columns]
        return Track3Record._make(values)._replace(masks=tuple(values[-1]))

    def columns(self, *names: str, limit: int | None = None) -> Iterator[tuple[str, ...]]:
        """The named columns of the records in file order, without touching the others.

        With a `limit` at most so many records, from batches spread evenly over the file.
        """
        wanted = len(self._batches) if limit is None else max(1, limit // _ROWS_PER_BATCH)
        chosen = np.linspace(0, len(self._batches) - 1, min(wanted, len(self._batches))).astype(int)
        tables = ([self._batches[index].column(name).to_pylist() for name in names] for index in chosen)
        yield from islice((row for table in tables for row in zip(*table, strict=True)), limit)


def _mapped_batches(path: Path) -> list[pa.RecordBatch]:
    """All record batches of an Arrow file, as views of mapped memory."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(index) for index in range(reader.num_record_batches)]
