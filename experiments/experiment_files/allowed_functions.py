"""Functions that a configuration may name: few, since whatever calls one hands it what the file says.

A class of a library becomes a part of a model or of its training. A function may be given as anything that is
called, and so run a command, open a pickle or build what another file names.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from jsonargparse import _util
from jsonargparse._common import ImportDenied

MODULES = (
    *("torch.nn", "torch._C._nn", "torch.optim", "torch.distributed.fsdp", "torch.distributed.algorithms"),
    *("timm.optim", "timm.scheduler", "lightning_modules.optimizers", "experiments.run_folders.loggers"),
)
"""Where functions may come from: activations, optimizers, schedulers, policies, loggers."""

_paths_of = _util.canonical_import_paths
_allowed: tuple[str, ...] = MODULES


def allow_functions(packages: tuple[str, ...]) -> None:
    """Have the parser refuse all functions but those of `MODULES` and of some packages.

    The parser's own lists know names alone, and these say nothing about what is behind one. It asks for the
    places of all that it has found before anything is made of it, which is where each is looked at here.
    """
    global _allowed
    _allowed = (*MODULES, *packages)
    _util.canonical_import_paths = _places_of_allowed


def _places_of_allowed(obj: Any) -> set[str]:
    """Where something comes from; raises `ImportDenied` where it is a function that may not be named."""
    places: set[str] = _paths_of(obj)
    found = obj
    while isinstance(found, functools.partial):
        found = found.func
    if callable(found) and not inspect.isclass(found) and not inspect.ismodule(found):
        for place in places or {"an object without a name"}:
            if not any(place == module or place.startswith(f"{module}.") for module in _allowed):
                raise ImportDenied(f"Importing '{place}' is not allowed, denied by being a function.")
    return places
