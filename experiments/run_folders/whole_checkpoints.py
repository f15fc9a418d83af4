"""A run goes on from a checkpoint that is whole: its last, or the one before where the last is damaged."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from experiments.run_folders.run_folder import RunFolder
from lightning_modules.checkpoints import CheckpointError, read_checkpoint


def keep_before(last: Path) -> None:
    """Give a run's last checkpoint a second name, before another one takes its own.

    Args:
        last: the checkpoint; of other files nothing is kept.
    """
    run = RunFolder.of_checkpoint(last)
    if last.absolute() != run.checkpoint or not last.is_file():
        return
    temporary = run.checkpoint_before.with_name(f".{run.checkpoint_before.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(last, temporary)
    except OSError:  # the file system gives no file two names
        shutil.copyfile(last, temporary)
    temporary.replace(run.checkpoint_before)


def restore_whole(run: RunFolder) -> str:
    """Put the checkpoint before in the place of a last one that is damaged; what to say of it, or "".

    Args:
        run: the run that shall go on.

    Raises:
        CheckpointError: the last one is damaged, and there is no whole one before it.
    """
    if is_whole(run.checkpoint):
        return ""
    if not is_whole(run.checkpoint_before):
        raise CheckpointError(
            f"The checkpoint {run.checkpoint} is not whole, and there is no whole one before it: copy it "
            f"again, or start the run again with -c {run.config}."
        )
    run.checkpoint_before.replace(run.checkpoint)
    step = read_checkpoint(run.checkpoint)["global_step"]
    return (
        f"The checkpoint {run.checkpoint} is not whole: the run goes on from the one before, of step {step}."
    )


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is all there and as it was written: its parts have their check sums."""
    try:
        with zipfile.ZipFile(checkpoint) as parts:
            return parts.testzip() is None
    except (FileNotFoundError, zipfile.BadZipFile, EOFError, NotImplementedError):
        return False
