"""What is kept of a training whose numbers have gone wrong: the state before the step in which they did."""

from __future__ import annotations

from lightning import LightningModule, Trainer

from experiments.callbacks.in_run_folder import InRunFolder
from experiments.run_folders.run_folder import relative
from lightning_modules.finite import NotFinite


class StateBefore(InRunFolder):
    """Saves the state before a step whose loss is not finite; the weights have not changed in it yet."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save it, in all processes, which the loss has stopped together."""
        if not isinstance(exception, NotFinite) or exception.spoilt:
            return
        _take_back_the_step(trainer)
        kept = self.folder.checkpoint_before_step(trainer.global_step)
        try:
            trainer.save_checkpoint(kept)
        except OSError as error:  # the disk is full, say; what has gone wrong first is said in the end
            print(f"The state before the step could not be kept: {error}.")
            return
        if trainer.is_global_zero:
            print(f"The state before step {trainer.global_step} is kept: {relative(kept)}", flush=True)


def _take_back_the_step(trainer: Trainer) -> None:
    """Count the batches of the step that has begun as not begun: who goes on trains on them again."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    of_the_step = progress.current.completed % trainer.accumulate_grad_batches
    for counted in (progress.total, progress.current):
        done = counted.completed - of_the_step
        counted.load_state_dict(dict.fromkeys(counted.state_dict(), done))
