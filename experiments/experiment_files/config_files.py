"""From what was typed to what is parsed: experiment names, the tiny size, and resumed runs.

The result is again a command line, so that LightningCLI checks every key and type of it in the usual way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from datamodules.files.text_files import read_text
from experiments.experiment_files.allowed_classes import ALLOW, allowing, require_packages
from experiments.experiment_files.class_names import typed_in_full, with_whole_paths
from experiments.experiment_files.older_versions import refuse_older
from experiments.experiment_files.registry import (
    BASE,
    find_experiment,
    opening_comment,
    read_yaml,
    with_ancestors,
)
from experiments.experiment_files.secrets import refuse_secrets
from experiments.experiment_files.tiny_overlay import tiny_overlays
from experiments.experiment_files.typed_options import as_tree
from experiments.run_folders.find_run import find_run, runs_in
from experiments.run_folders.run_folder import RUNS, RunError, RunFolder, relative

_DEEP = re.compile(r"(?P<above>--(?:model|data)\.(?:init_args\.)?(?!init_args\.)\w+(?:\.\w+)*)\.(?P<key>\w+)")
"""An option for an argument of an argument of the model or of the data, as in `--model.network.width`."""


@dataclass
class ConfigFiles:
    """A command line ready for LightningCLI.

    Attributes:
        typed: subcommand and options as the user typed them.
        arguments: the same, resolved.
        comment: what the experiment's file says about itself.
        resumed: the run that is continued, if any.
        source: the run whose configuration this is, if it is one's.
        files: what is merged, the later one winning: where each stands, and what it holds.
        allowed: packages whose classes may be named, beside those that always may.
    """

    typed: list[str]
    arguments: list[str]
    comment: str = ""
    resumed: RunFolder | None = None
    source: RunFolder | None = None
    files: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    @property
    def allowing(self) -> str:
        """What to type behind another command about the same run, so that it may name the same classes."""
        return "".join(f" {word}" for word in allowing(self.allowed))


def compose(typed: Sequence[str], runs: Path = RUNS) -> ConfigFiles:
    """Resolve experiment names, put the tiny overlay after the files it overlays, and resume.

    Args:
        typed: subcommand and options as the user typed them.
        runs: the folder of all runs.
    """
    if not typed or typed[0].startswith("-"):
        return ConfigFiles(list(typed), list(typed))
    subcommand, *options = typed
    allowed, options = _take(options, ALLOW)
    require_packages(allowed)
    refuse_secrets(as_tree(options), "the command line")
    composed = _composed([subcommand, *options], runs)
    composed.typed, composed.allowed = list(typed), tuple(allowed)
    return composed


def _composed(typed: list[str], runs: Path) -> ConfigFiles:
    subcommand, *options = typed
    options = typed_in_full(_with_nulls(options))
    files, options = _take(options, "-c", "--config")
    resume, options = _take(options, "--resume")
    if resume:
        return _continue(typed, files, options, resume[-1], runs)
    paths = [path for file in files for path in with_ancestors(find_experiment(file))]
    contents = {path: _read(path) for path in [BASE, *paths]}
    merged = [(str(relative(path)), content) for path, content in contents.items()]
    configs = [argument for path in paths for argument in ("-c", _in_full(path))]
    if "tiny" in _values(options, "--scale"):
        for overlay in tiny_overlays(list(contents.values())):
            configs += ["-c", yaml.safe_dump(overlay, sort_keys=False)]
            merged.append(("tiny", overlay))
    options += layers_of_another_method(options, [contents[path] for path in paths])
    return ConfigFiles(
        typed,
        [subcommand, *configs, *options],
        comment=_comment(paths),
        source=_source(paths),
        files=merged,
    )


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    refuse_older(path, content)
    if not isinstance(tiny := content.get("tiny"), dict | None):
        raise RunError(f"`tiny` of {path} is {tiny!r:.60}, but must be keys with values, or null.")
    if "allow" in content:
        raise RunError(
            f"{path} has the key `allow`, but no file can allow itself anything: type {ALLOW} PACKAGE."
        )
    return content


def _in_full(path: Path) -> str:
    """What the parser is given: the file, or its text where that has short names of classes."""
    text = read_text(path)
    in_full = with_whole_paths(text)
    return str(path) if in_full == text else in_full


ADAPTER = ("--model.init_args.adapter", "--model.adapter")
"""How an adapter's settings are typed, of which the second way is short for the first."""

HOW_IT_IS_ASKED = ("answering", "maximum_new_tokens", "maximum_tokens", "image_tokens")
"""Settings of a model that shape no weight, but what is asked and answered; by the name of an argument."""

HOW_IT_COMPUTES = ("attention", "activation_checkpointing")
"""Settings of a model that change neither."""

HOW_IT_WAS_TAUGHT = (
    "prompt",
    *("optimizer", "schedule", "decay", "balance_weight", "z_weight", "value_weight"),
    *("teacher", "logits", "layer_map", "logit_weight", "attention_weight", "on_policy"),
)
"""Settings of a model that matter while it is trained; afterwards it may be taught or asked otherwise."""

PHASES = "init_args.phases"


