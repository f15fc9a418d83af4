"""Which differences between published scores their sets of questions could have shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datamodules.statistics.power import detectable_difference
from experiments.experiment_files.registry import PUBLISHED, read_yaml
from experiments.report.published import SCORE, PublishedValue, table_of
from experiments.run_folders.run_folder import RunError

DISCORDANCES = (0.1, 0.2, 0.3)
"""Shares of questions that tell two systems apart: nobody publishes them. Two trainings of one model are near
the lowest, two different models near the highest."""


@dataclass(frozen=True)
class Comparison:
    """Scores of one source on one set of questions.

    Attributes:
        name: what they are of.
        questions: how many there are.
        values: the scores, the highest first.
    """

    name: str
    questions: int
    values: tuple[PublishedValue, ...]

    @property
    def can_show(self) -> tuple[float, ...]:
        """The smallest difference, in points, that is found four times out of five, for each discordance."""
        return tuple(detectable_difference(self.questions, each) for each in DISCORDANCES)


def comparisons(file: Path = PUBLISHED) -> list[Comparison]:
    """The comparisons that a file of published values lists; raises `RunError` where they cannot be made."""
    content, values = read_yaml(file), table_of(file)
    found = []
    for entry in content.get("comparisons", ()):
        try:
            source = content["sources"][entry["source"]]
            name, questions, table = entry["name"], int(entry["questions"]), entry["table"]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{file} has a comparison that cannot be used: {entry!r:.200} ({error})."
            ) from error
        rows = [
            value
            for value in values
            if value.what == SCORE
            and value.source.startswith(f"{source['title']} (")
            and value.table.startswith(table)
            and value.questions in (None, questions)
        ]
        if len(rows) < 2:
            raise RunError(f"{file} compares {name!r}, but has {len(rows)} scores of it; give two at least.")
        found.append(Comparison(name, questions, tuple(sorted(rows, key=lambda row: -row.value))))
    return found


def as_text(comparison: Comparison) -> str:
    """The ranking, and which steps of it are larger than the set can show."""
    names = [_name(value) for value in comparison.values]
    width = max(map(len, names))
    shares = " / ".join(f"{share:.0%}".replace("%", " %") for share in DISCORDANCES)
    limits = " / ".join(f"{points:.2f}" for points in comparison.can_show)
    lines = [
        f"{comparison.name}: {comparison.questions:,} questions can show {limits} points",
        f"where {shares} of them tell two systems apart",
        "",
        f"{'':{width}}   score  below the one above  below the best",
    ]
    best = comparison.values[0].value
    for place, (name, value) in enumerate(zip(names, comparison.values, strict=True)):
        above = "" if not place else _step(comparison, comparison.values[place - 1].value - value.value)
        first = "" if not place else _step(comparison, best - value.value)
        lines.append(f"{name:{width}}  {value.value:6.2f}  {above:>19}  {first:>14}".rstrip())
    return "\n".join(lines)


NOTE = """\
+ is more than the set can show at that share, - is less: +-- is shown only where two systems differ on
few questions. Questions are taken as independent and systems as paired; those that share a picture show
less, and so do scores that were compared unpaired. A difference below what a set can show may be there,
but its publication is no evidence of it."""


def _step(comparison: Comparison, points: float) -> str:
    signs = "".join("+" if points >= limit else "-" for limit in comparison.can_show)
    return f"{points:.2f} {signs}"


def _name(value: PublishedValue) -> str:
    experiment = value.experiment.rpartition("/")[2] if value.experiment else ""
    return f"{value.table} ({experiment})" if experiment else value.table
