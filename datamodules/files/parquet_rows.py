"""Reading Parquet files a few rows at a time, with errors that name the file and the row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from datamodules.errors.file_contents import why_not_readable
from datamodules.samples import DataError

_ROWS_AT_ONCE = 32


def parquet_rows(
    path: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the wanted columns of every row, never holding more than a few rows.

    Args:
        path: a Parquet file.
        needed: columns the file must have.
        optional: columns that are read where the file has them.

    Raises:
        DataError: the file is missing, damaged or without rows, or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"The file {path} does not exist. Check the data folder and the split's name.")
    read = 0
    try:
        with parquet.ParquetFile(path) as file:
            present = file.schema_arrow.names
            if missing := [name for name in needed if name not in present]:
                raise DataError(
                    f"The file {path} has no column {' and no column '.join(missing)}; it has "
                    f"{', '.join(present)}. Is it a file of this benchmark?"
                )
            columns = [*needed, *(name for name in optional if name in present)]
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    yield read, row
                    read += 1
    # Texts that are no UTF-8 and times of no calendar are found only when a row is taken out.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        why = why_not_readable(path) or "Download or write it again."
        raise DataError(
            f"The file {path} is not a readable Parquet file: {error}, after {read} rows. {why}"
        ) from error
    if read == 0:
        raise DataError(f"The file {path} holds no rows: an empty split cannot be used.")


def image_bytes(value: object) -> bytes | None:
    """The bytes of an encoded image, a hub `Image` (bytes and path) or plain binary; None where absent."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) and value else None
