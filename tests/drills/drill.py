"""What a drill is, and which there are."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datamodules.errors.nearest_names import did_you_mean
from datamodules.samples import SmallSpatialError

if TYPE_CHECKING:
    from tests.drills.place import Place

PACKAGE = "tests.drills"
SIGNAL, MOUNT, FILES, INJECTED = "a signal", "a mount in a namespace", "files", "an injected fault"


class DrillError(SmallSpatialError):
    """There is no such drill, or it cannot be done on this machine."""


class WentWrong(Exception):
    """What came of a drill is not what must come of it."""


@dataclass(frozen=True)
class Drill:
    """One fault.

    Attributes:
        name: what happens to the run; unique.
        done_by: how it is brought about.
        expected: what must come of it.
        act: does it; raises `WentWrong` where something else has come of it.
    """

    name: str
    done_by: str
    expected: str
    act: Callable[[Place], None]


_KNOWN: dict[str, Drill] = {}


def drill(name: str, done_by: str) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """Make a function a drill; its docstring says what must come of it."""

    def known(act: Callable[[Place], None]) -> Callable[[Place], None]:
        assert name not in _KNOWN, f"two drills are called {name!r}"
        _KNOWN[name] = Drill(name, done_by, " ".join((inspect.getdoc(act) or "").split()), act)
        return act

    return known


def require(truth: object, otherwise: str) -> None:
    """Raise `WentWrong` with a sentence where something is not so."""
    if not truth:
        raise WentWrong(otherwise)


def drills(named: str | None = None) -> list[Drill]:
    """All drills, or those whose name holds a word.

    Raises:
        DrillError: there is none.
    """
    package = importlib.import_module(PACKAGE)
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("when_"):
            importlib.import_module(f"{PACKAGE}.{module.name}")
    found = [each for name, each in _KNOWN.items() if (named or "").lower() in name.lower()]
    if not found:
        raise DrillError(
            f"No drill is called like {named!r}.{did_you_mean(str(named), _KNOWN)} "
            f"There are: {'; '.join(_KNOWN)}."
        )
    return found
