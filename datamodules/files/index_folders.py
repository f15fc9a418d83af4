"""Where indexes of large files are kept, and when they are written anew."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from datamodules.samples import DataError

FINISHED = "images.arrow"
"""The file of an index that is written last in every form of it; an index without it is not whole."""


def cached_index(
    sources: Sequence[Path], cache_folder: Path, version: str, write: Callable[[Path], None]
) -> Path:
    """The index folder of some files, written first where it is missing or out of date.

    An index is keyed by its files' paths, sizes and times of change and by `version`. It is written beside
    its final place and renamed, so an interrupted run leaves no half index; the index of an earlier state of
    the same files is removed.

    Args:
        sources: the files that are indexed, at least one.
        cache_folder: where indexes are kept; a folder in the user's cache is used where it is read-only.
        version: the form of the index; raised whenever what `write` writes changes.
        write: called with an empty folder to write into; its `FINISHED` file marks a whole index.

    Raises:
        DataError: a file is missing, or no cache folder can be written to; and whatever `write` raises.
    """
    for source in sources:
        if not source.is_file():
            raise DataError(f"The file {source} does not exist. Check the data folder and the split's name.")
    files = [source.resolve() for source in sources]
    states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    place = Path(f"{files[0].stem}-{_short_hash([str(file) for file in files])}")
    key = f"{version}-{_short_hash(states)}"
    for folder in (cache_folder, user_cache_folder()):
        if (folder / place / key / FINISHED).is_file():
            return folder / place / key
    shelf = writable_folder(cache_folder, user_cache_folder()) / place
    shelf.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=shelf))
    try:
        write(unfinished)
        _put_in_place(unfinished, shelf / key)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for other in shelf.iterdir():
        if other.name != key and not other.name.startswith("unfinished-"):
            shutil.rmtree(other, ignore_errors=True)
    return shelf / key


def user_cache_folder() -> Path:
    """This project's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smallspatial"


def _short_hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def writable_folder(*folders: Path) -> Path:
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
        if not (final / FINISHED).is_file():
            raise
