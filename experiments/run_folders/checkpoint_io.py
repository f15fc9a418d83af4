"""Checkpoints that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from experiments.run_folders.whole_checkpoints import keep_before
from experiments.run_folders.whole_files import written_beside
from lightning_modules.checkpoints import readable_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, then renames.

    Lightning writes into the system's temporary folder and moves, which is a copy where that folder lies
    on another file system: a process killed during the copy leaves half a checkpoint under the real name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Save to a temporary file in the same folder, flush it to the disk, and rename it."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with written_beside(Path(path)) as temporary:
            with temporary.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:
                    # torch hides what the disk has said behind an error of its own.
                    if isinstance(error.__context__, OSError):
                        raise error.__context__ from None
                    raise
                file.flush()
                os.fsync(file.fileno())
            keep_before(Path(path))

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Load as Lightning does; raises `CheckpointError` where the file is no whole checkpoint."""
        with readable_checkpoint(path):
            return super().load_checkpoint(path, *arguments, **options)
