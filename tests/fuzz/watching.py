"""What a reader does beside reading: files outside of its folder, other processes, imports, hanging."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

OUTSIDE = "outside"
"""The folder beside a reader's own that nobody may look into."""

STRANGER = "stranger"
"""The module that nobody may import."""

EXECUTES = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "pty.spawn",
    "socket.connect",
)
UNPICKLES = "pickle.find_class"
CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.truncate",
)


class Hung(BaseException):
    """A reader did not end within its time."""


class Watch:
    """Notes what is done while it is on; Python calls it for every file that is opened, and more."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    @contextmanager
    def on(self, folder: Path, seconds: float) -> Iterator[None]:
        """Watch what is done in a folder, and raise `Hung` after some seconds."""
        self.seen.clear()
        before = signal.signal(signal.SIGALRM, _raise_hung)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        self.folder = folder.resolve()
        try:
            yield
        finally:
            self.folder = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        folder = self.folder
        if folder is None:
            return
        if event == "open":
            self._opened(folder, *arguments)
        elif event in EXECUTES or event == UNPICKLES:
            self.seen.append(f"{event} {arguments[:2]}"[:200])
        elif event == "import" and str(arguments[0]).partition(".")[0] == STRANGER:
            self.seen.append(f"import {arguments[0]}")
        elif event in CHANGES:
            paths = list(arguments[: 1 + (event in ("os.rename", "os.link"))])
            if event == "os.symlink":
                paths = [arguments[1]]
            self.seen += [f"{event} {path}" for path in paths if not _lies_in(path, folder)]

    def _opened(self, folder: Path, path: object, mode: object, flags: object) -> None:
        if not isinstance(path, str | bytes):
            return
        writes = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and not _lies_in(path, folder) and os.fsdecode(path) != os.devnull:
            self.seen.append(f"written: {os.fsdecode(path)}"[:200])
        elif _lies_in(path, folder.parent / OUTSIDE):
            self.seen.append(f"read: {os.fsdecode(path)}"[:200])


def _lies_in(path: object, folder: Path) -> bool:
    if not isinstance(path, str | bytes):
        return True  # a descriptor: what it stands for was opened before
    place = os.path.realpath(os.fsdecode(path))
    return place == str(folder) or place.startswith(f"{folder}{os.sep}")


def _raise_hung(number: int, frame: FrameType | None) -> None:
    raise Hung
