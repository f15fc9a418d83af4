"""A run is killed with signal 9."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

from tests.drills.drill import INJECTED, SIGNAL, drill, require
from tests.drills.place import NAME, Place, ended, wait_for
from tests.helpers.forked import ForkedCommand

MOMENTS = 10


def last_checkpoint(place: Place) -> list[Path]:
    """The checkpoint of the run that is disturbed, once it is there."""
    return [*place.runs.glob(f"{NAME}/2*/checkpoints/last.ckpt")]


def wait_for_checkpoint(place: Place, running: ForkedCommand) -> Path:
    """Wait for the first checkpoint."""
    wait_for(lambda: last_checkpoint(place), running, "the first checkpoint")
    return last_checkpoint(place)[0]


def killed(running: ForkedCommand) -> None:
    """Kill it and its workers."""
    running.send(signal.SIGKILL)
    running.finished(10)


@drill("kill -9 at ten random moments of fit", SIGNAL)
def at_random_moments(place: Place) -> None:
    """Resumed, each of the ten ends as the undisturbed run, bit for bit."""
    place.undisturbed()
    moments = random.Random(0)
    for _ in range(MOMENTS):
        running = place.drilled()
        wait_for(lambda: list(place.runs.glob(f"{NAME}/2*/metrics.csv")), running, "the first step")
        time.sleep(moments.uniform(0, 2.0))
        killed(running)
        if last_checkpoint(place):
            place.resumed()
        else:  # nothing is lost yet: it is started again from its folder
            place.run("experiment", "--resume", str(place.run_folder.relative_to(place.folder)), code=0)
        place.require_as_undisturbed()
        shutil.rmtree(place.runs)


@drill("kill -9 while a checkpoint is written", INJECTED)
def within_a_checkpoint(place: Place) -> None:
    """The checkpoint before is whole under its name; resumed, the run ends as the undisturbed one."""
    finished = ended(place.drilled(fault="killed_at_a_file", AT="last.ckpt", COUNT="5"))
    require(finished.returncode == -signal.SIGKILL, "it was not killed")
    place.resumed()
    place.require_as_undisturbed()


@drill("kill -9 of the main process alone, resumed while its loading workers still live", SIGNAL)
def main_process_alone(place: Place) -> None:
    """Nothing of the dead run stands in the way of the resumed one."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    os.kill(running.pid, signal.SIGKILL)
    place.resumed()
    place.require_as_undisturbed()


@drill("kill -9 while the predictions are written", INJECTED)
def within_predictions(place: Place) -> None:
    """No half predictions under their name; resumed, only the test is done again."""
    finished = ended(place.drilled(fault="killed_in_predictions"))
    require(finished.returncode == -signal.SIGKILL, "it was not killed")
    require(not (place.run_folder / "predictions.jsonl").exists(), "half of the predictions have their name")
    place.resumed()
    place.require_as_undisturbed()
    left = [path.name for path in place.run_folder.glob(".predictions*")]
    require(not left, f"half of the predictions are left: {left}")


@drill("kill -9 while the results are written", INJECTED)
def within_results(place: Place) -> None:
    """No half results under their name; resumed, they are those of the undisturbed run."""
    finished = ended(place.drilled(fault="killed_at_a_file", AT="results.json", COUNT="1"))
    require(finished.returncode == -signal.SIGKILL, "it was not killed")
    require(not (place.run_folder / "results.json").exists(), "half of the results have their name")
    place.resumed()
    place.require_as_undisturbed()


@drill("kill -9 while scenes are rendered", SIGNAL)
def while_rendering(place: Place) -> None:
    """The same command renders them again, whole, and what was left of the first time is gone."""
    (place.folder / "rendered_data").unlink()
    rendered = place.folder / "rendered_data"
    running = place.drilled()
    wait_for(lambda: list(rendered.glob(".partial-*/*")), running, "the rendering")
    killed(running)
    shutil.rmtree(place.runs, ignore_errors=True)
    ended(place.drilled(), 0)
    place.require_as_undisturbed()
    left = [path.name for path in rendered.glob(".partial-*")]
    require(not left, f"{len(left)} half folders are left in rendered_data")


