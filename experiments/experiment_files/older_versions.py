"""Files of earlier versions, whose keys had other names, are refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.experiment_files.registry import EXPERIMENTS
from experiments.run_folders.run_folder import RunError, RunFolder

RENAMED = {
    "twin": "random_weights",
    "twin_size": "tiny_size",
    "twin_seed": "weights_seed",
    "before_answer": "response_template",
    "adapter.layers": "adapter.target_modules",
}
"""Keys of a model's arguments, and what they are called now."""

PACKAGES = ("datamodules", "lightning_modules", "experiments")


def refuse_older(path: Path, content: dict[str, Any]) -> None:
    """Raise `RunError` where a file has a key that was renamed, or a class of ours that lies elsewhere now.

    Args:
        path: the file.
        content: what it holds.
    """
    for place, value in _leaves(content):
        for old, new in RENAMED.items():
            if place.startswith(("model.", "tiny.model.")) and f".{old}." in f".{place}.":
                raise _older(path, f"`{old}` is called `{new}`")
        # Elsewhere than in a run a class that is not there is a slip of the pen.
        saved = path == RunFolder(path.parent).config
        if saved and place.endswith("class_path") and isinstance(value, str) and _moved(value):
            raise _older(path, f"there is no class {value}")


def _older(path: Path, what: str) -> RunError:
    return RunError(
        f"{path} was written for an earlier version of this project: {what} now. Change it there; a run's "
        "config.yaml goes on with the version that wrote it alone, whose commit stands in its run.json."
    )


def _moved(class_path: str) -> bool:
    """Whether a class path names a module of this project that does not exist."""
    module = class_path.rpartition(".")[0]
    place = EXPERIMENTS.parent.joinpath(*module.split("."))
    return module.startswith(tuple(f"{package}." for package in PACKAGES)) and not (
        place.with_suffix(".py").is_file() or place.is_dir()
    )


def _leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{place}.{key}" if place else str(key))
    elif isinstance(tree, list):
        for value in tree:
            yield from _leaves(value, place)
    else:
        yield place, tree
