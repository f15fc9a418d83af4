"""Where a run keeps its files: `runs/<name>/<run id>/`; `runs/<name>/latest` is the newest that trained."""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datamodules.files.text_files import read_json, read_text
from datamodules.samples import SmallSpatialError
from experiments.run_folders.whole_files import written_beside

RUNS = Path("runs")
"""All runs, relative to where the command is typed."""

LATEST = "latest"
TRAINING_COMMANDS = ("experiment", "fit")


class RunError(SmallSpatialError):
    """A run cannot be started, found or continued as asked."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, and what its files are called."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration; with it, any command repeats this run."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """Everything that was logged, a row a step."""
        return self.path / "metrics.csv"

    @property
    def predictions(self) -> Path:
        """One line a question: truth, answer, right or wrong."""
        return self.path / "predictions.jsonl"

    @property
    def results(self) -> Path:
        """The score, its interval, the baselines and the costs."""
        return self.path / "results.json"

    @property
    def results_page(self) -> Path:
        """The results as a short markdown page."""
        return self.path / "results.md"

    @property
    def submission(self) -> Path:
        """What a challenge's server takes."""
        return self.path / "submission.json"

    @property
    def report(self) -> Path:
        """The results as a page to look at."""
        return self.path / "report.html"

    @property
    def gallery(self) -> Path:
        """Images of some questions, and their index."""
        return self.path / "gallery"

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def checkpoint_before(self) -> Path:
        """The checkpoint before the newest, for where that is damaged."""
        return self.path / "checkpoints" / "before_last.ckpt"

    def checkpoint_before_step(self, step: int) -> Path:
        """What is kept of a run that went wrong in a step."""
        return self.path / "checkpoints" / f"before_step_{step}.ckpt"

    @property
    def lock(self) -> Path:
        """Held while a run is at work in the folder."""
        return self.path / ".lock"

    @property
    def best(self) -> Path:
        """The checkpoint of the best validation, where one was kept."""
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def asked(self) -> Path:
        """The checkpoint that is tested, exported and asked: with `tested: best` the best one."""
        wanted = (
            (yaml.safe_load(read_text(self.config)) or {}).get("tested") if self.config.is_file() else None
        )
        return self.best if wanted == "best" and self.best.is_file() else self.checkpoint

    @property
    def adapter(self) -> Path:
        """What was trained of a model with an adapter."""
        return self.path / "adapter"

    @property
    def card(self) -> Path:
        """How the run was started: command, commit, machine."""
        return self.path / "run.json"

    @property
    def identifier(self) -> str:
        """The run's own part of the folder's name."""
        return self.path.name

    @classmethod
    def new(cls, runs: Path, name: str) -> RunFolder:
        """A folder nobody has used yet; a sweep's trial is named by its own `WANDB_RUN_ID`."""
        identifier = (
            os.environ.get("WANDB_RUN_ID") or f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        )
        folder = cls(runs / name / identifier)
        if folder.config.exists() and "LOCAL_RANK" not in os.environ:
            raise RunError(
                f"{folder.path} already holds a run. Unset WANDB_RUN_ID for a new one, or continue it with "
                f"--resume {folder.path}."
            )
        return folder

    @classmethod
    def of_checkpoint(cls, checkpoint: Path) -> RunFolder:
        """The run that wrote a checkpoint."""
        return cls(checkpoint.absolute().parent.parent)

    @property
    def is_trained(self) -> bool:
        """Whether it was to train something, and has a checkpoint of it."""
        return self.read_card().get("subcommand") in TRAINING_COMMANDS and self.checkpoint.is_file()

    @property
    def is_tested(self) -> bool:
        """Whether it has a score, and the answers that were judged."""
        return self.results.is_file() and self.predictions.is_file()

    def read_card(self) -> dict[str, Any]:
        """What `write_card` wrote, or nothing."""
        return read_json(self.card) if self.card.exists() else {}

    def write_card(self, card: dict[str, Any]) -> None:
        """Write down how the run was started."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.card, json.dumps(card, indent=2) + "\n")

    def require_writable(self) -> None:
        """Raise the system's own error where nothing can be written into the folder, or it cannot be made."""
        there = next((path for path in (self.path, *self.path.parents) if path.exists()), self.path)
        if not there.is_dir() or os.access(there, os.W_OK | os.X_OK):
            return
        read_only = hasattr(os, "statvfs") and os.statvfs(there).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), str(self.path))

    def become_latest(self) -> None:
        """Point `latest` to this run: it has a checkpoint now, or results where nothing was trained.

        Runs that only ask a trained model leave `latest` alone, and so does a start that comes to nothing. A
        run without a checkpoint takes it from none that has one.
        """
        if self.read_card().get("subcommand") not in TRAINING_COMMANDS:
            return
        if not self.checkpoint.is_file() and RunFolder(self.path.parent / LATEST).is_trained:
            return  # told to keep no checkpoint, or to train nothing: nobody could go on from it
        pointer = self.path.parent / f".{LATEST}-{secrets.token_hex(4)}"
        pointer.symlink_to(self.path.name, target_is_directory=True)
        pointer.replace(self.path.parent / LATEST)


def relative(path: Path) -> Path:
    """A path as it is typed here, if it lies below the present folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never a half."""
    with written_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
