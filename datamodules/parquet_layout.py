"""Benchmarks whose questions and pictures are rows of parquet files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.base import Role
from datamodules.index_folders import cached_index
from datamodules.official_layout import OfficialLayout
from datamodules.sample_index import FORMAT_VERSION, IndexedQuestions, IndexedRow, write_sample_index


class ParquetLayout(OfficialLayout):
    """A benchmark of parquet files, which are indexed once so that rows can be read in any order.

    A subclass finds a split's files and reads their rows.
    """

    @abstractmethod
    def rows_of(self, files: Sequence[Path]) -> Iterator[IndexedRow]:
        """The rows of some files; raises `DataError` where one is not usable."""

    def prepare_split(self, role: Role) -> None:
        """Fetch or render where needed, and index the split's rows."""
        self._index(role)

    def open_split(self, role: Role) -> IndexedQuestions:
        """Open a split; raises `DataError` where its files are missing, damaged or hold bad rows."""
        return IndexedQuestions(self._index(role))

    def _index(self, role: Role) -> Path:
        files = self.files_of(self.folder(), role)

        def write(folder: Path) -> None:
            write_sample_index(self.rows_of(files), folder)

        return cached_index(files, self.cache / "indexes", f"{self.benchmark}-v{FORMAT_VERSION}", write)
