"""Study files: several experiments over several seeds, in one YAML file (`experiments/studies/`)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.experiment_files.registry import EXPERIMENTS, find_experiment, opening_comment, read_yaml
from experiments.run_folders.run_folder import RUNS, RunError

STUDIES = EXPERIMENTS / "studies"

Scale = Literal["full", "tiny"]
"""The size of every run, as of a single experiment."""

KEYS = ("name", "seeds", "runs", "baseline", "compare", "settings", "latency", "tiny")
RUN_KEYS = ("experiment", "needs", "settings")
TINY_KEYS = ("settings", "runs", "latency")
TINY_RUN_KEYS = ("settings",)
LATENCY_KEYS = ("questions",)

DECIDED_BY_THE_STUDY = ("name", "seed_everything", "starts_from", "tiny", "scale", "resume")
"""What the settings of a study's runs cannot say."""

FOLDER = re.compile(r"\{folder:([^{}]*)\}")
"""Stands in settings for the folder of another run of the same seed."""


class StudyError(RunError):
    """A study's file does not say what can be run."""


@dataclass(frozen=True)
class StudyRun:
    """One line of a study's table: an experiment, run once with each seed.

    Attributes:
        label: what the study calls it.
        experiment: the experiment's name or file.
        needs: labels of the runs that must be done before, with the same seed.
        settings: what is laid over the experiment at the study's scale.
    """

    label: str
    experiment: str
    needs: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A study at one scale.

    Attributes:
        name: its name; with a tiny scale, `-tiny` is added to it in the names of folders.
        question: what its file opens with.
        scale: the size of every run.
        seeds: the seeds of every run.
        runs: the runs by their labels, in the order in which they are run and shown.
        pairs: which runs are compared, as labels (A, B) for the difference B - A.
        allowed: packages whose classes the runs may name, beside those that they always may.
        latency_questions: of how many questions the latency of every run is measured; None for not at all.
    """

    name: str
    question: str
    scale: Scale
    seeds: tuple[int, ...]
    runs: dict[str, StudyRun]
    pairs: tuple[tuple[str, str], ...]
    allowed: tuple[str, ...] = ()
    latency_questions: int | None = None

    @property
    def runs_name(self) -> str:
        """What the names of all its runs begin with."""
        return f"study/{self.name}" + ("-tiny" if self.scale == "tiny" else "")

    @property
    def folder(self) -> Path:
        """Where its runs, their logs and the table lie."""
        return RUNS / self.runs_name


def find_study(name: str) -> Path:
    """The file of a study, given as its name or as a path.

    Raises:
        StudyError: there is none; the message names the nearest ones.
    """
    path = Path(name)
    if path.is_file():
        return path
    short = name.removeprefix("experiments/").removeprefix("studies/").removesuffix(".yaml")
    names = sorted(file.stem for file in STUDIES.glob("*.yaml"))
    if short not in names:
        near = " or ".join(difflib.get_close_matches(short, names, cutoff=0.5))
        hint = f" Did you mean {near}?" if near else f" There are: {', '.join(names)}."
        raise StudyError(f"There is no study {short!r}.{hint}")
    return STUDIES / f"{short}.yaml"


def read_study(path: Path, scale: Scale = "full", allowed: Sequence[str] = ()) -> Study:
    """Read a study's file.

    Args:
        path: the file.
        scale: the size of every run; "tiny" lays the file's `tiny:` part over its settings.
        allowed: packages whose classes the runs may name.

    Raises:
        StudyError: a key is unknown or missing, or a label names no run.
        UnknownExperiment: a run's experiment does not exist.
    """
    content = _mapping(read_yaml(path), KEYS, str(path))
    for key in ("name", "seeds", "runs", "baseline"):
        if key not in content:
            raise StudyError(f"{path} has no `{key}`: add it.")
    tiny = _mapping(content.get("tiny"), TINY_KEYS, f"`tiny` of {path}")
    described = _mapping(content["runs"], None, f"`runs` of {path}")
    _require_names([content["name"], *described], path)
    tiny_runs = _mapping(tiny.get("runs"), tuple(described), f"`tiny.runs` of {path}")
    runs: dict[str, StudyRun] = {}
    for label, description in described.items():
        where = f"The run {label} of {path}"
        own = _mapping(description, RUN_KEYS, where)
        tiny_own = _mapping(tiny_runs.get(label), TINY_RUN_KEYS, f"`tiny.runs.{label}` of {path}")
        overlays = [content.get("settings"), own.get("settings")]
        if scale == "tiny":
            overlays += [tiny.get("settings"), tiny_own.get("settings")]
        runs[label] = _run(label, own, overlays, runs, tuple(described), where)
    return Study(
        name=content["name"],
        question=" ".join(opening_comment(path).split("\n\n")[0].split()),
        scale=scale,
        seeds=_seeds(content["seeds"], path),
        runs=runs,
        pairs=_pairs(content, tuple(runs), path),
        allowed=tuple(allowed),
        latency_questions=_latency_questions(content, tiny if scale == "tiny" else {}, path),
    )


def _latency_questions(content: Mapping[str, Any], tiny: Mapping[str, Any], path: Path) -> int | None:
    """How many questions `latency: {questions: N}` asks of every run; the tiny part's number wins."""
    asked = {
        **_mapping(content.get("latency"), LATENCY_KEYS, f"`latency` of {path}"),
        **_mapping(tiny.get("latency"), LATENCY_KEYS, f"`tiny.latency` of {path}"),
    }
    if not asked and "latency" not in content and "latency" not in tiny:
        return None
    questions = asked.get("questions")
    if type(questions) is not int or questions < 1:
        raise StudyError(
            f"`latency` of {path} has {questions!r} for `questions`: say how many are asked, at least 1 "
            "(a p95 needs 60 or more), such as latency: {questions: 200}."
        )
    return questions


