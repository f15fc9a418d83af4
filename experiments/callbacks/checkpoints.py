"""`checkpoints/last.ckpt`: what a run goes on from, at the end of each epoch and every five minutes."""

from __future__ import annotations

from datetime import timedelta

from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from experiments.callbacks.within_epochs import CheckpointWithinEpochs

LAST = "last"
BETWEEN = timedelta(minutes=5)


def checkpoints() -> list[Checkpoint]:
    """Both write the same file, which is always the newest."""
    return [
        ModelCheckpoint(
            filename=LAST, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        ),
        CheckpointWithinEpochs(filename=LAST, train_time_interval=BETWEEN, enable_version_counter=False),
    ]
