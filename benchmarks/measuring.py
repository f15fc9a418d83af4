"""What the benchmarks share: measurements in processes of their own, peak memory, and written results."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from experiments.errors import memory

RESULTS = Path("runs/bench")
"""Where results go."""

MEGABYTE = 1e6
MEBIBYTE = 2**20


def in_fresh_process(benchmark: str, *arguments: object, own_pages: bool = False) -> dict[str, Any]:
    """Run one measurement of a benchmark where nothing is in memory yet.

    Args:
        benchmark: the name of its file.
        arguments: of its command line; with them, the last line that it prints is a JSON object.
        own_pages: every tensor of a mebibyte gets and returns pages of its own, so that tensors are measured
            and not the allocator's hoard.

    Raises:
        SystemExit: the measurement failed, with all that it said.
    """
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(MEBIBYTE)} if own_pages else None
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def limit_to_free_memory() -> None:
    """Let this process be refused more memory than is free, rather than have the system end some process."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.virtual_memory().available, most))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that something does not fit into the memory of a GPU or of the machine."""
    return isinstance(error, MemoryError) or memory.is_out_of_memory(error)


def forget_peak() -> None:
    """Let the peak of resident memory begin anew from what there is now; elsewhere than on Linux it stays."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_resident_bytes() -> int:
    """The most memory that this process has had at any time, or since `forget_peak`."""
    # Kilobytes on Linux.
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def write_result(benchmark: str, result: dict[str, Any]) -> None:
    """Write what a benchmark has found to `runs/bench/<benchmark>.json`, and show it."""
    text = json.dumps(result, indent=2)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{benchmark}.json").write_text(text + "\n")
    print(text)
