"""A run has its folder alone, can write there, and is told from older ones whatever the clock says."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from experiments.errors.plain_errors import explained
from experiments.run_folders.alone import alone_in
from experiments.run_folders.find_run import find_run, next_number, runs_in
from experiments.run_folders.run_folder import RunError, RunFolder
from tests.helpers.cli_in_process import DryRunCLI


def test_a_second_run_in_a_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs/x/1")
    with alone_in(run), pytest.raises(RunError, match=r"x/1 another run is at work"), alone_in(run):
        pass
    with alone_in(run):
        pass


def test_a_process_that_a_run_has_forked_does_not_keep_its_folder(tmp_path: Path) -> None:
    """A loading worker lives on for some seconds where the run is killed."""
    run, context = RunFolder(tmp_path / "runs/x/1"), multiprocessing.get_context("fork")
    ends = context.Event()
    with alone_in(run):
        worker = context.Process(target=ends.wait)
        worker.start()
    try:
        with alone_in(run):
            assert worker.is_alive()
    finally:
        ends.set()
        worker.join()


def test_a_resumed_run_that_still_runs_is_refused(
    dry_run: type[DryRunCLI], stub: Path, tmp_path: Path
) -> None:
    folder = dry_run(["fit", "-c", str(stub)]).folder
    folder.config.write_text(stub.read_text())
    with alone_in(folder), pytest.raises(RunError, match="another run is at work"):
        dry_run(["fit", "--resume", str(folder.path)])
    dry_run(["fit", "--resume", str(folder.path)])


def trained(folder: Path, started: str) -> RunFolder:
    run = RunFolder(folder / started)
    run.write_card({"subcommand": "fit", "started": started, "number": next_number(folder)})
    run.config.touch()
    run.checkpoint.parent.mkdir()
    run.checkpoint.touch()
    return run


def test_the_newest_run_is_found_though_the_clock_went_back(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    before, after = trained(folder, "2026-05-02"), trained(folder, "2026-05-01")
    assert runs_in(folder) == [before, after]
    assert find_run("x", "trained", runs=tmp_path) == after


def test_a_damaged_card_keeps_no_other_run_from_starting(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    trained(folder, "2026-05-01").card.write_text('{"started": "2026')
    trained(folder, "2026-05-02")
    assert next_number(folder) == 2


@pytest.mark.parametrize(
    ("flag", "said"), [(os.ST_RDONLY, "the file system is read-only"), (0, "This user may not read or write")]
)
def test_a_folder_that_cannot_be_written_is_refused_first(
    flag: int, said: str, dry_run: type[DryRunCLI], stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mounted:
        f_flag = flag

    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "." and access(path, mode))
    monkeypatch.setattr(os, "statvfs", lambda *_: Mounted)
    with pytest.raises(OSError) as raised:
        dry_run(["fit", "-c", str(stub)])
    sentence = explained(raised.value)
    assert sentence and said in sentence and "runs/stub/" in sentence
    assert not Path("runs").exists()


def test_a_full_disk_is_said_with_what_is_free(tmp_path: Path) -> None:
    file = tmp_path / "runs/x/last.ckpt"
    said = explained(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)))
    assert said and f"({file}; " in said and f" MB are free in {tmp_path})" in said
