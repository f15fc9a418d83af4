"""A run goes on from a whole checkpoint, and keeps the one before its last for that."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from experiments.experiment_files.config_files import compose
from experiments.run_folders.checkpoint_io import AtomicCheckpointIO
from experiments.run_folders.run_folder import RunFolder
from experiments.run_folders.whole_checkpoints import is_whole, restore_whole
from lightning_modules.checkpoints import CheckpointError


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def with_another_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(torch.full((50,), 2.5).numpy().tobytes())] ^= 1
    file.write_bytes(content)


DAMAGES = (cut_off, emptied, with_another_byte)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with two checkpoints behind it."""
    run = RunFolder(tmp_path / "runs/x/1")
    run.write_card({"subcommand": "fit"})
    run.config.write_text(yaml.safe_dump({"name": "x"}))
    for step in (1, 2):
        AtomicCheckpointIO().save_checkpoint(checkpoint_of(step), run.checkpoint)
    return run


def checkpoint_of(step: int) -> dict[str, Any]:
    return {"global_step": step, "state_dict": {"weight": torch.full((50,), 2.5)}}


def step_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["global_step"])


@pytest.mark.parametrize("damaged", DAMAGES)
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    damaged: Callable[[Path], None], run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore_whole(run) == ""
    damaged(run.checkpoint)
    resumed = compose(["fit", "--resume", str(run.path)])
    assert resumed.arguments[-2:] == ["--ckpt_path", str(run.checkpoint)]
    assert (
        "last.ckpt is not whole: the run goes on from the one before, of step 1." in capsys.readouterr().err
    )
    assert step_of(run.checkpoint) == 1 and is_whole(run.checkpoint)


@pytest.mark.parametrize("damaged", DAMAGES)
def test_without_a_whole_one_before_there_is_a_sentence(
    damaged: Callable[[Path], None], run: RunFolder
) -> None:
    damaged(run.checkpoint)
    damaged(run.checkpoint_before)
    with pytest.raises(CheckpointError, match=r"last.ckpt is not whole, and there is no whole one before it"):
        restore_whole(run)
    run.checkpoint_before.unlink()
    with pytest.raises(CheckpointError, match="there is no whole one before it"):
        restore_whole(run)


def test_the_one_before_is_kept_where_files_have_one_name_each(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*names: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    AtomicCheckpointIO().save_checkpoint(checkpoint_of(3), run.checkpoint)
    assert (step_of(run.checkpoint_before), step_of(run.checkpoint)) == (2, 3)


def test_nothing_is_kept_before_other_checkpoints(run: RunFolder) -> None:
    """Whatever best ones are saved, a run with a damaged last one goes on from the last but one."""
    for step in (7, 8):
        AtomicCheckpointIO().save_checkpoint(checkpoint_of(step), run.best)
    names = {path.name for path in run.checkpoint.parent.iterdir()}
    assert names == {"last.ckpt", "before_last.ckpt", "best.ckpt"}
    cut_off(run.checkpoint)
    assert "goes on from the one before, of step 1." in restore_whole(run)
    assert (step_of(run.checkpoint), step_of(run.best)) == (1, 8)
