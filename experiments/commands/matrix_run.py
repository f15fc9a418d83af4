"""One trial of the matrix: a run in a process of its own, and what has become of it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from datamodules.files.text_files import read_json
from experiments.commands.matrix_trials import Trial
from experiments.run_folders.run_folder import RunFolder

Status = Literal["ok", "sentence", "failed"]

SENTENCE = 3
"""The exit code of a run that has answered in a sentence."""

LOADED_ONCE = (
    "experiments.command_line.cli",
    "experiments.report.charts",
    "lightning_modules.tiny_giant.module",
    "lightning_modules.distillation.module",
    "datamodules.mixture",
    "datamodules.rendered.benchmarks",
    "datamodules.rendered.warehouse",
    "datamodules.rendered.rooms.cv_bench_writer",
    "peft",
    "transformers.models.smolvlm.modeling_smolvlm",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "pandas",  # pyarrow looks for it
)
"""What most runs need, and takes longer to import than many a run."""


@dataclass(frozen=True)
class Outcome:
    """What has become of a trial.

    Attributes:
        experiment: its experiment.
        precision: the trainer's.
        status: `ok` with results and a report; `sentence` where it rightly says why it does not run.
        seconds: how long it took.
        n: questions that were scored.
        score: the score of a tiny random model after a few steps, which says nothing.
        said: the sentence, or the last line of its log.
    """

    experiment: str
    precision: str
    status: Status
    seconds: float
    n: int = 0
    score: float | None = None
    said: str = ""

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "seconds": round(self.seconds, 1)}


class Processes:
    """Starts runs in processes of their own, which have the libraries of one that was started before.

    What a run does to its process is gone with it, as on the command line, but the imports are shared.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(LOADED_ONCE))

    def start(self, trial: Trial, folder: Path) -> Any:
        """Start `experiment` with the trial's file, in the matrix's folder; it prints into its log."""
        log = trial.log(folder)
        log.parent.mkdir(parents=True, exist_ok=True)
        typed = ["experiment", "-c", str(trial.file(folder))]
        process = self._context.Process(target=run_in, args=(folder, log, typed))
        process.start()
        return process


def run_in(folder: Path, log: Path, typed: list[str]) -> None:
    """Run a command line in a folder and end the process: 0, `SENTENCE`, or 1 with a traceback in the log."""
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(written, stream)
    os.chdir(folder)
    # Data-loading workers start as they do on the command line, not as this process was started.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    sys.exit(_exit_code(typed))


def _exit_code(typed: list[str]) -> int:
    from experiments.errors.libraries import quiet_libraries
    from experiments.errors.plain_errors import explained
    from experiments.experiment_files.config_files import compose

    try:
        quiet_libraries()
        from experiments.command_line.cli import SpatialCLI

        SpatialCLI(compose(typed))
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        if (said := explained(error)) is None:
            traceback.print_exc()
            return 1
        print(f"\nError: {said}", flush=True)
        return SENTENCE
    return 0


def outcome_of(trial: Trial, folder: Path, code: int | None, seconds: float) -> Outcome:
    """What a process that has ended has left.

    Args:
        trial: what it ran.
        folder: the matrix's folder.
        code: its exit code; None where it was stopped because it took too long.
        seconds: how long it took.
    """
    known: Callable[..., Outcome] = lambda status, **more: Outcome(  # noqa: E731
        trial.experiment, trial.precision or "32-true", status, seconds, **more
    )
    log = trial.log(folder)
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    if code is None:
        return known("failed", said="it took too long, and was stopped")
    if code == SENTENCE:
        said = next((line[7:] for line in reversed(lines) if line.startswith("Error: ")), "")
        return known("sentence" if trial.may_refuse else "failed", said=said)
    if code != 0:
        last = next((line for line in reversed(lines) if line.strip()), "")
        return known("failed", said=last.strip() or f"ended with code {code}")
    return _finished(trial, trial.run(folder), known)


def _finished(trial: Trial, run: RunFolder, known: Callable[..., Outcome]) -> Outcome:
    if trial.expects_sentence:
        return known("failed", said="it has run, though there is nothing to train on")
    missing = [path.name for path in (run.results, run.report) if not path.exists()]
    if missing:
        return known("failed", said=f"it has left no {' and no '.join(missing)}")
    results = read_json(run.results)
    if not results["n"]:
        return known("failed", said="no question was scored")
    return known("ok", n=results["n"], score=results["score"])
