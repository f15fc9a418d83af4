"""`python -m experiments.run print -c NAME [--scale tiny]`: an experiment's configuration, and who set what.

Behind each value stands the file that set it, `tiny` where it is the tiny size, `typed`, or nothing where it
is a default of the code. What is printed is YAML again.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

import yaml

from experiments.errors.plain_errors import plain_errors
from experiments.experiment_files.config_files import ConfigFiles, compose
from experiments.experiment_files.typed_options import as_tree

COLUMN = 60
"""Where the names of files begin, in characters."""

Sources = Sequence[tuple[str, dict[str, Any]]]
"""What was merged, the later one winning: where it stands, and what it holds."""


def main(arguments: list[str] | None = None) -> None:
    """Print the configuration of an experiment."""
    typed = sys.argv[1:] if arguments is None else arguments
    with plain_errors(only_prints=True):
        if {"-h", "--help"} & set(typed):
            return print(__doc__)
        composition = compose(["fit", *typed])
        print("\n".join(annotated(resolved(composition), [*composition.files, ("typed", as_tree(typed))])))


def resolved(composition: ConfigFiles) -> dict[str, Any]:
    """The whole configuration of a command line."""
    from experiments.command_line.cli import SpatialCLI
    from experiments.errors.libraries import quiet_libraries

    quiet_libraries()
    composition.arguments.append("--print_config")
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            SpatialCLI(composition)
    except SystemExit:  # how the parser ends once it has printed
        pass
    return yaml.safe_load(printed.getvalue()) or {}


def annotated(config: dict[str, Any], sources: Sources) -> Iterator[str]:
    """The lines of a configuration, each value with where it was set."""
    for depth, name, value, place in _lines(config):
        line = f"{'  ' * depth}{name}:"
        if isinstance(value, dict) and value:
            yield line
            continue
        line += f" {_inline(value)}"
        source = set_by(place, sources)
        yield f"{line:{COLUMN}}  # {source}" if source else line


def set_by(place: Sequence[str], sources: Sources) -> str:
    """Where a value was set last; "" for a default of the code.

    Args:
        place: the keys that lead to it.
        sources: what was merged, the later one winning.
    """
    keys = [key for key in place if key != "init_args"]
    return next((name for name, tree in reversed(sources) if _holds(tree, keys)), "")


def _lines(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[int, str, Any, list[str]]]:
    for name, value in tree.items():
        yield len(above), name, value, [*above, name]
        if isinstance(value, dict):
            yield from _lines(value, (*above, name))


def _inline(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _holds(tree: Any, keys: Sequence[str]) -> bool:
    """Whether a tree says something at a place, whatever `init_args` are on the way."""
    while isinstance(tree, dict) and "init_args" in tree and keys and keys[0] not in tree:
        tree = tree["init_args"]
    if not keys:
        return True
    if not isinstance(tree, dict):
        return keys == ["class_path"]  # `--model TinyGiant`
    return keys[0] in tree and _holds(tree[keys[0]], keys[1:])


if __name__ == "__main__":
    main()
