"""Where a drill takes place: a folder of its own, runs in it, and disks that can be full or read-only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.drills.drill import DrillError, WentWrong, require
from tests.helpers.commands import LONGEST_S, allowing, environment
from tests.helpers.forked import ForkedCommand
from tests.helpers.run_ends import why_not_the_same
from tests.helpers.stub_experiment import stub_experiment

Finished = subprocess.CompletedProcess[str]

STEPS_SAVED = (
    "--trainer.callbacks+=experiments.callbacks.within_epochs.CheckpointWithinEpochs",
    *("--trainer.callbacks.filename=last", "--trainer.callbacks.every_n_train_steps=1"),
    "--trainer.callbacks.enable_version_counter=false",
)
"""A checkpoint after every step."""

QUICKSTART = (
    *("experiment", "-c", "quickstart", "--scale", "tiny", "--trainer.deterministic", "true"),
    "--model.phases=[{objective: normalized, epochs: 3}]",
    *("--baselines.majority", "false", "--baselines.blind", "false"),
    *STEPS_SAVED,
)
"""The run that most drills disturb: 12 steps on rendered scenes, validated after every fourth."""

NAME = "drilled"


class Place:
    """A folder with runs in it.

    Args:
        folder: where.
        shared: what drills share: rendered scenes, and the undisturbed run.
    """

    def __init__(self, folder: Path, shared: Path) -> None:
        self.folder = folder
        self.shared = shared
        (folder / "rendered_data").symlink_to(shared / "rendered_data")
        self._started: list[ForkedCommand] = []
        self._mounted: list[Path] = []

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.folder / "runs"

    @property
    def run_folder(self) -> Path:
        """The folder of the only run that was disturbed."""
        found = [
            path.parent for path in (self.runs / NAME).glob("*/run.json") if not path.parent.is_symlink()
        ]
        require(len(found) == 1, f"there are {len(found)} runs where one was started")
        return found[0]

    def start(
        self, *typed: str, fault: str = "", module: str = "", folder: Path | None = None, **changes: str
    ) -> ForkedCommand:
        """Start a command; with a fault of `faulty.py` in it."""
        if not module and len(allowing(typed)) > len(typed):
            typed = (*allowing(typed), "--allow", "tests.drills")
        module = module or ("tests.drills.faulty" if fault else "experiments.run")
        started = ForkedCommand(
            module,
            typed,
            folder or self.folder,
            environment(FAULT=fault, **changes),
            Path(tempfile.mkdtemp(dir=self.shared)),
        )
        self._started.append(started)
        return started

    def run(self, *typed: str, code: int | None = None, **options: Any) -> Finished:
        """Run a command to its end, with the status that it must have."""
        return ended(self.start(*typed, **options), code)

    def drilled(self, **options: Any) -> ForkedCommand:
        """Start the quick start that is disturbed."""
        return self.start(*QUICKSTART, "--name", NAME, **options)

    def resumed(self, code: int | None = 0) -> Finished:
        """Go on with it as a user does."""
        return self.run("experiment", "-c", "quickstart", "--name", NAME, "--resume", "latest", code=code)

    def undisturbed(self) -> Path:
        """The same run that nothing has happened to; done once for all drills."""
        folder = self.shared / "runs" / "whole"
        if not folder.exists():
            self.run(*QUICKSTART, "--name", "whole", code=0, folder=self.shared)
        return folder / "latest"

    def require_as_undisturbed(self, folder: Path | None = None) -> None:
        """Raise `WentWrong` where weights, table, results or answers differ from the undisturbed run's."""
        folder = folder or self.run_folder
        require((folder / "results.json").is_file(), "it has no results")
        wrong = why_not_the_same(self.undisturbed(), folder)
        require(not wrong, f"it did not end as the undisturbed run: {wrong}")
        left = [path.name for path in folder.rglob("*.part")]
        require(not left, f"half a file was left behind: {left}")

    def stub(self, **parts: dict[str, Any]) -> str:
        """An experiment file of stubs with other classes or arguments for `model` and `data`."""
        file = stub_experiment(self.folder)
        content = yaml.safe_load(file.read_text())
        for part, changes in parts.items():
            arguments = {**content[part]["init_args"], **changes.pop("init_args", {})}
            content[part] = {**content[part], **changes, "init_args": arguments}
        file.write_text("# Is left told from right?\n" + yaml.safe_dump(content))
        return str(file)

    def mount(self, folder: Path, size: str) -> None:
        """Lay a disk of some size over a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        self._mounted.append(folder)

    def make_read_only(self, folder: Path) -> None:
        """Have a folder refuse to be written, to root as well."""
        _mount("--bind", str(folder), str(folder))
        self._mounted.append(folder)
        _mount("-o", "remount,bind,ro", str(folder))

    def unmount(self, folder: Path) -> None:
        """Take it away again."""
        self._mounted.remove(folder)
        subprocess.run(["umount", "-l", str(folder)], check=True)

    def close(self) -> None:
        """End what still runs, and give the disks back."""
        for started in self._started:
            if started.running:
                started.send(signal.SIGKILL)
        for folder in reversed([*self._mounted]):
            self.unmount(folder)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def place_for_a_drill(shared: Path) -> Iterator[Place]:
    """A new place, which is gone afterwards."""
    place = Place(Path(tempfile.mkdtemp(dir=shared)), shared)
    try:
        yield place
    finally:
        place.close()


def ended(command: ForkedCommand, code: int | None = None) -> Finished:
    """Wait for a command's end; raises `WentWrong` where it has another status than it must have."""
    try:
        finished = command.finished(LONGEST_S)
    except subprocess.TimeoutExpired as error:
        raise WentWrong(f"it did not end: {last_line(str(error.output))}") from error
    if code is not None:
        said = last_line(finished.stderr or finished.stdout)
        require(finished.returncode == code, f"status {finished.returncode} in place of {code}: {said}")
    return finished


def said(finished: Finished) -> str:
    """All that a command has said, on one line."""
    return " ".join((finished.stdout + finished.stderr).split())


def require_sentence(finished: Finished, *words: str) -> None:
    """Raise `WentWrong` where a command did not end in one sentence with these words."""
    text = said(finished)
    require("Traceback" not in text, f"a traceback: {last_line(finished.stderr)}")
    require("Error: " in text, f"no error was said: {last_line(finished.stderr or finished.stdout)}")
    sentence = text[text.rindex("Error: ") :]
    missing = [word for word in words if word not in sentence]
    require(not missing, f"the sentence does not say {missing}: {sentence[:300]}")


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("(TRACEBACK")]
    return lines[-1][:300] if lines else "nothing was said"


def wait_for(what: Callable[[], object], command: ForkedCommand, whatever: str) -> None:
    """Wait until something is there while a command runs.

    Raises:
        WentWrong: the command has ended before, or it takes too long.
    """
    until = time.monotonic() + LONGEST_S
    while not what():
        if not command.running:
            finished = command.finished(1)
            raise WentWrong(f"it ended before {whatever}: {last_line(finished.stderr or finished.stdout)}")
        require(time.monotonic() < until, f"there was no sign of {whatever}")
        time.sleep(0.01)


def fill(folder: Path, leave_bytes: int = 0) -> Path:
    """Fill a disk; the file that does so."""
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free - leave_bytes
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free, 1))
    return filler


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise DrillError(f"This machine does not let a mount happen here: {done.stderr.strip()}")
