"""Processes that share their imports, which take longer than most of what the tests do in processes.

Each is forked from one that has loaded the libraries and done nothing else; what it does to itself ends with
it.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch.multiprocessing

from experiments.commands.matrix_run import LOADED_ONCE

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(list(LOADED_ONCE))


def in_processes(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """Call `function(rank, *arguments)` in so many processes, and wait for them.

    Raises:
        ProcessRaisedException: one of them has failed.
    """
    torch.multiprocessing.start_processes(function, arguments, nprocs=count, start_method="forkserver")


class ForkedCommand:
    """A command line that was started, as `python -m MODULE` starts it.

    Args:
        module: what is run; it has a `main`.
        arguments: what follows it.
        folder: where it runs.
        environment: all of its environment.
        logs: a folder for what it prints.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], folder: Path, environment: dict[str, str], logs: Path
    ) -> None:
        self._arguments = arguments
        self._written = (logs / "stdout", logs / "stderr")
        self._process = _CONTEXT.Process(
            target=_run, args=(module, list(arguments), folder, environment, self._written)
        )
        self._process.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def send(self, sent: signal.Signals) -> None:
        """Send it and all that it has started a signal."""
        os.killpg(self.pid, sent)

    def finished(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end.

        Raises:
            TimeoutExpired: it has not ended within so many seconds, and was killed.
        """
        self._process.join(seconds)
        late = self.running
        if late:
            self.send(signal.SIGKILL)
            self._process.join()
        stdout, stderr = (file.read_text(errors="replace") for file in self._written)
        if late:
            raise subprocess.TimeoutExpired(list(self._arguments), seconds, stdout, stderr)
        assert self._process.exitcode is not None
        return subprocess.CompletedProcess(list(self._arguments), self._process.exitcode, stdout, stderr)


def _run(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], written: tuple[Path, Path]
) -> None:
    os.setsid()
    for stream, file in zip((1, 2), written, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    # Data-loading workers start as they do on the command line, not as this process was started.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    sys.exit(importlib.import_module(module).main())
