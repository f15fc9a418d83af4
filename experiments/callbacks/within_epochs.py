"""Checkpoints within an epoch, from which a run goes on as if it had never stopped."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from experiments.lightning_internals import log_step


class CheckpointWithinEpochs(ModelCheckpoint):
    """Saves between the steps of an epoch, but never between a step and the validation that follows it.

    Nor between the batches of a step: the gradients that they have added up so far are in no checkpoint.

    Lightning takes the epoch of such a checkpoint for ended: the resumed run would leave the validation out.
    The end of an epoch is saved by its own checkpoint; elsewhere the next step's is soon enough.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time to, an optimizer step is complete, and no validation comes first."""
        within_step = (batch_idx + 1) % trainer.accumulate_grad_batches
        if not (within_step or trainer.is_last_batch or _validates_after(trainer, batch_idx)):
            # Lightning logs a step behind this hook: killed in between, the run would go on without its row.
            if self._every_n_train_steps and trainer.global_step % self._every_n_train_steps == 0:
                log_step(trainer)
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


def _validates_after(trainer: Trainer, batch_idx: int) -> bool:
    every = trainer.val_check_batch
    if not every or not trainer.enable_validation:
        return False
    within_epoch = trainer.check_val_every_n_epoch is not None
    batches = 1 + (batch_idx if within_epoch else trainer.fit_loop.total_batch_idx)
    return batches % every == 0
