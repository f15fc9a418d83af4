"""Which checkpoint answers for a run, and how it is told from any other."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from experiments.run_folders.run_folder import RunFolder


def checkpoint_of(run: RunFolder, config: dict[str, Any]) -> Path | None:
    """The checkpoint that a run has trained, or that it asked; None where it asked a model as it begins.

    Args:
        run: the run.
        config: its configuration.
    """
    if run.is_trained:
        return run.asked
    return Path(config["ckpt_path"]) if config.get("ckpt_path") else None


def digest(file: Path) -> str:
    """A digest of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
