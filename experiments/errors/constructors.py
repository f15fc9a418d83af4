"""Errors that constructors of other libraries raise: settings that they do not take, as one sentence."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from experiments.errors.plain_errors import explained
from experiments.run_folders.run_folder import RunError

LONGEST_REASON = 400

SETTINGS = (ValueError, TypeError, RuntimeError, KeyError, OSError, ImportError, MisconfigurationException)
"""What libraries raise where they do not take a setting. Others are faults of the code."""

_CLASS = re.compile(r"class_path='[\w.]*?(\w+)'")


class NotMade(RunError):
    """A model, its data or the trainer cannot be made as configured."""


@contextmanager
def made_as_configured(what: str = "A class of the configuration") -> Iterator[None]:
    """Turn what a constructor raises about its settings into a sentence; faults of the code stay as they are.

    Args:
        what: what is made, for the sentence, where the error does not tell.

    Raises:
        NotMade: the settings are not taken.
    """
    try:
        yield
    except Exception as error:
        reason = _own_words(error)
        if explained(error) is not None or not isinstance(reason, SETTINGS):
            raise
        named = _CLASS.search(str(error)) if reason is not error else None
        raise NotMade(
            f"{named[1] if named else what} cannot be made as it is configured: {reason_of(reason)}"
        ) from error


def refused_by_lightning(error: BaseException) -> bool:
    """Whether an error says that Lightning does not take a setting, which it finds only when it runs.

    Faults of what it runs, and of torch, are raised by other code than Lightning's.
    """
    return (
        isinstance(error, MisconfigurationException)
        or (isinstance(error, ValueError) and _raised_in(error).startswith("lightning."))
        or (isinstance(error, RuntimeError) and _raised_in(error).startswith("lightning.pytorch.callbacks."))
    )


def reason_of(error: BaseException) -> str:
    """What a library's error says, on one line, with the kind of error where the text alone tells nothing."""
    text = " ".join(str(error).split()).rstrip(".")
    if len(text) > LONGEST_REASON:
        text = f"{text[:LONGEST_REASON]} ..."
    if isinstance(error, KeyError) or " " not in text:
        text = f"{type(error).__name__} {text}".rstrip()
    return text if text.endswith(("!", "?")) else f"{text}."


def _own_words(error: BaseException) -> BaseException:
    """The error without those that jsonargparse has wrapped around it."""
    while error.__cause__ is not None and _raised_in(error).startswith("jsonargparse"):
        error = error.__cause__
    return error


def _raised_in(error: BaseException) -> str:
    """The module whose line has raised an error."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", ""))
