"""What callbacks that write into the run folder share."""

from __future__ import annotations

from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from experiments.run_folders.run_folder import RunFolder


class InRunFolder(Callback):
    """Knows the run folder, which the first process has chosen, in every process."""

    folder: RunFolder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the folder here: `trainer.log_dir` talks to all processes, so all of them must ask."""
        assert trainer.log_dir is not None
        self.folder = RunFolder(Path(trainer.log_dir))
