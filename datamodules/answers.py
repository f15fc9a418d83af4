"""Reading an answer out of what a model wrote: letters, regions, sides, counts, distances and lengths.

Every function returns None where it finds no answer or several that contradict each other: an unreadable
answer is counted as such and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from datamodules.choice_reading import read_choice
from datamodules.conclusions import NUMBER_WORDS, answer_part, conclusions
from datamodules.length_reading import NUMBER, REGION, Length, read_distance, read_length
from datamodules.samples import Answer, AnswerType

__all__ = [
    "NUMBER_WORDS",
    "READERS",
    "SIDES",
    "Length",
    "read_answer",
    "read_choice",
    "read_count",
    "read_distance",
    "read_length",
    "read_region",
    "read_side",
]

SIDES = {
    **dict.fromkeys(["l", "left", "left side", "left-hand", "left hand"], "left"),
    **dict.fromkeys(["r", "right", "right side", "right-hand", "right hand"], "right"),
}
"""What the challenge's scorer takes for left and right."""

# A number word, but not the pronoun of "the one on the left".
_NUMBER_WORD = re.compile(rf"(?<!the )\b({'|'.join(NUMBER_WORDS)})\b", re.IGNORECASE)
_COUNT = re.compile(rf"{NUMBER}|{_NUMBER_WORD.pattern}", re.IGNORECASE)


def read_side(text: str) -> str | None:
    """The side, "left" or "right"; None when neither or both are named without a conclusion."""
    bare = answer_part(text).strip().strip(".!,\"'").lower()
    if bare in SIDES:
        return SIDES[bare]
    for part in conclusions(text):
        named = {side.lower() for side in re.findall(r"\b(left|right)(?:most)?\b", part, re.IGNORECASE)}
        if len(named) == 1:
            return named.pop()
    return None


def read_region(text: str) -> str | None:
    """The index of the region, as digits.

    `[Region 3]` goes before bare numbers, and those before number words. The first one in the conclusion
    (what follows "answer", else the last sentence that names one) counts.
    """
    for pattern in (REGION, re.compile(r"(?<![\w.])(\d+)(?!\.?\d)"), _NUMBER_WORD):
        for part in conclusions(text):
            if found := pattern.search(part):
                return NUMBER_WORDS.get(found[1].lower(), found[1])
    return None


def read_count(text: str) -> str | None:
    """The count, as a number: the last one of the conclusion that does not name a region."""
    for part in conclusions(REGION.sub(" ", text)):
        if numbers := [found[0].lower() for found in _COUNT.finditer(part)]:
            return NUMBER_WORDS.get(numbers[-1], numbers[-1])
        if re.search(r"\b(?:is|are|see|holds?|contains?|has|have)\s+no\b|\bnone\b", part, re.IGNORECASE):
            return "0"
    return None


READERS: dict[AnswerType, Callable[[str], str | None]] = {
    AnswerType.SIDE: read_side,
    AnswerType.REGION: read_region,
    AnswerType.COUNT: read_count,
    AnswerType.DISTANCE: read_distance,
}
"""How to read an answer of each form that needs no more than the text; letters need `read_choice`."""


def read_answer(answer: Answer) -> str | None:
    """The normalised answer; the bare text where the form of the answer is not known."""
    form = answer.sample.answer_type
    if form is AnswerType.LETTER:
        # A view may have turned the question into one with choices.
        return read_choice(answer.raw, answer.sample.letters, answer.sample.choices)
    if form in READERS:
        return READERS[form](answer.raw)
    return answer.raw.strip() or None
