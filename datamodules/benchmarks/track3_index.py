"""The records of a Track 3 JSON file as a memory-mapped Arrow index, grouped by image.

The official training file holds 499,083 records in well over a gigabyte: as Python objects they would fill
every worker's memory. The file is streamed once into two Arrow files; afterwards a record is a slice of
mapped memory that all workers share, and the questions of an image are found by two array look-ups.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from datamodules.benchmarks.track3_records import Track3Record, parse_record
from datamodules.files.index_folders import cached_index
from datamodules.files.json_stream import stream_array
from datamodules.files.unique_ids import UniqueIds
from datamodules.loading.grouped_rows import GroupedRows, mapped_batches, write_grouped_rows
from datamodules.samples import DataError

FORMAT_VERSION = 2
"""Raised when the columns below or the checks of records change; older indexes are then rebuilt."""

_ROWS_PER_BATCH = 1024
_RECORDS = "records.arrow"
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


def index_records(json_path: Path, cache_folder: Path) -> Path:
    """The index folder of `json_path`, written first where it is missing or out of date.

    It takes about the size of the JSON file; see `cached_index` for where it lies and when it is out of date.

    Args:
        json_path: a JSON array of records in the official form.
        cache_folder: where indexes are kept; a folder in the user's cache is used where it is read-only.

    Raises:
        DataError: the file is missing, empty or malformed, a record is not usable (see `parse_record`), or
            ids appear twice.
    """
    version = f"track3-v{FORMAT_VERSION}"
    return cached_index([json_path], cache_folder, version, partial(_write_index, json_path))


def _write_index(json_path: Path, folder: Path) -> None:
    """Stream the JSON file into the record file, then write which rows belong to which image."""
    group_of_image: dict[str, int] = {}
    group_of_row: list[np.ndarray] = []
    records = (parse_record(raw, json_path, row) for row, raw in enumerate(stream_array(json_path)))
    ids = UniqueIds()
    with pa.OSFile(str(folder / _RECORDS), "wb") as sink, pa.ipc.new_file(sink, _RECORD_SCHEMA) as writer:
        while rows := list(islice(records, _ROWS_PER_BATCH)):
            columns = [list(column) for column in zip(*rows, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_RECORD_SCHEMA))
            for row in rows:
                ids.add(row.id, f"The id {row.id} appears twice in {json_path}.")
            group_of_row.append(
                np.array([group_of_image.setdefault(row.image, len(group_of_image)) for row in rows])
            )
    ids.require()
    if not group_of_row:
        raise DataError(f"The file {json_path} holds no records: an empty split cannot be used.")
    write_grouped_rows(folder, list(group_of_image), np.concatenate(group_of_row))


class Track3Index:
    """An opened index: records by image, read from mapped memory.

    It is pickled as the path of its folder, so handing it to a worker costs nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Map the index in `folder`, as `index_records` returned it."""
        self.folder = folder
        self._batches = mapped_batches(folder / _RECORDS)
        self._images = GroupedRows(folder)

    def __reduce__(self) -> tuple[type[Track3Index], tuple[Path]]:
        return Track3Index, (self.folder,)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._images)

    def image(self, group: int) -> str:
        """The file name of the `group`-th image."""
        return self._images.image(group)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return self._images.sizes()

    def lengths(self) -> np.ndarray:
        """How many characters the longest question of each image has with its answers, `[images]`."""
        texts = ("question", "rationale", "answer")
        characters = np.concatenate(
            [
                sum(compute.utf8_length(batch.column(name)).to_numpy() for name in texts)
                for batch in self._batches
            ]
        )
        return self._images.largest(characters)

    def record(self, group: int, question: int) -> Track3Record:
        """The `question`-th record of the `group`-th image."""
        batch, row = divmod(self._images.row(group, question), _ROWS_PER_BATCH)
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
