"""Every experiment on small copies of the benchmarks as they are published.

`python -m experiments.commands.matrix [NAME] [--jobs 2]`, where NAME is one experiment or a folder of them.

Each file runs as it stands, at the full size, but for tiny random models in the place of the real ones and a
few steps: it is fitted, tested and reported, a student after the experiment that makes its teacher. The
copies hold the official splits and nothing else. One experiment of each family of models is tried in three
precisions. Nothing is fetched, and no GPU is used. All files lie in `runs/matrix/`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.commands.matrix_run import Outcome, Processes, outcome_of
from experiments.commands.matrix_trials import Trial, chosen_trials, write_backbone, write_settings
from experiments.commands.published_copies import published_copies
from experiments.errors.libraries import quiet_libraries
from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.run_folders.run_folder import RUNS, RunError, write_whole

BACKBONE = "tf_efficientnet_lite0"
"""The backbone whose pretrained weights come from a package."""

LONGEST_S = 600
"""A trial that takes longer than so many seconds is stopped."""

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass
class _Running:
    trial: Trial
    process: Any
    since: float


class Matrix:
    """Runs trials, several at once, each after the one that makes its teacher.

    Args:
        trials: what is run; what another one needs stands before it.
        folder: where all files go.
        jobs: how many run at once.
    """

    def __init__(self, trials: list[Trial], folder: Path, jobs: int) -> None:
        self.folder = folder.absolute()
        self.jobs = jobs
        self.waiting = list(trials)
        self.running: list[_Running] = []
        self.outcomes: dict[Trial, Outcome] = {}
        self._count = len(trials)

    def run(self) -> list[Outcome]:
        """Run all of them; what each has come to, in the order of their names."""
        self._prepare()
        processes = Processes()
        try:
            while self.waiting or self.running:
                self._close_ended()
                while len(self.running) < self.jobs and (trial := self._next()):
                    self.waiting.remove(trial)
                    self.running.append(
                        _Running(trial, processes.start(trial, self.folder), time.monotonic())
                    )
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            for running in self.running:
                running.process.terminate()
        return [self.outcomes[trial] for trial in sorted(self.outcomes, key=lambda trial: trial.name)]

    def _prepare(self) -> None:
        """Write the copies, the stand-in for pretrained weights, and every trial's experiment file."""
        copies = published_copies(self.folder / "rendered_data")
        weights = self.folder / "weights" / f"{BACKBONE}.pth"
        write_backbone(BACKBONE, weights)
        # What a teacher has said before is no longer true once it has been trained anew.
        shutil.rmtree(self.folder / RUNS / "teacher_caches", ignore_errors=True)
        for trial in self.waiting:
            shutil.rmtree(self.folder / RUNS / trial.name, ignore_errors=True)
            write_settings(trial, self.folder, copies, weights)

    def _next(self) -> Trial | None:
        """The first trial whose teacher is not still to be made; where it failed, the student says so."""
        pending = {*self.waiting, *(running.trial for running in self.running)}
        return next((trial for trial in self.waiting if trial.needs not in pending), None)

    def _close_ended(self) -> None:
        for running in list(self.running):
            seconds = time.monotonic() - running.since
            late = running.process.is_alive() and seconds > LONGEST_S
            if running.process.is_alive() and not late:
                continue
            if late:
                running.process.terminate()
            running.process.join()
            self.running.remove(running)
            code = None if late else running.process.exitcode
            outcome = outcome_of(running.trial, self.folder, code, seconds)
            self.outcomes[running.trial] = outcome
            done = f"[{len(self.outcomes)}/{self._count}]"
            print(f"{done:>8} {outcome.status:8} {seconds:5.0f} s  {running.trial.name}", flush=True)
            if outcome.said:
                print(f"{'':>9}{outcome.said}", flush=True)


def as_markdown(outcomes: list[Outcome], seconds: float) -> str:
    """The table, and a line that counts."""
    lines = ["| experiment | precision | outcome | seconds | n | says |", "|---|---|---|---|---|---|"]
    for outcome in outcomes:
        said = outcome.said.replace("|", "\\|")
        n = str(outcome.n or "")
        cells = (outcome.experiment, outcome.precision, outcome.status, f"{outcome.seconds:.0f}", n, said)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", summary(outcomes, seconds), ""])


def summary(outcomes: list[Outcome], seconds: float) -> str:
    """How many experiments have run, have said why they do not, or have failed."""
    files: dict[str, set[str]] = {}
    for outcome in outcomes:
        if outcome.precision == "32-true":
            files.setdefault(outcome.status, set()).add(outcome.experiment)
    others = [outcome for outcome in outcomes if outcome.precision != "32-true"]
    answered = sum(outcome.status != "failed" for outcome in others)
    count = {status: len(files.get(status, ())) for status in ("ok", "sentence", "failed")}
    return (
        f"{count['ok']} of {sum(count.values())} experiment files have run, {count['sentence']} say in a "
        f"sentence why not, {count['failed']} have failed; of {len(others)} further precisions {answered} "
        f"have run or are refused in a sentence. {seconds / 60:.1f} minutes."
    )


def main(arguments: list[str] | None = None, folder: Path = RUNS / "matrix") -> int:
    """Run the matrix and write its table; 1 where something has failed."""
    parser = OptionParser(prog="python -m experiments.commands.matrix", description=__doc__)
    parser.add_argument("name", nargs="?", help="one experiment, or a folder of them; all when left out")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at once")
    with plain_errors():
        options = parser.parse_args(arguments)
        if options.jobs < 1:
            raise RunError(f"--jobs is {options.jobs}, but must be at least 1.")
        quiet_libraries()
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ["WANDB_MODE"] = "disabled"
        began = time.monotonic()
        outcomes = Matrix(chosen_trials(options.name), folder, options.jobs).run()
        seconds = time.monotonic() - began
        table = as_markdown(outcomes, seconds)
        write_whole(folder / "matrix.md", table)
        content = {"seconds": round(seconds, 1), "trials": [outcome.as_json() for outcome in outcomes]}
        write_whole(folder / "matrix.json", json.dumps(content, indent=2) + "\n")
        print(f"\n{table}\nTable: {folder / 'matrix.md'}")
        return int(any(outcome.status == "failed" for outcome in outcomes))
    return 1


if __name__ == "__main__":
    # Whoever ends the matrix ends its runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