@drill("kill -9 while a teacher's outputs are written", INJECTED)
def within_teacher_outputs(place: Place) -> None:
    """The parts that are whole stay; the same command writes the others and trains."""
    typed = ("experiment", "-c", "distillation/logit_kd_cached", "--scale", "tiny", "--name", NAME)
    finished = place.run(*typed, fault="killed_at_a_file", AT="complete.json", COUNT="1")
    require(finished.returncode == -signal.SIGKILL, f"it was not killed: {finished.stderr[-300:]}")
    finished = place.run(*typed, code=0)
    require("they are written first" in finished.stdout, "it took half of the outputs for all of them")
    require(not [*place.folder.rglob(".*.new")], "half a part is left")


@drill("kill -9, and half a line at the end of metrics.csv", SIGNAL)
def half_a_line(place: Place) -> None:
    """The half line is forgotten; resumed, the table is that of the undisturbed run."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    killed(running)
    with (place.run_folder / "metrics.csv").open("a") as table:
        table.write('2,"0.0')
    place.resumed()
    place.require_as_undisturbed()


@drill("stopped and continued (SIGSTOP, SIGCONT)", SIGNAL)
def stopped_for_a_while(place: Place) -> None:
    """It goes on and ends as the undisturbed run."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    running.send(signal.SIGSTOP)
    time.sleep(8)
    running.send(signal.SIGCONT)
    ended(running, 0)
    place.require_as_undisturbed()


@drill("the clock set back by a day while it trains", INJECTED)
def clock_within(place: Place) -> None:
    """Durations stay true, and the run ends as the undisturbed one."""
    ended(place.drilled(fault="clock_goes_back_within"), 0)
    place.require_as_undisturbed()
    seconds = json.loads((place.run_folder / "results.json").read_text())["seconds"]
    require(all(0 <= part < 600 for part in seconds.values()), f"durations are {seconds}")


@drill("the clock set back by a day between two runs", INJECTED)
def clock_between(place: Place) -> None:
    """`latest`, RESUME=1 and all that looks for the newest run find the second one."""
    stub = place.stub()
    place.run("experiment", "-c", stub, code=0)
    first = (place.runs / "stub/latest").resolve()
    place.run("experiment", "-c", stub, fault="clock_of_yesterday", code=0)
    second = (place.runs / "stub/latest").resolve()
    require(second != first, "`latest` is the run before")
    resumed = place.run("experiment", "-c", stub, "--resume", "latest", code=0)
    require(f"stub/{second.name}" in "".join(resumed.stdout.split()), "RESUME=1 goes on with the run before")


@drill("SIGTERM, as a scheduler sends it", SIGNAL)
def told_to_end(place: Place) -> None:
    """Status 143 and a line that says how to go on; resumed, it ends as the undisturbed run."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    running.send(signal.SIGTERM)
    finished = ended(running, 128 + signal.SIGTERM)
    require("Go on with: " in finished.stderr and "Traceback" not in finished.stderr, finished.stderr[-300:])
    place.resumed()
    place.require_as_undisturbed()


@drill("Ctrl-C twice", SIGNAL)
def ctrl_c_twice(place: Place) -> None:
    """Status 130 and a line that says how to go on; resumed, it ends as the undisturbed run."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    running.send(signal.SIGINT)
    time.sleep(0.05)
    if running.running:
        running.send(signal.SIGINT)
    finished = ended(running, 130)
    require("Go on with: " in finished.stderr and "Traceback" not in finished.stderr, finished.stderr[-300:])
    place.resumed()
    place.require_as_undisturbed()


@drill("the terminal is closed (SIGHUP)", SIGNAL)
def terminal_closed(place: Place) -> None:
    """It ends and leaves no process behind; resumed, it ends as the undisturbed run."""
    running = place.drilled()
    wait_for_checkpoint(place, running)
    os.kill(running.pid, signal.SIGHUP)
    ended(running, -signal.SIGHUP)
    place.resumed()
    place.require_as_undisturbed()
