"""Files that are computed once and named by what they were computed from."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock


def content_key(parts: Iterable[str]) -> str:
    """A short name that is the same for the same texts in the same order, and for no others."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:24]


def kept_file(path: Path, write: Callable[[Path], None]) -> Path:
    """A file that is written on the first call only, and appears at once and whole.

    Of several processes that want it, one writes and the others wait.

    Args:
        path: the file; its folder is created if need be.
        write: given a path beside it, writes there.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # The system takes the lock back from a process that dies.
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not path.is_file():
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as folder:
                partial = Path(folder) / path.name
                write(partial)
                partial.replace(path)
    return path
