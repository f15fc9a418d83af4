"""What tells a data folder from another one: a digest that opens no image."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from datamodules.files.archives import UNPACKED

PIECE_BYTES = 1024
RECORDS = (".json", ".jsonl", ".parquet", ".csv")
"""The endings of files with questions, of which the beginning and the end are read."""


def folder_digest(folder: Path) -> str:
    """The SHA-256 over the names and sizes of all files, and the first and last KB of files with questions.

    A copy in another folder has the same digest. Hidden files and those that fetching leaves behind do not
    count.
    """
    digest = hashlib.sha256()
    for name, file in sorted(_files(folder)):
        size = file.stat().st_size
        digest.update(f"{name}\0{size}\0".encode())
        if file.suffix in RECORDS:
            with file.open("rb") as opened:
                digest.update(opened.read(PIECE_BYTES))
                opened.seek(max(0, size - PIECE_BYTES))
                digest.update(opened.read(PIECE_BYTES))
    return digest.hexdigest()


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files below a folder, by their names within it."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (
            Path(place, name) for name in names if not name.startswith(".") and not name.endswith(UNPACKED)
        )
        found += [(path.relative_to(folder).as_posix(), path) for path in paths]
    return found
