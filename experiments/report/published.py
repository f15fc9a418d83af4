"""What others have published, from `published.yaml`: the one place where these values are written down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from experiments.experiment_files.registry import PUBLISHED, read_yaml
from experiments.run_folders.run_folder import RunError

SCORE = "score"
"""What a value is called that is a benchmark's score of all questions."""

LATENCY = "latency"
"""What a value is called that is the mean time of an answer, in seconds."""


@dataclass(frozen=True)
class PublishedValue:
    """One published value.

    Attributes:
        experiment: the experiment that it stands beside; None where there is none here.
        what: "score", "score of TASK", "latency" (seconds an answer takes), or the dotted name of a setting.
        value: the value.
        source: title of the publication, and where it is found.
        table: where in it the value stands.
        run_here: whether the row was ever run here, at its full size.
        here: what the experiment has instead, where its setting is another one.
        why: why it is another one.
        questions: of how many it is, where these are not the whole set.
    """

    experiment: str | None
    what: str
    value: float
    source: str
    table: str
    run_here: bool
    here: float | None = None
    why: str = ""
    questions: int | None = None

    @property
    def is_score(self) -> bool:
        """Whether it is a score, and neither a setting nor a time."""
        return self.what == SCORE or self.what.startswith(f"{SCORE} of ")

    @property
    def is_latency(self) -> bool:
        """Whether it is the mean time of an answer, in seconds."""
        return self.what == LATENCY

    def __str__(self) -> str:
        """The value and where it comes from, in a line."""
        value = f"{self.value:.4f}".removesuffix("00") if self.is_score else f"{self.value:g}"
        if self.is_latency:
            value += " s"
        name = "" if self.what == SCORE else f"{self.what}: "
        ran = "run here" if self.run_here else "never run here"
        return f"{name}{value}, {self.source}, {self.table} ({ran})"


@cache
def published_values() -> tuple[PublishedValue, ...]:
    """All published values; raises `RunError` where the table is not as it should be."""
    return table_of(PUBLISHED)


def table_of(file: Path) -> tuple[PublishedValue, ...]:
    """The published values of a file; raises `RunError` where it is not as it should be."""
    content = read_yaml(file)
    try:
        sources = {
            key: f"{source['title']} ({source['where']})" for key, source in content["sources"].items()
        }
        entries = list(content["values"])
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{file} needs `sources`, each with title and where, and `values` ({error})."
        ) from error
    return tuple(_value(entry, sources, file) for entry in entries)


def published_scores(experiment: str) -> list[PublishedValue]:
    """The scores that stand beside an experiment, that of all questions first."""
    found = [value for value in published_values() if value.experiment == experiment and value.is_score]
    return sorted(found, key=lambda value: value.what != SCORE)


def published_latency(experiment: str) -> PublishedValue | None:
    """The published mean time of an answer of an experiment; None where there is none."""
    known = (value for value in published_values() if value.experiment == experiment and value.is_latency)
    return next(known, None)


def _value(entry: dict[str, Any], sources: dict[str, str], file: Path) -> PublishedValue:
    try:
        return PublishedValue(**{**entry, "source": sources[entry["source"]]})
    except (KeyError, TypeError) as error:
        raise RunError(f"{file} has an entry that cannot be used: {entry!r:.200} ({error}).") from error
