"""How many steps a rationale takes before it gives the answer."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?])\s+")
_LISTING = re.compile(r"I (?:can )?see\b", re.IGNORECASE)


def steps_before_answer(rationale: str) -> int:
    """The number of sentences before the one that gives the answer, which is the last.

    A sentence that lists what is seen ("I see pallets [Region 1] [Region 4] in the buffer region
    [Region 0].") is no step: it belongs to the answer. An answer in one sentence takes 0, and so does none.

    Args:
        rationale: a free-form answer, as in `SpatialSample.rationale`.
    """
    *before, _ = _END.split(rationale.strip())
    return sum(not _LISTING.match(sentence) for sentence in before)
