"""What a run needs before a model is loaded or data are fetched: its splits, and its teacher's files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from datamodules.base import Role, SpatialDataModule
from experiments.callbacks.plain_halves import PlainData, arguments_of
from experiments.run_folders.run_folder import TRAINING_COMMANDS, RunError

TESTED = {"experiment": "test", "test": "test", "predict": "test", "validate": "val"}
"""The splits that commands ask questions of."""

LARGEST_SEED = 2**32 - 1

OPEN_FILES = 64
"""Files that a run has open beside what its data-loading workers hand on, at the most."""

OPEN_FILES_OF_A_WORKER = 32
"""The tensors of the two batches that a worker has ready."""

USUAL_OPEN_FILES = 4096

UNTRAINED = "none"
"""As a checkpoint: the model is asked as it begins."""

LEAST = {
    "log_every_n_steps": 0,
    "gradient_clip_val": 0,
    "num_sanity_val_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
}
"""The smallest numbers of the Trainer's settings that mean something, where Lightning itself takes any."""

LIGHTNINGS_CHECKPOINTS = ("best", "last", "hpc")
"""What Lightning finds by itself."""


def require_splits(data: SpatialDataModule | PlainData, subcommand: str, trains: bool) -> None:
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
        data.require_split(data.taken_from(role) if isinstance(data, SpatialDataModule) else role)
    if isinstance(data, SpatialDataModule):
        data.require_examples()


def require_teacher(settings: Any) -> None:
    """Raise `ModelError` where the files that a run's teacher is made of are missing.

    teacher outputs on disk that are all there need no teacher any more.

    Args:
        settings: the `teacher` of a model's configuration.
    """
    # Loaded late: most runs have no teacher.
    from lightning_modules.distillation.teachers.cache_files import is_complete
    from lightning_modules.distillation.teachers.live import require_files

    if settings.get("cache") is None or not is_complete(Path(settings["cache"])):
        require_files(settings.get("adapter"), settings.get("checkpoint"), settings.get("made_by") or "")


def trains(subcommand: str, model: Any) -> bool:
    """Whether a run trains something: a model that is only asked has the adapter `none`.

    Args:
        subcommand: what is run.
        model: the model's configuration.
    """
    adapter = arguments_of(model).get("adapter") or {}
    return subcommand in TRAINING_COMMANDS and adapter.get("method") != "none"


def require_seed(seed: int | bool | None) -> None:
    """Raise `RunError` where a seed is none that all random generators take."""
    if seed is not None and not 0 <= int(seed) <= LARGEST_SEED:
        raise RunError(f"seed_everything is {seed}; give a whole number from 0 to {LARGEST_SEED}.")


def require_checkpoint(path: str) -> None:
    """Raise `CheckpointError` where a checkpoint that is named by its path is absent or not whole.

    Other files are refused unread (`RunError`): a configuration from elsewhere may name any. Lightning would
    say so only when data and model are there. `last` and its like, which are no paths, are left to it, as are
    addresses.
    """
    from lightning_modules.checkpoints import read_checkpoint

    if path.lower() == UNTRAINED or path in LIGHTNINGS_CHECKPOINTS:
        return
    if "://" in path or path.startswith("registry"):
        return
    if Path(path).suffix != ".ckpt":
        raise RunError(f"ckpt_path is {path}, but a checkpoint's name ends in .ckpt: name one of a run.")
    read_checkpoint(path)


def require_tensors_alone(weights_only: Any) -> None:
    """Raise `RunError` where checkpoints were to be opened in the way that runs code which lies in them."""
    if weights_only is not True:
        raise RunError(
            f"weights_only is {weights_only}, but a checkpoint that is opened so may run any code: leave it "
            "true."
        )


def require_workable(trainer: Any) -> None:
    """Raise `RunError` where a trainer cannot train with its settings, or would keep nothing of a run."""
    if trainer.get("barebones"):
        raise RunError(
            "trainer.barebones is true, but every run keeps its figures and answers, which barebones "
            "forbids: take --trainer.fast_dev_run true, or --trainer.enable_checkpointing false and "
            "--trainer.enable_progress_bar false."
        )
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch", "val_check_interval"):
        value = trainer.get(name)
        if isinstance(value, int | float) and value <= 0:
            raise RunError(f"trainer.{name} is {value}; it must be above 0.")
    for name, least in LEAST.items():
        value = trainer.get(name)
        if isinstance(value, int | float) and value < least:
            raise RunError(f"trainer.{name} is {value}; it must be at least {least}.")
    given = trainer.get("plugins") or []
    for plugin in given if isinstance(given, list) else [given]:
        kind = str(plugin.get("class_path", "")).rpartition(".")[2]
        if "Precision" in kind:
            raise RunError(
                f"trainer.plugins holds {kind}: a precision is named by trainer.precision, for example "
                "--trainer.precision bf16-mixed."
            )


def require_open_files(workers: int) -> None:
    """Raise `RunError` where so many data-loading workers could not hand their batches on.

    Each tensor on its way is an open file. A worker that may open no more loses its batch, for which the run
    would wait. As many are allowed first as the system lets a process allow itself.

    Args:
        workers: how many there are.
    """
    if not workers or sys.platform == "win32":
        return
    import resource  # which Windows does not have

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OPEN_FILES + workers * OPEN_FILES_OF_A_WORKER
    if resource.RLIM_INFINITY != soft < needed and (hard == resource.RLIM_INFINITY or hard > soft):
        soft = USUAL_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, USUAL_OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if resource.RLIM_INFINITY != soft < needed:
        raise RunError(
            f"A process may open {soft} files here, but data.init_args.num_workers is {workers}, which takes "
            f"up to {needed}: raise the limit with `ulimit -n {USUAL_OPEN_FILES}`, or load without workers "
            "(num_workers: 0)."
        )


def require_name(name: str) -> None:
    """Raise `RunError` where an experiment's name is not one that a folder under `runs/` can have."""
    parts = Path(name or "").parts
    usable = parts and name not in ("None", "null") and name.isprintable()
    if not usable or Path(name).is_absolute() or ".." in parts:
        raise RunError(f"name is {name!r}, but the runs lie in runs/<name>/: give a name such as mine/first.")