def _run(
    label: str,
    own: Mapping[str, Any],
    overlays: list[Any],
    earlier: Mapping[str, StudyRun],
    labels: Collection[str],
    where: str,
) -> StudyRun:
    if not isinstance(own.get("experiment"), str):
        raise StudyError(f"{where} has no `experiment`: name the experiment that it runs.")
    find_experiment(own["experiment"])
    needs = tuple(_list(own.get("needs"), f"`needs` of {where}"))
    for need in needs:
        _require_label(need, labels, f"`needs` of {where}")
        if need not in earlier:
            raise StudyError(f"{where} needs {need}, which does not stand before it: put {need} first.")
    settings = _merged(overlays, where)
    for named in FOLDER.findall(str(settings)):
        if named not in needs:
            raise StudyError(
                f"{where} has {{folder:{named}}} in its settings, but does not wait for a run of this name: "
                f"add it to its `needs`, which are {list(needs)}."
            )
    return StudyRun(label, own["experiment"], needs, settings)


def _merged(overlays: list[Any], where: str) -> dict[str, Any]:
    """Overlays laid over each other, the later one winning; lists are replaced."""
    for overlay in overlays:
        for key in _mapping(overlay, None, f"`settings` of {where}"):
            if key in DECIDED_BY_THE_STUDY:
                raise StudyError(f"{where} sets `{key}`, which the study decides: take it out of `settings`.")
    try:
        merged = OmegaConf.to_container(OmegaConf.merge(*(overlay or {} for overlay in overlays)))
    except (OmegaConfBaseException, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise StudyError(f"The `settings` of {where} cannot be laid over each other: {reason}.") from error
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}


def _seeds(seeds: Any, path: Path) -> tuple[int, ...]:
    listed = _list(seeds, f"`seeds` of {path}")
    if not listed or not all(type(seed) is int and seed >= 0 for seed in listed):
        raise StudyError(
            f"`seeds` of {path} is {seeds!r}: list whole numbers, at least one, such as [0, 1, 2]."
        )
    if len(set(listed)) < len(listed):
        raise StudyError(f"`seeds` of {path} names a seed twice: {seeds!r}.")
    return tuple(listed)


def _pairs(content: Mapping[str, Any], labels: Collection[str], path: Path) -> tuple[tuple[str, str], ...]:
    """Every run beside the baseline, then the pairs that are asked for."""
    baseline = content["baseline"]
    _require_label(baseline, labels, f"`baseline` of {path}")
    pairs = [(baseline, label) for label in labels if label != baseline]
    for pair in _list(content.get("compare"), f"`compare` of {path}"):
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            raise StudyError(f"`compare` of {path} has {pair!r}: each entry is a pair of labels, [A, B].")
        for label in pair:
            _require_label(label, labels, f"`compare` of {path}")
        pairs.append((pair[0], pair[1]))
    return tuple(dict.fromkeys(pairs))


def _mapping(value: Any, known: Collection[str] | None, where: str) -> dict[str, Any]:
    """A dictionary that has none but known keys; any keys with None; empty where there is nothing."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise StudyError(f"{where} is {value!r}, but must be keys with values.")
    for key in value:
        if known is not None and key not in known:
            raise StudyError(f"{where} has the unknown key {key!r}. {_nearest(str(key), known)}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise StudyError(f"{where} is {value!r}, but must be a list.")
    return value


def _require_label(label: Any, labels: Collection[str], where: str) -> None:
    if label not in labels:
        raise StudyError(
            f"{where} names the run {label!r}, which the study does not have. {_nearest(str(label), labels)}"
        )


def _require_names(names: Collection[Any], path: Path) -> None:
    """Names become folders."""
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
            raise StudyError(
                f"{path} has the name {name!r}, which cannot be a folder's: use letters, digits, _ and -."
            )


def _nearest(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else f"It can be {', '.join(known)}."
