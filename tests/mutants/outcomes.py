"""What has become of the mutants, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tests.mutants.kept_list import BY_HAND, Mutant

Status = Literal["caught", "uncaught", "broken"]


@dataclass(frozen=True)
class Outcome:
    """What the tests said of a mutant.

    Attributes:
        mutant: the fault.
        status: `broken` where the tests could not say anything.
        told_by: the test that failed first, or how else it was noticed; empty where it was not.
        seconds: how long the tests took.
    """

    mutant: Mutant
    status: Status
    told_by: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.mutant.name,
            "package": self.mutant.package,
            "place": self.mutant.place,
            "proposed_by": self.mutant.proposed_by,
            "status": self.status,
            "told_by": self.told_by,
            "seconds": round(self.seconds, 1),
        }


def as_markdown(outcomes: list[Outcome], seconds: float) -> str:
    """Planted and caught by package; then what no test has noticed."""
    lines = ["| package | planted | caught | uncaught |", "|---|---|---|---|"]
    for package in sorted({outcome.mutant.package for outcome in outcomes}):
        lines.append(_row(package, [o for o in outcomes if o.mutant.package == package]))
    lines.append(_row("all", outcomes))
    by_hand = sum(outcome.mutant.proposed_by == BY_HAND for outcome in outcomes)
    lines += [
        "",
        f"{by_hand} were thought of by hand, {len(outcomes) - by_hand} proposed by a library; "
        f"{seconds / 60:.1f} minutes.",
    ]
    if missed := [outcome for outcome in outcomes if outcome.status != "caught"]:
        lines += ["", "| not caught | where | what it breaks | why no test tells |", "|---|---|---|---|"]
        for outcome in missed:
            mutant = outcome.mutant
            why = mutant.excused or ("" if outcome.status == "uncaught" else outcome.told_by)
            cells = (mutant.name, f"`{mutant.place}`", mutant.breaks, why)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _row(package: str, outcomes: Iterable[Outcome]) -> str:
    statuses = [outcome.status for outcome in outcomes]
    caught = statuses.count("caught")
    return f"| {package} | {len(statuses)} | {caught} | {len(statuses) - caught} |"
