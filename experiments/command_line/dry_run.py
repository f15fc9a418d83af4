"""An experiment's model, data and trainer, made as for a run, but without one."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.cli import LightningCLI

from experiments.command_line.cli import ExperimentTrainer, SpatialCLI
from experiments.lightning_internals import PreparedCLI


class DryRun(PreparedCLI, SpatialCLI):
    """Makes everything and runs nothing; no run folder is written.

    Args:
        composition: the command line of an `experiment`, resolved.
    """

    def instantiate_trainer(self, **options: Any) -> ExperimentTrainer:
        """A trainer that knows device and precision, and logs and saves nothing."""
        trainer = LightningCLI.instantiate_trainer(
            self, logger=False, callbacks=[], enable_checkpointing=False, **options
        )
        assert isinstance(trainer, ExperimentTrainer)
        return trainer
