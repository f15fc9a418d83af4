"""Which rows of an index belong to which image, in an Arrow file of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from datamodules.files.index_folders import FINISHED

_SCHEMA = pa.schema([("image", pa.string()), ("rows", pa.list_(pa.int32()))])


def write_grouped_rows(folder: Path, images: list[str], group_of_row: np.ndarray) -> None:
    """Write the names of the images and the rows of each, `group_of_row` being the image number of every row.

    This is the file that marks an index as whole, so it is written last.
    """
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group_of_row))]).astype(np.int32)
    rows = pa.ListArray.from_arrays(offsets, np.argsort(group_of_row, kind="stable").astype(np.int32))
    batch = pa.record_batch([pa.array(images, pa.string()), rows], schema=_SCHEMA)
    with pa.OSFile(str(folder / FINISHED), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(batch)


class GroupedRows:
    """The rows of each image, read from mapped memory."""

    def __init__(self, folder: Path) -> None:
        """Map what `write_grouped_rows` wrote into `folder`."""
        (batch,) = mapped_batches(folder / FINISHED)
        self._images = batch.column("image")
        self._offsets = batch.column("rows").offsets.to_numpy()
        self._rows = batch.column("rows").values.to_numpy()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._images)

    def image(self, group: int) -> str:
        """The name of the `group`-th image."""
        return str(self._images[group].as_py())

    def sizes(self) -> np.ndarray:
        """How many rows each image has, `[images]`."""
        return np.diff(self._offsets)

    def row(self, group: int, question: int) -> int:
        """The `question`-th row of the `group`-th image; raises `IndexError` where it has none."""
        first, last = int(self._offsets[group]), int(self._offsets[group + 1])
        if not 0 <= question < last - first:
            raise IndexError(f"image {group} has {last - first} questions, there is no number {question}")
        return int(self._rows[first + question])

    def largest(self, values: np.ndarray) -> np.ndarray:
        """The largest of the rows' values for each image, `[images]`, from `values` of `[rows]`."""
        return np.maximum.reduceat(values[self._rows], self._offsets[:-1])


def mapped_batches(path: Path) -> list[pa.RecordBatch]:
    """All record batches of an Arrow file, as views of mapped memory."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(index) for index in range(reader.num_record_batches)]
