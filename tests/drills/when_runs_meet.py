"""Two runs want one folder, or something else stands in its place."""

from __future__ import annotations

import signal

from tests.drills.drill import FILES, SIGNAL, drill, require
from tests.drills.place import NAME, QUICKSTART, Place, ended, require_sentence, said
from tests.drills.when_killed import wait_for_checkpoint


@drill("a run is resumed while it still runs", SIGNAL)
def resumed_twice(place: Place) -> None:
    """The second one is refused by the folder's name; the first ends as the undisturbed run."""
    first = place.drilled()
    wait_for_checkpoint(place, first)
    first.send(signal.SIGSTOP)
    second = place.resumed(code=1)
    require_sentence(second, NAME, "another run")
    first.send(signal.SIGCONT)
    ended(first, 0)
    place.require_as_undisturbed()


@drill("two runs are started at once with one WANDB_RUN_ID", SIGNAL)
def one_identifier(place: Place) -> None:
    """One of them is refused by the folder's name, the other ends as the undisturbed run."""
    both = [place.drilled(WANDB_RUN_ID="2trial") for _ in range(2)]
    finished = [ended(each) for each in both]
    codes = sorted(each.returncode for each in finished)
    require(codes == [0, 1], f"their statuses are {codes}: {said(finished[1])[-200:]}")
    require_sentence(next(each for each in finished if each.returncode), "2trial")
    place.require_as_undisturbed()


@drill("a file stands where the run's folder is to be", FILES)
def file_in_its_place(place: Place) -> None:
    """A sentence that names it."""
    place.runs.mkdir()
    (place.runs / NAME).write_text("")
    finished = place.run(*QUICKSTART, "--name", NAME, code=1)
    require_sentence(finished, f"runs/{NAME}", "A file stands")


@drill("lock files of processes that are gone", FILES)
def stale_locks(place: Place) -> None:
    """They stand in nobody's way."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    running.send(signal.SIGKILL)
    running.finished(10)
    (place.run_folder / ".lock").touch()
    for rendered in (place.shared / "rendered_data").glob("[!.]*"):
        (rendered.parent / f".{rendered.name}.lock").touch()
    place.resumed()
    place.require_as_undisturbed()


@drill("the run's folder is deleted while it trains", FILES)
def folder_deleted(place: Place) -> None:
    """A sentence that names it, or results that are whole."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    running.send(signal.SIGSTOP)
    folder = place.run_folder
    folder.rename(place.folder / "deleted")
    running.send(signal.SIGCONT)
    finished = ended(running)
    require("Traceback" not in finished.stderr, f"a traceback: {finished.stderr[-200:]}")
    if finished.returncode:
        require_sentence(finished, NAME)