def refuse_other_model(config: dict[str, Any], run: RunFolder, training: bool) -> None:
    """Raise where a model's settings differ from those its checkpoint was trained with.

    How its answers are obtained may differ, and how long it is trained; where it is only asked, also how it
    was taught.

    Args:
        config: the present configuration, as plain values.
        run: the run that wrote the checkpoint.
        training: whether the model is about to be trained further.
    """
    if not run.config.exists():
        return
    now, then = flatten(config["model"]), flatten(read_yaml(run.config)["model"])
    free = HOW_IT_IS_ASKED + HOW_IT_COMPUTES + (() if training else HOW_IT_WAS_TAUGHT)
    changed = [
        key
        for key in sorted(now.keys() | then.keys())
        if now.get(key) != then.get(key) and _argument(key) not in free
    ]
    if training and PHASES in changed and _goes_on(then.get(PHASES), now.get(PHASES)):
        changed.remove(PHASES)
    if changed:
        key = changed[0]
        raise RunError(
            f"The checkpoint was trained with model.{key} = {then.get(key)!r}, but this command says "
            f"{now.get(key)!r}. Leave the model's settings to the run: -c {run.config}"
        )


def layers_of_another_method(options: Sequence[str], files: Sequence[Any]) -> list[str]:
    """The option that forgets the files' layers, where another method of adapting is typed than theirs.

    Which layers get adapters belongs to the method: IA3 on LoRA's layers is nobody's recipe.

    Args:
        options: what was typed behind the subcommand.
        files: the contents of the experiment's files, the oldest first.
    """
    typed = _take(options, *(f"{adapter}.method" for adapter in ADAPTER))[0]
    layers = _take(
        options, *(f"{adapter}.{key}" for adapter in ADAPTER for key in ("target_modules", "target_modules+"))
    )[0]
    if not typed or layers:
        return []
    methods = [
        adapter["method"]
        for content in files
        if isinstance(adapter := (_arguments_of_model(content)).get("adapter"), dict) and "method" in adapter
    ]
    return [] if methods and typed[-1] == methods[-1] else [f"{ADAPTER[0]}.target_modules=null"]


def _arguments_of_model(content: Any) -> dict[str, Any]:
    model = content.get("model") if isinstance(content, dict) else None
    arguments = model.get("init_args") if isinstance(model, dict) else None
    return arguments if isinstance(arguments, dict) else {}


def _argument(key: str) -> str:
    """The argument of the model that a key such as `init_args.optimizer.init_args.lr` belongs to."""
    return key.removeprefix("init_args.").partition(".")[0]


def _goes_on(then: Any, now: Any) -> bool:
    """Whether phases only add to others at the end: what was done before stays as it was."""
    if not isinstance(then, list) or not isinstance(now, list) or not 0 < len(then) <= len(now):
        return False
    last = {**then[-1], "epochs": 0} == {**now[len(then) - 1], "epochs": 0}
    longer = now[len(then) - 1]["epochs"] >= then[-1]["epochs"]
    return then[:-1] == now[: len(then) - 1] and last and longer


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    return {
        name: leaf
        for key, value in tree.items()
        for name, leaf in flatten(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _with_nulls(options: Sequence[str]) -> list[str]:
    """Options whose value is empty, as the parser takes them.

    A sweep of wandb writes an empty value as `None`. And the parser takes the empty value of an argument of
    an argument (`--model.network.depth_backbone=null`) for a text, but not where it stands in braces.
    """
    joined: list[str] = []
    for option in options:
        if option in ("null", "None") and joined and _DEEP.fullmatch(joined[-1]):
            option = f"{joined.pop()}={option}"
        flag, equals, value = option.partition("=")
        if equals and flag.startswith("--") and value in ("null", "None"):
            deep = _DEEP.fullmatch(flag)
            option = f"{deep['above']}={{{deep['key']}: null}}" if deep else f"{flag}=null"
        joined.append(option)
    return joined


def _continue(typed: list[str], files: list[str], options: list[str], run: str, runs: Path) -> ConfigFiles:
    """The command line that goes on with a run: its own configuration, and its last checkpoint."""
    _, options = _take(options, "--scale")
    if run == "latest":
        names = [str(read_yaml(find_experiment(file)).get("name", "")) for file in files]
        names += _values(options, "--name")
        if not names or not names[-1]:
            raise RunError("--resume latest needs to know of which experiment: add -c experiments/NAME.yaml.")
        try:
            folder = find_run(names[-1], "trained", runs=runs)
        except RunError as error:
            raise RunError(f"{error} There is nothing to go on with: start it without RESUME.") from error
    else:
        # A pointer such as `latest` would soon point elsewhere, or to itself.
        try:
            folder = RunFolder(relative(Path(run).resolve()))
        except ValueError as error:
            raise RunError(f"{run!r:.80} is no name that a run's folder can have.") from error
        if not folder.config.exists() and runs_in(folder.path):
            folder = find_run(str(folder.path), "trained", runs=runs)
    if not folder.config.exists():
        raise RunError(f"{folder.path} holds no run to continue: {folder.config.name} is missing.")
    content = _read(folder.config)
    checkpoint = []
    if folder.checkpoint.exists():
        # Loaded late: it needs torch.
        from experiments.run_folders.whole_checkpoints import restore_whole

        if said := restore_whole(folder):
            print(said, file=sys.stderr)
        checkpoint = ["--ckpt_path", str(folder.checkpoint)]
    return ConfigFiles(
        typed,
        [typed[0], "-c", str(folder.config), *options, *checkpoint],
        comment=folder.read_card().get("comment", ""),
        resumed=folder,
        files=[(str(folder.config), content)],
    )


def _comment(paths: list[Path]) -> str:
    """What the last file says about itself; a run's configuration says what its experiment's file said."""
    if not paths:
        return ""
    source = _source(paths)
    return (source and source.read_card().get("comment")) or opening_comment(paths[-1])


def _source(paths: list[Path]) -> RunFolder | None:
    """The run that the last file is the configuration of."""
    run = RunFolder(paths[-1].parent) if paths else None
    return run if run and run.config.name == paths[-1].name and run.card.is_file() else None


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
