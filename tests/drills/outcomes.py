"""What has come of the drills, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.drills.drill import Drill

Status = Literal["passes", "fails", "not done"]


@dataclass(frozen=True)
class Outcome:
    """What came of a drill.

    Attributes:
        drill: the drill.
        status: `not done` where this machine does not let it happen.
        why: what went wrong, in a sentence.
        seconds: how long it took.
    """

    drill: Drill
    status: Status
    why: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.drill.name,
            "status": self.status,
            "why": self.why,
            "seconds": round(self.seconds, 1),
        }


def as_markdown(outcomes: Sequence[Outcome], seconds: float) -> str:
    """A line a drill."""
    lines = ["| drill | done by | what must come of it | state |", "|---|---|---|---|"]
    for outcome in outcomes:
        drill = outcome.drill
        state = outcome.status + (f": {outcome.why}" if outcome.why else "")
        cells = (drill.name, drill.done_by, drill.expected, state)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    passed = sum(outcome.status == "passes" for outcome in outcomes)
    return "\n".join([*lines, "", f"{passed} of {len(outcomes)} pass; {seconds / 60:.1f} minutes.", ""])
