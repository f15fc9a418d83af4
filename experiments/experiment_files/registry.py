"""The experiments there are: their names, their files, and the questions they answer."""

from __future__ import annotations

import difflib
import itertools
from pathlib import Path
from typing import Any

import yaml

from datamodules.files.text_files import read_text
from experiments.experiment_files.class_names import with_whole_paths
from experiments.experiment_files.secrets import refuse_secrets
from experiments.experiment_files.yaml_texts import plain_values
from experiments.program import list_command
from experiments.run_folders.run_folder import RunError

EXPERIMENTS = Path(__file__).parent.parent
BASE = EXPERIMENTS / "base.yaml"
PUBLISHED = EXPERIMENTS / "published.yaml"
"""The table of published values."""
NOT_EXPERIMENTS = ("studies", "sweeps")
"""Folders of YAML files that are not experiments."""


class UnknownExperiment(RunError):
    """No experiment has this name."""


def find_experiment(name: str) -> Path:
    """The file of an experiment, given as its name ("warehouse/moe_both"), as a path, or as a run's folder.

    Raises:
        UnknownExperiment: there is none; the message names the nearest ones.
        RunError: the path is that of another file, which is not read.
    """
    path = Path(name)
    for file in (path, path / "config.yaml"):
        if file.is_file():
            if file.suffix not in (".yaml", ".yml"):
                raise RunError(f"{name} is no experiment file: the name of one ends in .yaml.")
            return file
    short = name.removeprefix("experiments/").removesuffix(".yaml")
    if short in (names := experiment_names()):
        return experiment_file(short)
    ends = {known.rpartition("/")[2]: known for known in names}
    near = difflib.get_close_matches(short, names, n=3, cutoff=0.5)
    near += [ends[end] for end in difflib.get_close_matches(short.rpartition("/")[2], list(ends), n=3)]
    hint = f" Did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    raise UnknownExperiment(f"There is no experiment {short!r}.{hint} `{list_command()}` shows all of them.")


def with_ancestors(path: Path) -> list[Path]:
    """The files an experiment is made of: those it starts from, the oldest first, then its own."""
    family = [path]
    while parent := read_yaml(family[0]).get("starts_from"):
        family.insert(0, find_experiment(str(parent)))
        if family[0] in family[1:]:
            raise RunError(f"{path} starts from itself: {' -> '.join(map(str, family))}.")
    return family


def experiment_names() -> list[str]:
    """Every shipped experiment."""
    files = (
        path.relative_to(EXPERIMENTS) for path in EXPERIMENTS.rglob("*.yaml") if path not in (BASE, PUBLISHED)
    )
    return sorted(file.with_suffix("").as_posix() for file in files if file.parts[0] not in NOT_EXPERIMENTS)


def experiment_file(name: str) -> Path:
    """Where the experiment of this name is written down."""
    return EXPERIMENTS / f"{name}.yaml"


def question_of(name: str) -> str:
    """What an experiment answers: the first paragraph of the comment that its file opens with."""
    return " ".join(opening_comment(experiment_file(name)).split("\n\n")[0].split())


def opening_comment(path: Path) -> str:
    """The comment that a YAML file opens with, without its marks."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), read_text(path).splitlines())
    return "\n".join(line[1:].removeprefix(" ") for line in comment)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a dictionary, with the whole paths of its classes.

    Raises:
        DataError: the file cannot be read as text.
        RunError: it is no YAML, or no mapping, or holds a key or token.
    """
    try:
        content = plain_values(with_whole_paths(read_text(path)))
    except RecursionError as error:
        raise RunError(f"{path} is nested too deeply for any experiment.") from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise RunError(f"{path} is not valid YAML{where}: {said}.") from error
    if not isinstance(content, dict | None):
        kind = "list" if isinstance(content, list) else "text"
        raise RunError(
            f"{path} holds a {kind}, but must hold `name: value` lines, as experiments/base.yaml does."
        )
    refuse_secrets(content, str(path))
    return content or {}
