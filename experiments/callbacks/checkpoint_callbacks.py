"""`checkpoints/`: `last.ckpt`, from which a run goes on, and `best.ckpt` by a figure of the validation."""

from __future__ import annotations

from datetime import timedelta

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from datamodules.errors.nearest_names import did_you_mean
from experiments.callbacks.checkpoint_choice import Best
from experiments.callbacks.within_epochs import CheckpointWithinEpochs
from experiments.run_folders.run_folder import RunError

LAST = "last"
BEST = "best"
BETWEEN = timedelta(minutes=5)


def checkpoints(best: Best, required: bool) -> list[Checkpoint]:
    """The first two write the same file, which is always the newest.

    Args:
        best: what makes a checkpoint the best one.
        required: whether it is asked for, and not only kept where a validation logs the usual figure.
    """
    return [
        ModelCheckpoint(
            filename=LAST, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        ),
        CheckpointWithinEpochs(filename=LAST, train_time_interval=BETWEEN, enable_version_counter=False),
        BestCheckpoint(best, required),
    ]


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights of the best validation; without a validation it keeps none.

    Args:
        best: what makes a checkpoint the best one.
        required: whether a validation that does not log the figure is an error.
    """

    idle_without_validation = True

    def __init__(self, best: Best, required: bool) -> None:
        super().__init__(
            filename=BEST,
            monitor=best.monitor,
            mode=best.mode,
            save_weights_only=True,  # to be tested; a run goes on from its last one
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
        self.required = required

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where it was the best one.

        Raises:
            RunError: the validation does not log the figure; the sanity validation shows it already.
        """
        logged, monitor = trainer.callback_metrics, str(self.monitor)
        if monitor in logged:
            super().on_validation_end(trainer, pl_module)
        elif self.required:
            known = sorted(name for name in logged if name.startswith("val"))
            raise RunError(
                f"best.monitor is {monitor}, which the validation does not log."
                f"{did_you_mean(monitor, known)} It logs {', '.join(known) or 'nothing'}."
            )
