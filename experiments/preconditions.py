"""What a run needs before a model is loaded or data are fetched: its splits, and its teacher's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datamodules.base import Role, SpatialDataModule
from experiments.run_folder import TRAINING_COMMANDS

TESTED = {"experiment": "test", "test": "test", "predict": "test", "validate": "val"}
"""The splits that commands ask questions of."""


def require_splits(data: SpatialDataModule, subcommand: str, trains: bool) -> None:
    """Raise `DataError` where the data do not have the splits that a run works on, as far as a glance tells.

    Args:
        data: the data.
        subcommand: what is run.
        trains: whether the run trains something.
    """
    roles: list[Role] = ["train"] if trains else []
    if subcommand in TESTED:
        roles.append(TESTED[subcommand])  # type: ignore[arg-type]
    for role in roles:
        data.require_split(role)


def require_teacher(settings: Any) -> None:
    """Raise `ModelError` where the files that a run's teacher is made of are missing.

    Lessons on disk that are all there need no teacher any more.

    Args:
        settings: the `teacher` of a model's configuration.
    """
    # Loaded late: most runs have no teacher.
    from lightning_modules.distillation.teacher_cache import is_complete
    from lightning_modules.distillation.teachers import require_files

    if settings.get("cache") is None or not is_complete(Path(settings["cache"])):
        require_files(settings.get("adapter"), settings.get("checkpoint"), settings.get("made_by") or "")


def trains(subcommand: str, model: Any) -> bool:
    """Whether a run trains something: a model that is only asked has the adapter `none`.

    Args:
        subcommand: what is run.
        model: the model's configuration.
    """
    adapter = model.init_args.get("adapter") or {}
    return subcommand in TRAINING_COMMANDS and adapter.get("method") != "none"
