"""Parquet files as the `datasets` library writes them, a group of rows at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_A_GROUP = 64
"""So many images are kept in memory until they are written."""

Feature = dict[str, Any]
"""A column's type in the notation of `datasets`."""

STRING: Feature = {"dtype": "string", "_type": "Value"}
WHOLE: Feature = {"dtype": "int64", "_type": "Value"}
NUMBER: Feature = {"dtype": "float64", "_type": "Value"}
IMAGE: Feature = {"_type": "Image"}


def listed(feature: Feature) -> Feature:
    """The type of a list."""
    return {"feature": feature, "_type": "List"}


class ParquetFile:
    """A file that rows are appended to; use it in a `with` statement."""

    def __init__(self, path: Path, features: Mapping[str, Feature]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        columns = [(name, _arrow_type(feature)) for name, feature in features.items()]
        self._schema = pa.schema(columns, metadata=metadata)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def append(self, row: dict[str, Any]) -> None:
        """Add a row: a value for every column; an image is a mapping of "bytes" and "path"."""
        self._rows.append(row)
        if len(self._rows) >= ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        """Write the rows that are kept."""
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._rows:
            self._flush()
        self._writer.close()


def _arrow_type(feature: Feature) -> pa.DataType:
    """How a column lies in the file."""
    if feature["_type"] == "Image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if feature["_type"] == "List":
        return pa.list_(_arrow_type(feature["feature"]))
    return {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}[feature["dtype"]]
