"""What a command tells its user when it cannot go on: one plain sentence, and an exit status.

Whatever the user can mend is said in a sentence: errors of this project, options, and what the machine
refuses (a full disk, a folder that cannot be written). A fault of the code keeps its traceback.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from datamodules.errors.nearest_names import did_you_mean
from datamodules.samples import SmallSpatialError
from experiments.experiment_files.secrets import masked
from experiments.run_folders.run_folder import relative

FAILED = 1
INTERRUPTED = 130
"""What a shell says of a command that Ctrl-C has ended: 128 and the number of the signal."""

LONGEST_SENTENCE = 3_000
"""How many letters of an error are shown."""

AGAIN = "The same command goes on where it has stopped."

_MACHINE = {
    errno.ENOSPC: "There is no space left on the disk{at}: make room, then run the same command again.",
    errno.EDQUOT: "Your share of the disk is full{at}: make room, then run the same command again.",
    errno.EFBIG: "The file system does not hold so large a file{at}: name another folder.",
    errno.EROFS: "Nothing can be written{at}, since the file system is read-only: name another folder.",
    errno.EACCES: "This user may not read or write there{at}: change its permissions, or name another place.",
    errno.EPERM: "This user may not read or write there{at}: change its permissions, or name another place.",
    errno.ENOTDIR: "A file stands where a folder is needed{at}: move it away, or name another folder.",
    errno.EEXIST: "A file stands where a folder is needed{at}: move it away, or name another folder.",
    errno.EISDIR: "A folder stands where a file is needed{at}: name a file, or move the folder away.",
    errno.ENAMETOOLONG: "The name is too long for the file system{at}: choose a shorter one.",
    errno.EMFILE: "Too many files are open at once{at}: raise the limit with `ulimit -n 4096`.",
    errno.EIO: "The disk does not answer as it should{at}: is it damaged, or was it taken away?",
    errno.ESTALE: "The disk does not answer as it should{at}: is it damaged, or was it taken away?",
}
"""What the machine refuses, in words."""


SECONDS_FOR_THE_FIRST = 8.0
"""How long a further process of a run waits for the first one to say what is wrong."""


class CommandError(SmallSpatialError):
    """A command's options are not what it takes."""


class Interrupted(SmallSpatialError):
    """The user has ended a command; the message says how to go on."""


@contextmanager
def plain_errors(only_prints: bool = False, interrupted: str = "") -> Iterator[None]:
    """Turn what the user can mend into its sentence and status 1; with TRACEBACK=1 nothing is turned.

    Args:
        only_prints: the command does nothing but print: a reader who has seen enough (`| head`) ends it well.
        interrupted: how to go on after Ctrl-C.
    """
    with_traceback = os.environ.get("TRACEBACK", "0") != "0"
    try:
        with _printed():
            yield
    except BrokenPipeError:
        if with_traceback:
            raise
        # What is still to be printed has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if only_prints:
            sys.exit(0)
        _end(
            "Nobody reads what this command prints any more, so it has stopped. RESUME=1 goes on with a run."
        )
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        ended = is_interrupt(error)
        said = f"Interrupted. {interrupted}" if ended else explained(error)
        if said is None or with_traceback:
            raise
        if ended or isinstance(behind(error), Interrupted):
            print(f"\n{said.strip()}", file=sys.stderr)
            sys.exit(INTERRUPTED)
        _end(said)


def is_interrupt(error: BaseException) -> bool:
    """Whether Ctrl-C has ended a command: Lightning makes an exit of its own of it."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    )


def explained(error: BaseException) -> str | None:
    """The sentence for an error that the user can mend; None for a fault of the code."""
    if (ours := behind(error)) is not None:
        return _shortened(sentence(ours))
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and (said := refused_by_machine(found)):
            return _shortened(said)
        found = found.__cause__
    return None


def _shortened(text: str) -> str:
    """A sentence without secrets; it may name a value as long as its file, and what to do comes last."""
    text = masked(text)
    if len(text) <= LONGEST_SENTENCE:
        return text
    return f"{text[: LONGEST_SENTENCE // 2]} ... {text[-LONGEST_SENTENCE // 2 :]}"


def behind(error: BaseException) -> SmallSpatialError | None:
    """The error of ours that this one is, or was raised from; None where there is none.

    jsonargparse wraps what the constructor of a model or of data raises.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, SmallSpatialError):
        found = found.__cause__
    return found


def sentence(error: SmallSpatialError) -> str:
    """The error's own message, freed of the traceback that a data-loading worker puts in front of it."""
    text = str(error).strip()
    marker = f"{type(error).__name__}: "
    found = text.startswith("Caught ") and marker in text
    return text[text.rindex(marker) + len(marker) :] if found else text


def refused_by_machine(error: OSError) -> str | None:
    """What the machine refuses, as a sentence; None where the error says something else."""
    said = _MACHINE.get(error.errno or 0)
    if error.errno == errno.EEXIST and not Path(error.filename or "").is_file():
        return None
    if not error.filename:
        return said and said.format(at="")
    full = f"; {_free(Path(error.filename))}" if error.errno == errno.ENOSPC else ""
    return said and said.format(at=f" ({error.filename}{full})")


def _free(path: Path) -> str:
    """How much room there is for a file."""
    folder = next((each for each in path.absolute().parents if each.is_dir()), Path())
    return f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB are free in {relative(folder)}"


_CHOICE = re.compile(
    r"argument (?P<option>\S+): invalid choice: '?(?P<value>.*?)'? \(choose from (?P<known>.*)\)"
)


def in_words(refusal: str) -> str:
    """What argparse says of an option, as a sentence with the nearest of the possible values."""
    if chosen := _CHOICE.fullmatch(refusal):
        known = re.findall(r"[\w.+-]+", chosen["known"])
        return (
            f"{chosen['option']} cannot be {chosen['value']!r}; it is one of {', '.join(known)}."
            f"{did_you_mean(chosen['value'], known)}"
        )
    return f"{refusal[:1].upper()}{refusal[1:].rstrip('.')}."


class OptionParser(argparse.ArgumentParser):
    """argparse, whose refusals are sentences like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise `CommandError`, instead of an exit with status 2."""
        raise CommandError(f"{in_words(message)} `{self.prog} --help` shows what the command takes.")


@contextmanager
def _printed() -> Iterator[None]:
    """Print all that is to be printed before the command ends, where a missing reader can still be told."""
    try:
        yield
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _end(said: str) -> NoReturn:
    if _first_process_ends():
        sys.exit(FAILED)
    print(f"\nError: {said}\n(TRACEBACK=1 shows where it was raised.)", file=sys.stderr)
    sys.exit(FAILED)


def _first_process_ends() -> bool:
    """Whether the first process of a run ends too, which has started this one: it has said what is wrong.

    Where this process alone has failed, the first one waits for it, and does not end.
    """
    if os.environ.get("LOCAL_RANK", "0") == "0":
        return False
    first, until = os.getppid(), time.monotonic() + SECONDS_FOR_THE_FIRST
    while os.getppid() == first and time.monotonic() < until:
        time.sleep(0.05)
    return os.getppid() != first
