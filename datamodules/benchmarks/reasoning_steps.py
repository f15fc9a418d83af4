"""How many steps of reasoning lead to an answer, told from the free-form answer beside a question."""

from __future__ import annotations

import re

_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)")
_LISTING = re.compile(r"(?:I|we|you) (?:can )?see (?:\w+ )?pallets?\b[^.]*\bin\b", re.IGNORECASE)


def steps_before_answer(rationale: str) -> int:
    """How many sentences stand before the one with the answer, which is the last.

    Sentences that only list what is counted ("I see pallets [Region 1] [Region 4] in the buffer region
    [Region 0].") are none: whoever counts them has answered.

    Args:
        rationale: a free-form answer; "" has no steps.
    """
    sentences = _END_OF_SENTENCE.split(rationale.strip())
    return sum(_LISTING.match(sentence) is None for sentence in sentences[:-1])
