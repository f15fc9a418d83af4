"""Typed options as a tree of keys, which says where a value was typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from experiments.experiment_files.yaml_texts import plain_values
from experiments.run_folders.run_folder import RunError

DEEPEST = 50
"""No setting lies so many keys deep."""


def as_tree(typed: Sequence[str]) -> dict[str, Any]:
    """Typed options (`--a.b 1`, `--a.b=1`) as the tree of keys that a file would have.

    Raises:
        RunError: a key has more parts than any configuration.
    """
    tree: dict[str, Any] = {}
    for number, option in enumerate(typed):
        if not option.startswith("--"):
            continue
        key, equals, value = option.removeprefix("--").partition("=")
        following = typed[number + 1] if number + 1 < len(typed) else ""
        *above, last = key.removesuffix("+").split(".")
        if len(above) > DEEPEST:
            raise RunError(
                f"--{key[:40]}... has {len(above) + 1:,} parts, more than any key of an experiment."
            )
        inner = tree
        for name in above:
            if not isinstance(inner.get(name), dict):
                # `--model TinyGiant`, and then one of its arguments.
                inner[name] = {"class_path": inner[name]} if name in inner else {}
            inner = inner[name]
        inner[last] = _value(value if equals else following)
    return tree


def _value(text: str) -> Any:
    try:
        return plain_values(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text  # the parser has its own say on it
