"""Disks are full or cannot be written."""

from __future__ import annotations

import signal

import torch

from tests.drills.drill import MOUNT, drill, require
from tests.drills.place import NAME, QUICKSTART, Place, ended, fill, require_sentence, said, wait_for
from tests.drills.when_killed import wait_for_checkpoint

ROOM = "400m"


@drill("the disk is full when a checkpoint is written", MOUNT)
def full_at_a_checkpoint(place: Place) -> None:
    """A sentence with the folder and what is free; the last checkpoint is whole, and the run goes on."""
    place.mount(place.runs, ROOM)
    running = place.drilled()
    checkpoint = wait_for_checkpoint(place, running)
    running.send(signal.SIGSTOP)
    filler = fill(place.runs, leave_bytes=200_000)
    running.send(signal.SIGCONT)
    finished = ended(running, 1)
    require_sentence(finished, "no space left", "runs/", "free")
    require(not [*place.runs.rglob("*.part")], "half a file was left behind")
    torch.load(checkpoint, weights_only=True)
    filler.unlink()
    place.resumed()
    place.require_as_undisturbed()


@drill("the disk is full when metrics.csv is written", MOUNT)
def full_at_the_table(place: Place) -> None:
    """A sentence with the folder and what is free; with room again the run goes on."""
    place.mount(place.runs, ROOM)
    running = place.start(
        *(part for part in QUICKSTART if not part.startswith("--trainer.callbacks")), "--name", NAME
    )
    wait_for(lambda: list(place.runs.glob(f"{NAME}/2*/metrics.csv")), running, "the table")
    running.send(signal.SIGSTOP)
    filler = fill(place.runs)
    running.send(signal.SIGCONT)
    finished = ended(running, 1)
    require_sentence(finished, "no space left", "free")
    filler.unlink()
    place.run("experiment", "--resume", str(place.run_folder.relative_to(place.folder)), code=0)
    place.require_as_undisturbed()


@drill("the disk is full when the test writes its answers", MOUNT)
def full_at_the_test(place: Place) -> None:
    """A sentence with the folder and what is free; with room again, only the test is done again."""
    place.mount(place.runs, ROOM)
    running = place.drilled()
    wait_for(lambda: list(place.runs.glob(f"{NAME}/2*/.predictions*")), running, "the test")
    running.send(signal.SIGSTOP)
    filler = fill(place.runs)
    running.send(signal.SIGCONT)
    finished = ended(running, 1)
    require_sentence(finished, "no space left", "free")
    filler.unlink()
    place.resumed()
    place.require_as_undisturbed()


@drill("the disk is full when scenes are rendered", MOUNT)
def full_at_rendering(place: Place) -> None:
    """A sentence with the folder and what is free, and no half scenes."""
    (place.folder / "rendered_data").unlink()
    rendered = place.folder / "rendered_data"
    place.mount(rendered, "300k")
    finished = ended(place.drilled(), 1)
    require_sentence(finished, "no space left", "rendered_data", "free")
    left = [path.name for path in rendered.iterdir() if path.is_dir()]
    require(not left, f"half of the scenes are left: {left}")


@drill("the folder of runs is read-only", MOUNT)
def read_only(place: Place) -> None:
    """A sentence that names it, before a model is made or scenes are rendered."""
    place.runs.mkdir()
    place.make_read_only(place.runs)
    finished = ended(place.drilled(), 1)
    require_sentence(finished, "runs", "read-only")
    require("Rendering" not in said(finished) and "epoch" not in finished.stdout, "it began all the same")


@drill("the run's folder is read-only when it is resumed", MOUNT)
def read_only_resumed(place: Place) -> None:
    """A sentence that names it, before a step is trained."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    running.send(signal.SIGKILL)
    running.finished(10)
    place.make_read_only(place.run_folder)
    finished = place.resumed(code=1)
    require_sentence(finished, NAME, "read-only")
    require("goes on in epoch" not in finished.stdout, "it began all the same")


@drill("the run's folder becomes read-only while it trains", MOUNT)
def read_only_within(place: Place) -> None:
    """A sentence that names it; writable again, the run goes on and ends as the undisturbed one."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    running.send(signal.SIGSTOP)
    folder = place.run_folder
    place.make_read_only(folder)
    running.send(signal.SIGCONT)
    finished = ended(running, 1)
    require_sentence(finished, NAME, "read-only")
    place.unmount(folder)
    place.resumed()
    place.require_as_undisturbed()
