"""Which of a run's checkpoints is tested: the last one, or the best by a figure of its validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from experiments.callbacks.plain_halves import data_face
from experiments.run_folders.run_folder import RunError, RunFolder, relative
from lightning_modules.checkpoints import read_checkpoint

Tested = Literal["last", "best"]
"""What is tested, exported and asked of a run that has trained."""


@dataclass
class Best:
    """What makes a checkpoint the best one, which is kept beside the last.

    Args:
        monitor: a figure that each validation logs, such as val/score or val/loss.
        mode: whether more of it is better ("max"), or less ("min").
    """

    monitor: str = "val/score"
    mode: Literal["max", "min"] = "max"

    def __str__(self) -> str:
        """As the card and the report name it."""
        return f"{'highest' if self.mode == 'max' else 'lowest'} {self.monitor}"


def said_of(tested: Tested, best: Best) -> str:
    """The checkpoint that is tested, in words."""
    return "the last checkpoint" if tested == "last" else f"the best checkpoint, by {best}"


def whose_weights(checkpoint: Path, folder: RunFolder, best: Best) -> str:
    """A checkpoint that was tested, in words, with the epoch that it is of.

    Args:
        checkpoint: its file.
        folder: the run's folder.
        best: what makes a checkpoint the best one.
    """
    names = {folder.checkpoint: said_of("last", best), folder.best: said_of("best", best)}
    name = names.get(checkpoint, str(relative(checkpoint)))
    return f"{name}, of epoch {read_checkpoint(checkpoint)['epoch'] + 1}"


def refuse_looking_at_the_test(trainer: Trainer, data: Any, tested: Tested) -> None:
    """Raise where validation would choose the weights by the very questions of the test, or cannot choose.

    Args:
        trainer: the trainer, with its callbacks.
        data: the datamodule.
        tested: which checkpoint is tested.

    Raises:
        RunError: it is told to choose, and validation and test are one split, or nothing is validated.
    """
    choosing = _what_chooses(trainer.callbacks, tested)  # type: ignore[attr-defined]
    if choosing is None:
        return
    if tested == "best" and not any(isinstance(each, Checkpoint) for each in trainer.callbacks):  # type: ignore[attr-defined]
        raise RunError("tested: best needs checkpoints, and trainer.enable_checkpointing is false.")
    face = data_face(data)
    if not face.has_validation or trainer.limit_val_batches == 0:
        raise RunError(
            f"{choosing} needs a validation, and there is none: the data have no val split, or "
            "trainer.limit_val_batches is 0. Hold back training images with data.val_fraction, or leave "
            f"{choosing} out."
        )
    if face.validates_on_test:
        raise RunError(
            f"{choosing} would choose the weights by the questions that they are tested on: validation and "
            "test are one split here. Leave it out, and take the last checkpoint."
        )


def _what_chooses(callbacks: Sequence[Callback], tested: Tested) -> str | None:
    """What lets a validation decide on the weights that are tested, as the user has asked for it."""
    if tested == "best":
        return "tested: best"
    stopping = (each for each in callbacks if isinstance(each, EarlyStopping))
    return next((type(each).__name__ for each in stopping if each.monitor.startswith("val")), None)
