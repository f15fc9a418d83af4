"""How rendered data come onto the disk: in parallel but in order, with a bar, and cached by their content."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datamodules.loading.cores import available_cores
from datamodules.samples import DataError

SPLITS = ("train", "val", "test")
SMALLEST_SIZE_PX = 64
ASPECT_RANGE = (1.0, 2.5)
SCENES_A_PROCESS = 64
"""Starting a process, with all that it imports, takes about as long as drawing this many scenes."""

Job = TypeVar("Job")
Result = TypeVar("Result")


def check_scenes(
    what: str, scenes: Mapping[str, int], size: tuple[int, int], seed: int, processes: int | None
) -> None:
    """Refuse arguments that cannot be rendered, with a sentence that says what to give instead.

    Args:
        what: what is rendered, as in "a rendered warehouse".
        scenes: number of scenes of every split that is wanted.
        size: width and height of the images, in pixels.
        seed: decides what the scenes show.
        processes: how many processes render, or None.

    Raises:
        DataError: one of them is not usable.
    """
    if not scenes or not set(scenes) <= set(SPLITS):
        raise DataError(
            f"The scenes of {what} are for the splits {sorted(scenes)}; "
            'give a number for one or more of "train", "val" and "test".'
        )
    for split, number in scenes.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise DataError(
                f'The number of rendered scenes for "{split}" is {number!r}; give a whole number from 1 on.'
            )
    if len(size) != 2 or any(isinstance(side, bool) or not isinstance(side, int) for side in size):
        raise DataError(f"The size {size!r} of rendered images is not a width and a height in whole pixels.")
    if min(size) < SMALLEST_SIZE_PX or not ASPECT_RANGE[0] <= size[0] / size[1] <= ASPECT_RANGE[1]:
        raise DataError(
            f"Rendered images of {size[0]} x {size[1]} pixels are not possible; give sides of at least "
            f"{SMALLEST_SIZE_PX} pixels, and a width {ASPECT_RANGE[0]} to {ASPECT_RANGE[1]} times the height."
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DataError(f"The seed {seed!r} of {what} is not a whole number from 0 on.")
    if processes is not None and processes < 1:
        raise DataError(f"{processes} processes cannot render {what}; give at least 1.")


def require_empty(folder: Path) -> None:
    """Raise `DataError` unless a folder is new or empty; create it where it is new."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"The folder {folder} already holds something; give a new or empty folder to render into."
        )
    folder.mkdir(parents=True, exist_ok=True)


def in_order(
    render: Callable[[Job], Result], jobs: Sequence[Job], processes: int | None
) -> Generator[Result, None, None]:
    """Do all jobs, by default on as many cores as have enough to do, and give the results in their order."""
    if processes is None:
        processes = min(available_cores(), 1 + len(jobs) // SCENES_A_PROCESS)
    if processes == 1:
        yield from map(render, jobs)
        return
    # Spawned processes start afresh; a fork would copy the threads and devices of a parent that uses torch.
    with multiprocessing.get_context("spawn").Pool(processes, _leave_ctrl_c) as pool:
        yield from pool.imap(render, jobs, chunksize=4)


def _leave_ctrl_c() -> None:
    """Leave Ctrl-C to the parent, which ends the processes: else each would say so on its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Give a function to call after every scene: it moves a bar; away from a terminal only two lines show."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        console.print(f"{title} ...", highlight=False)
        yield lambda: None
        console.print(f"{title}: done.", highlight=False)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def cached_folder(
    cache: Path, name: str, arguments: object, sources: Iterable[Path], write: Callable[[Path], None]
) -> Path:
    """A folder below a cache folder, written on the first call only.

    It appears at once and whole: an interrupted call leaves nothing behind that a later one would take for
    complete. Of several processes that want it, one writes and the others wait.

    Args:
        cache: the cache folder; created if need be.
        name: how the folder's name begins. A hash over the next two follows.
        arguments: everything that decides about the content, as JSON values.
        sources: the source files of the renderer, so that another one never answers with old images.
        write: fills an empty folder.
    """
    content = hashlib.sha256(json.dumps(arguments).encode())
    for source in sorted(sources):
        content.update(source.name.encode() + source.read_bytes())
    folder = Path(cache) / f"{name}-{content.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The system takes the lock back from a process that dies.
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.is_dir():
            _write_whole(folder, write)
    return folder


def _write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    prefix = f".partial-{folder.name}-"
    for leftover in folder.parent.glob(f"{prefix}*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    partial_folder = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    # A temporary folder is private; what becomes of it should be as readable as any other folder.
    partial_folder.chmod(folder.parent.stat().st_mode & 0o777)
    try:
        write(partial_folder)
        partial_folder.rename(folder)
    except OSError as error:
        if error.errno and not error.filename:  # writing does not tell into which file
            error.filename = str(folder)
        raise
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
