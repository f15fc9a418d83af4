"""Finds runs: one rule for going on, testing, predicting, exporting and comparing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from datamodules.files.text_files import read_json
from datamodules.samples import DataError
from experiments.run_folders.run_folder import RUNS, RunError, RunFolder

State = Literal["trained", "tested"]
"""What a run has to have behind it: a checkpoint of its own, or judged answers."""

STATES: dict[State, Callable[[RunFolder], bool]] = {
    "trained": lambda run: run.is_trained,
    "tested": lambda run: run.is_tested,
}
LACKS = {
    "trained": "has trained nothing: {run.checkpoint} is missing",
    "tested": "was not tested: {run.predictions} or {run.results.name} is missing",
}


def find_run(named: str, state: State, identifier: str | None = None, runs: Path = RUNS) -> RunFolder:
    """The run in a folder, or the newest one of an experiment that is in the wanted state.

    Starts that came to nothing are passed over, and so is what was only asked where something trained is
    wanted.

    Args:
        named: a run's folder, the folder with all runs of an experiment, or an experiment's name.
        state: what the run has to have behind it.
        identifier: the run's id or folder, where it shall not be the newest.
        runs: the folder of all runs.

    Raises:
        RunError: there is none.
    """
    if identifier not in (None, "latest"):
        places = [runs / named / str(identifier), Path(str(identifier))]
    else:
        places = [Path(named)]
    for place in places:
        if RunFolder(place).config.is_file():
            return _required(RunFolder(place.resolve()), named, state)
    all_runs = runs_in(runs / named) or runs_in(Path(named))
    if identifier not in (None, "latest"):
        known = ", ".join(run.identifier for run in all_runs)
        raise RunError(f"There is no run {identifier!r} of {named!r}; there is {known or 'none at all'}.")
    found = [run for run in all_runs if STATES[state](run)]
    if found:
        return found[-1]
    if all_runs:
        raise RunError(f"No run of {named!r} was {state}; the newest one is {all_runs[-1].path}.")
    raise RunError(f"There is no run of {named!r} under {runs / named}.")


def run_to_ask(named: str) -> RunFolder:
    """The run of a folder, or the newest one of an experiment: one that has trained, or was tested as it is.

    Raises:
        RunError: there is none.
    """
    try:
        return find_run(named, "trained")
    except RunError:
        return find_run(named, "tested")


def runs_in(folder: Path) -> list[RunFolder]:
    """All runs of an experiment, the newest last."""
    runs = [
        RunFolder(path.parent)
        for path in folder.glob(f"*/{RunFolder(folder).config.name}")
        if not path.parent.is_symlink()
    ]
    cards = {run: run.read_card() for run in runs}
    return sorted(runs, key=lambda run: (cards[run].get("number", 0), cards[run].get("started", "")))


def next_number(folder: Path) -> int:
    """The number of the next run of an experiment: clocks may go back, numbers do not.

    Args:
        folder: the folder with all runs of the experiment.
    """
    numbers = [0]
    for card in folder.glob(f"*/{RunFolder(folder).card.name}"):
        with suppress(DataError):  # a damaged one of another run, which keeps nobody from starting
            numbers.append(read_json(card).get("number", 0))
    return 1 + max(numbers)


def _required(run: RunFolder, named: str, state: State) -> RunFolder:
    if not STATES[state](run):
        raise RunError(f"The run {named} {LACKS[state].format(run=run)}.")
    return run
