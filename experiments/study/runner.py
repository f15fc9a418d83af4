"""Runs what a study consists of, several at once."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console

from datamodules.loading.cores import available_cores
from experiments.run_folders.run_folder import RunFolder
from experiments.study.study_file import Study, StudyError
from experiments.study.study_run import SeededRun, seeded_runs

LINES_OF_A_FAILURE = 15
"""How much of a failed run's log is shown."""


class Started(Protocol):
    """A run that was started, as `subprocess.Popen` shows it."""

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...


Start = Callable[[SeededRun, dict[str, str]], Started]
"""Starts a run with these environment variables."""


def start_process(run: SeededRun, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own that prints into its log."""
    with run.log.open("wb") as log:
        return subprocess.Popen(
            run.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )


class StudyRunner:
    """Runs what a study consists of, several at once.

    A run starts as soon as those it needs are done; among several, the first in the study's order. After a
    failure no other is started, and those that are running are waited for, so that they are kept.

    Args:
        study: the study.
        jobs: how many run at once.
        start: starts a run.
        pause_s: seconds between two looks at what is running.
    """

    def __init__(
        self, study: Study, jobs: int = 1, start: Start = start_process, pause_s: float = 0.5
    ) -> None:
        self.study = study
        self.jobs = jobs
        self.start = start
        self.pause_s = pause_s
        self.console = Console(soft_wrap=True, highlight=False, markup=False)
        self.waiting = seeded_runs(study)
        self.running: list[_Running] = []
        self.done: dict[str, RunFolder] = {}
        self.failure = ""
        self._count = len(self.waiting)

    def run(self) -> dict[str, list[RunFolder]]:
        """Run everything that was not done before.

        Returns:
            The folders of all runs: for each label, one for each seed.

        Raises:
            StudyError: a run has failed.
        """
        try:
            with self.console.status("") as status:
                while self._go_on():
                    status.update(self.progress())
                    time.sleep(self.pause_s)
        finally:
            for running in self.running:
                running.process.terminate()
        if self.failure:
            raise StudyError(self.failure)
        folders: dict[str, list[RunFolder]] = {label: [] for label in self.study.runs}
        for run in seeded_runs(self.study):
            folders[run.run.label].append(self.done[run.name])
        return folders

    def progress(self) -> str:
        """What is done and what is running, in a line."""
        now = ", ".join(f"{running.run} ({_minutes(running.since)})" for running in self.running)
        return f"{len(self.done)} of {self._count} runs done; running: {now}"

    def _go_on(self) -> bool:
        """Look after what has ended, start what can be started; whether there is anything to wait for."""
        for running in [running for running in self.running if running.process.poll() is not None]:
            self.running.remove(running)
            self._close(running)
        while not self.failure and len(self.running) < self.jobs and (run := self._next()):
            self.waiting.remove(run)
            if kept := run.kept():
                self.done[run.name] = kept
                self.console.print(f"{run}: kept, {kept.path}")
            else:
                fingerprint = run.prepare()
                process = self.start(run, self._environment())
                self.running.append(_Running(run, process, fingerprint))
                self.console.print(f"{run}: started, {run.log}")
        return bool(self.running)

    def _next(self) -> SeededRun | None:
        """The first run whose needed ones are done."""
        return next(
            (run for run in self.waiting if all(needed.name in self.done for needed in run.needed())), None
        )

    def _close(self, running: _Running) -> None:
        run, code = running.run, running.process.poll()
        folder = run.finish(running.fingerprint) if code == 0 else None
        if folder is not None:
            self.done[run.name] = folder
            self.console.print(f"{run}: done in {_minutes(running.since)}, {folder.path}")
            return
        reason = (
            f"failed with exit code {code}" if code else "ended without results.json and predictions.jsonl"
        )
        self.console.print(f"{run}: {reason}, {run.log}")
        last = (
            run.log.read_text(errors="replace").splitlines()[-LINES_OF_A_FAILURE:] if run.log.exists() else []
        )
        self.failure = self.failure or "\n".join(
            [
                f"The run {run} of the study {self.study.name} {reason}. What is done is kept: repair it and "
                f"start the study again. The end of its log, {run.log}:",
                "",
                *(f"    {line}" for line in last),
            ]
        )

    def _environment(self) -> dict[str, str]:
        """Several runs share the cores, unless the user has dealt them out."""
        if self.jobs == 1:
            return dict(os.environ)
        threads = max(1, available_cores() // self.jobs)
        return {"OMP_NUM_THREADS": str(threads), **os.environ}


class _Running:
    """A run on its way."""

    def __init__(self, run: SeededRun, process: Started, fingerprint: str) -> None:
        self.run = run
        self.process = process
        self.fingerprint = fingerprint
        self.since = time.monotonic()


def _minutes(since: float) -> str:
    return f"{(time.monotonic() - since) / 60:.1f} min"
