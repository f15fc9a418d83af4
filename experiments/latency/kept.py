"""Where the latency of a run lies, and whether it has been measured."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from datamodules.files.text_files import read_json
from datamodules.samples import DataError
from experiments.experiment_files.registry import read_yaml
from experiments.run_folders.asked_checkpoint import checkpoint_of, digest
from experiments.run_folders.run_folder import RunFolder

FOLDER = "latency"
"""Of a run's folder."""


def file_of(run: RunFolder) -> Path:
    """`latency.json` of a run; `latency.html` lies beside it."""
    return run.path / FOLDER / "latency.json"


def what_is_measured(run: RunFolder, questions: int) -> dict[str, Any]:
    """What a measurement depends on, but for the machine and the code.

    Args:
        run: the run.
        questions: how many are asked.
    """
    file = checkpoint_of(run, read_yaml(run.config))
    return {
        "checkpoint": None if file is None else digest(file),
        "config": digest(run.config),
        "questions": questions,
    }


def kept(run: RunFolder, questions: int) -> dict[str, Any] | None:
    """What was measured of a run with the same checkpoint and as many questions; None where nothing was."""
    with suppress(DataError):  # a damaged one is measured anew
        if file_of(run).is_file():
            result: dict[str, Any] = read_json(file_of(run))
            return result if result.get("of") == what_is_measured(run, questions) else None
    return None
