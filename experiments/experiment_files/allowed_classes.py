"""Which classes a configuration may name: those of this project and of the libraries it is made for.

Importing a module runs its code, so that a file from elsewhere could run anything by naming a class. The user
allows more on the command line (`--allow PACKAGE`), and no file can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.run_folders.run_folder import RunError

ALLOWED = ("datamodules", "lightning_modules", "experiments", "torch", "lightning", "peft", "timm")
"""Packages that every configuration may name classes of."""

REFUSED = (
    # What reads code from files or from the network.
    *("torch.load", "torch.serialization", "torch.hub", "torch.package", "torch.jit", "torch.export"),
    *("torch.utils.model_zoo", "torch.utils.cpp_extension", "torch.ops", "torch.classes", "torch.library"),
    *("lightning.fabric.utilities.cloud_io", "lightning.pytorch.core.saving"),
    *("timm.models._hub", "timm.models._helpers"),
    # What runs commands, or code that is given as a text.
    *("torch.distributed.run", "torch.distributed.launch", "torch.distributed.launcher"),
    *("torch.distributed.elastic", "torch.distributed.rpc", "torch.multiprocessing", "torch.utils.benchmark"),
    *("torch.fx", "torch._dynamo", "torch._inductor", "torch.testing", "torch.distributed.nn"),
    *("torch.utils.data.datapipes", "torch.utils.show_pickle", "torch.utils.model_dump", "torch.onnx"),
    *("lightning.pytorch.cli", "lightning.fabric.cli", "lightning.app", "lightning.pytorch.serve"),
    *("experiments.run", "experiments.commands", "experiments.command_line", "experiments.export"),
    *("experiments.experiment_files", "experiments.lightning_internals", "experiments.program"),
    *("experiments.study", "experiments.trained"),
)
"""What lies in these packages, but reads or runs code or writes files instead of being a part of a model."""

NEVER = "jsonargparse"
"""The parser itself, in which the list of what is allowed stands."""

REMOTE_CODE = "transformers_modules"
"""The package that code which comes with a model is a part of, once transformers has loaded it."""

ALLOW = "--allow"
"""The option, which may be given several times."""

_typed: tuple[str, ...] = ()


class RefusedClass(RunError):
    """A configuration names a class that it may not name."""


def require_packages(packages: Sequence[str]) -> None:
    """Raise `RunError` where something typed behind `--allow` is no package that can be allowed."""
    for package in packages:
        if not all(part.isidentifier() for part in package.split(".")):
            raise RunError(
                f"{ALLOW} is {package!r}; give the name of a package or module, such as mine or mine.models."
            )
        if package.partition(".")[0] == NEVER:
            raise RunError(f"{ALLOW} {package} is refused: with it a file could allow itself all others.")


def allowing(packages: Sequence[str]) -> list[str]:
    """What to type so that these packages are allowed."""
    return [word for package in packages for word in (ALLOW, package)]


def enforce(packages: Sequence[str] | None = None) -> None:
    """Have the parser import nothing but what is allowed, from now on in this process.

    Args:
        packages: what is allowed beside `ALLOWED`; None for what was allowed last.
    """
    global _typed
    # Loaded late, so that the list of experiments needs no parser.
    from jsonargparse import set_parsing_settings

    from experiments.experiment_files.allowed_functions import allow_functions

    packages = _typed if packages is None else tuple(packages)
    require_packages(packages)
    set_parsing_settings(
        import_path_denylist=["*", *REFUSED, *_typed],
        import_path_allowlist=[*ALLOWED, *packages],
        # A value of any type that has a `class_path` stays what it is.
        instantiate_subclass_spec_in_any=False,
    )
    allow_functions(tuple(packages))
    _typed = tuple(packages)


def is_allowed(path: str) -> bool:
    """Whether something may be imported by this path; the longest name that is known decides."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in ALLOWED or name in _typed:
            return True
        if name in REFUSED:
            return False
    return False


def refuse_remote_code(settings: Mapping[str, Any]) -> None:
    """Raise `RefusedClass` where code that comes with a model was to be run and is not allowed."""
    for key in _keys(settings, True):
        if key.rpartition(".")[2] == "trust_remote_code" and REMOTE_CODE not in _typed:
            raise RefusedClass(
                f"{key} is true, which runs Python code that comes with the model: if you trust it, add "
                f"{ALLOW} {REMOTE_CODE} to the command line (with make: ALLOW={REMOTE_CODE})."
            )


def said_of_refused(path: str, sources: Sequence[tuple[str, Any]], key: str = "") -> str:
    """The sentence for a class that a configuration may not name.

    Args:
        path: its import path.
        sources: what was merged, the later one winning: where it stands, and what it holds.
        key: where it stands as far as the parser knows, for what stands in none of the sources.
    """
    where = _place(path, sources) or key or "The configuration"
    package = path.partition(".")[0]
    if package in ALLOWED:
        package = path.rpartition(".")[0]
        why = "which may read or run code, or is a function, and no part of a model or its training"
    else:
        why = f"which lies outside of {', '.join(ALLOWED)}"
    return (
        f"{where} names {path}, {why}. To load it would run its code: if you trust it, add {ALLOW} {package} "
        f"to the command (with make: ALLOW={package})."
    )


def _place(path: str, sources: Sequence[tuple[str, Any]]) -> str:
    """The key and the file that name a class; "" where none does."""
    for file, tree in reversed(sources):
        # A `tiny:` part stands in the file it was taken from.
        if file != "tiny" and (key := next(_keys(tree, path), "")):
            return f"{key} of {file}"
    return ""


def _keys(tree: Any, wanted: str | bool, key: str = "") -> Iterator[str]:
    """The dotted keys of the values that are a class's path, or true."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _keys(value, wanted, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _keys(value, wanted, f"{key}[{number}]")
    elif tree is wanted or (tree == wanted and isinstance(wanted, str)):
        yield key
