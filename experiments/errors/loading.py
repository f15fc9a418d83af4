"""What to say when data-loading workers die or hang: what they read, and what they may lack."""

from __future__ import annotations

import re
import shutil
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from experiments.run_folders.run_folder import RunError

SHARED_MEMORY = Path("/dev/shm")

_KILLED = re.compile(r"DataLoader worker \(pid(?:\(s\))? (?P<processes>[\d, ]+)\) (?P<how>[\w :]+)")
_TIMED_OUT = re.compile(r"DataLoader timed out after (?P<seconds>[\d.]+) seconds")
_BUS_ERROR = "Bus error"
_MEMORY = (
    "If the machine had no memory left (`dmesg` says so), lower data.init_args.num_workers, "
    "data.init_args.batch_size or the size of the images. RESUME=1 goes on with a training."
)
_NO_SHARED_MEMORY = re.compile(r"</?torch_\w+>.*No space left on device", re.DOTALL)
_NO_DESCRIPTORS = re.compile(r"Too many open files")
_NOT_FETCHED = re.compile(r"received 0 items of ancdata")

BeingRead = Callable[[Collection[int]], str]
"""What the workers with these process numbers read, in words; all workers where none is named."""


class LoadingFailed(RunError):
    """The processes that load the data have died, hang, or lack what they need."""


def loading_failed(error: BaseException, being_read: BeingRead) -> LoadingFailed | None:
    """The error for the user; None where something else than the loading has failed.

    Args:
        error: what was raised.
        being_read: says what workers read.
    """
    for each in _behind(error):
        text = str(each)
        if _batch_of_the_dead(each):
            return LoadingFailed(f"A data-loading worker has ended; they read {being_read(())}. {_MEMORY}")
        if killed := _KILLED.search(text):
            processes = [int(number) for number in re.findall(r"\d+", killed["processes"])]
            read = being_read(processes)
            how = "was killed" if "signal" in killed["how"] else "has ended"
            while_ = f"A data-loading worker {how} while it read {read}." if read else f"{killed[0].strip()}."
            if _BUS_ERROR in text:
                return LoadingFailed(f"{while_} {_shared_memory()}")
            return LoadingFailed(f"{while_} {_MEMORY}")
        if late := _TIMED_OUT.search(text):
            read = being_read(())
            reading = f" They read {read}." if read else ""
            return LoadingFailed(
                f"The data-loading workers have made no batch for {late['seconds']} seconds "
                f"(data.init_args.loading_timeout_s).{reading} Does the disk or network with the data "
                f"answer? {_shared_memory()} {_descriptors()}"
            )
        if _NOT_FETCHED.search(text):
            return LoadingFailed(
                "A batch could not be fetched from a data-loading worker, which has ended or may open no "
                f"more files; they read {being_read(())}. {_MEMORY} {_descriptors()}"
            )
        if _NO_SHARED_MEMORY.search(text):
            return LoadingFailed(_shared_memory())
        if _NO_DESCRIPTORS.search(text):
            return LoadingFailed(_descriptors())
    return None


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was raised from or after."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _batch_of_the_dead(error: BaseException) -> bool:
    """Whether a batch was to be fetched from a worker that has died since it announced it."""
    return isinstance(error, EOFError | ConnectionError | FileNotFoundError) and any(
        frame.f_globals.get("__name__") == "torch.multiprocessing.reductions"
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _shared_memory() -> str:
    free = f"{shutil.disk_usage(SHARED_MEMORY).free / 1e6:,.1f} MB" if SHARED_MEMORY.is_dir() else "nothing"
    return (
        f"Workers hand their batches on in {SHARED_MEMORY}, where {free} is free: give it more (`docker run "
        "--shm-size=8g`, or `mount -o remount,size=8g /dev/shm`), or load without workers "
        "(data.init_args.num_workers: 0)."
    )


def _descriptors() -> str:
    import resource  # which Windows does not have, and no limit of this kind

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"Each batch on its way is an open file, of which there may be {limit:,}: `ulimit -n 4096` raises "
        "that."
    )
