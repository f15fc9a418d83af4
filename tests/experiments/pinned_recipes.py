"""The settings of every recipe, written down a second time: `python -m tests.experiments.pinned_recipes`.

A recipe is changed on purpose: in its own file, and then here by this command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from experiments.experiment_files.registry import EXPERIMENTS

PINNED = Path(__file__).with_suffix(".yaml")
WIDTH = 104


def written_recipes() -> dict[str, Any]:
    """What stands in every file: base.yaml, experiments, studies, sweeps, and what others have published."""
    return {
        file.relative_to(EXPERIMENTS).with_suffix("").as_posix(): yaml.safe_load(file.read_text())
        for file in sorted(EXPERIMENTS.rglob("*.yaml"))
    }


def pinned_recipes() -> dict[str, Any]:
    """What stood there when they were written down."""
    pinned: dict[str, Any] = yaml.safe_load(PINNED.read_text())
    return pinned


def merged(recipes: dict[str, Any], name: str) -> dict[str, Any]:
    """A recipe with what it starts from, as leaves by their dotted names."""
    recipe = recipes[name]
    before = merged(recipes, recipe["starts_from"]) if recipe.get("starts_from") else {}
    own = dict(_leaves(recipe))
    # A value takes the place of all that was below its name, and the other way round.
    kept = {
        key: value
        for key, value in before.items()
        if not any(f"{key}.".startswith(f"{new}.") or f"{new}.".startswith(f"{key}.") for new in own)
    }
    return {**kept, **own}


def _leaves(tree: Any, place: str = "") -> list[tuple[str, Any]]:
    if not isinstance(tree, dict) or not tree:
        return [(place, tree)]
    return [
        leaf
        for key, value in tree.items()
        for leaf in _leaves(value, f"{place}.{key}" if place else str(key))
    ]


def as_text(recipes: dict[str, Any]) -> str:
    """In as few lines as can be read."""
    lines = [
        "# Every recipe's own settings. Written by `python -m tests.experiments.pinned_recipes`, on purpose."
    ]
    for name, recipe in recipes.items():
        flow = yaml.safe_dump(
            recipe, default_flow_style=True, width=WIDTH, sort_keys=False, allow_unicode=True
        )
        lines.append(f"{name}:\n  " + flow.strip().replace("\n", "\n  "))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PINNED.write_text(as_text(written_recipes()))
