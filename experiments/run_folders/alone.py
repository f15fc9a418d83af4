"""One run at a time in a run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from experiments.run_folders.run_folder import RunError, RunFolder


@contextmanager
def alone_in(run: RunFolder) -> Iterator[None]:
    """Keep other runs out of a run's folder; the system takes the lock back from a process that dies.

    Args:
        run: the run; its folder is made where it is not there.

    Raises:
        RunError: another run is at work there.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(
            f"In {run.path} another run is at work: wait for its end, or start a new one, without --resume "
            "and with no WANDB_RUN_ID of another's."
        ) from error
    try:
        yield
    finally:
        lock.release()
