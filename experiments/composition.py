"""From what was typed to what is parsed: experiment names, the tiny size, and resumed runs.

The result is again a command line, so that LightningCLI checks every key and type of it in the usual way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.catalogue import BASE, find_experiment, opening_comment, read_yaml, with_ancestors
from experiments.run_folder import RUNS, RunError, RunFolder


@dataclass
class Composition:
    """A command line ready for LightningCLI.

    Attributes:
        typed: subcommand and options as the user typed them.
        arguments: the same, resolved.
        comment: what the experiment's file says about itself.
        resumed: the run that is continued, if any.
    """

    typed: list[str]
    arguments: list[str]
    comment: str = ""
    resumed: RunFolder | None = None


def compose(typed: Sequence[str], runs: Path = RUNS) -> Composition:
    """Resolve experiment names, put the tiny overlay after the files it overlays, and resume.

    Args:
        typed: subcommand and options as the user typed them.
        runs: the folder of all runs.
    """
    if not typed or typed[0].startswith("-"):
        return Composition(list(typed), list(typed))
    subcommand, *options = typed
    files, options = _take(options, "-c", "--config")
    resume, options = _take(options, "--resume")
    if resume:
        return _continue(list(typed), files, options, resume[-1], runs)
    paths = [path for file in files for path in with_ancestors(find_experiment(file))]
    configs = [argument for path in paths for argument in ("-c", str(path))]
    if "tiny" in _values(options, "--scale"):
        for path in [BASE, *paths]:
            overlay = read_yaml(path).get("tiny")
            if overlay:
                configs += ["-c", yaml.safe_dump(overlay, sort_keys=False)]
    return Composition(list(typed), [subcommand, *configs, *options], comment=_comment(paths))


HOW_IT_IS_ASKED = {"init_args.answering", "init_args.maximum_new_tokens"}
"""Settings of a model that may change after its training: they shape no weight."""


def refuse_other_model(config: dict[str, Any], run: RunFolder) -> None:
    """Raise where a model's settings differ from those its checkpoint was trained with.

    How its answers are obtained may differ.

    Args:
        config: the present configuration, as plain values.
        run: the run that wrote the checkpoint.
    """
    if not run.config.exists():
        return
    now, then = flatten(config["model"]), flatten(read_yaml(run.config)["model"])
    changed = [
        key for key in sorted((now.keys() | then.keys()) - HOW_IT_IS_ASKED) if now.get(key) != then.get(key)
    ]
    if changed:
        key = changed[0]
        raise RunError(
            f"The checkpoint was trained with model.{key} = {then.get(key)!r}, but this command says "
            f"{now.get(key)!r}. Leave the model's settings to the run: -c {run.config}"
        )


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    return {
        name: leaf
        for key, value in tree.items()
        for name, leaf in flatten(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _continue(typed: list[str], files: list[str], options: list[str], run: str, runs: Path) -> Composition:
    """The command line that goes on with a run: its own configuration, and its last checkpoint."""
    _, options = _take(options, "--scale")
    if run == "latest":
        names = [str(read_yaml(find_experiment(file)).get("name", "")) for file in files]
        names += _values(options, "--name")
        if not names or not names[-1]:
            raise RunError("--resume latest needs to know of which experiment: add -c experiments/NAME.yaml.")
        folder = RunFolder.latest_training(runs, names[-1])
    else:
        folder = RunFolder(Path(run))
    if not folder.config.exists():
        raise RunError(f"{folder.path} holds no run to continue: {folder.config.name} is missing.")
    checkpoint = ["--ckpt_path", str(folder.checkpoint)] if folder.checkpoint.exists() else []
    return Composition(
        typed,
        [typed[0], "-c", str(folder.config), *options, *checkpoint],
        comment=folder.read_card().get("comment", ""),
        resumed=folder,
    )


def _comment(paths: list[Path]) -> str:
    """What the last file says about itself; a run's configuration says what its experiment's file said."""
    if not paths:
        return ""
    return RunFolder(paths[-1].parent).read_card().get("comment") or opening_comment(paths[-1])


def _take(options: Sequence[str], *flags: str) -> tuple[list[str], list[str]]:
    """Split options into the values of some flags (`--flag VALUE` or `--flag=VALUE`) and the rest."""
    values: list[str] = []
    rest: list[str] = []
    remaining = iter(options)
    for option in remaining:
        flag, equals, value = option.partition("=")
        if flag not in flags:
            rest.append(option)
        elif equals:
            values.append(value)
        else:
            following = next(remaining, None)
            if following is None:
                raise RunError(f"{flag} needs a value.")
            values.append(following)
    return values, rest


def _values(options: Sequence[str], flag: str) -> list[str]:
    return _take(options, flag)[0]
