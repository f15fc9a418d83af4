"""Reading an answer out of what a model wrote.

Every function returns None where it finds no answer or several that contradict each other: an unreadable
answer is counted as such and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from datamodules.samples import AnswerType

NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}
"""The number words that the challenge's scorer turns into digits."""

SIDES = {
    **dict.fromkeys(["l", "left", "left side", "left-hand", "left hand"], "left"),
    **dict.fromkeys(["r", "right", "right side", "right-hand", "right hand"], "right"),
}
"""What the challenge's scorer takes for left and right."""

_NUMBER = r"(?<![\w.])-?(?:\d+(?:\.\d+)?|\.\d+)"
_REGION = re.compile(r"\[?\bregion\s*(\d+)\b\]?", re.IGNORECASE)
# A number word, but not the pronoun of "the one on the left".
_NUMBER_WORD = re.compile(rf"(?<!the )\b({'|'.join(NUMBER_WORDS)})\b", re.IGNORECASE)
_COUNT = re.compile(rf"{_NUMBER}|{_NUMBER_WORD.pattern}", re.IGNORECASE)
_CUE = re.compile(r"\banswer\b(?:\s+is\b)?\s*:?|\btherefore\b|\bso\b,", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_METRES_PER_UNIT = {
    re.compile(rf"({_NUMBER})\s*(?:{names})\b", re.IGNORECASE): metres
    for names, metres in {
        "m|met(?:er|re)s?": 1.0,
        "cm|centimet(?:er|re)s?": 0.01,
        "mm|millimet(?:er|re)s?": 0.001,
        "ft|feet|foot": 0.3048,
        "in|inch(?:es)?": 0.0254,
    }.items()
}


def read_side(text: str) -> str | None:
    """The side, "left" or "right"; None when neither or both are named without a conclusion."""
    bare = text.strip().strip(".!,\"'").lower()
    if bare in SIDES:
        return SIDES[bare]
    for part in _conclusions(text):
        named = {side.lower() for side in re.findall(r"\b(left|right)(?:most)?\b", part, re.IGNORECASE)}
        if len(named) == 1:
            return named.pop()
    return None


def read_region(text: str) -> str | None:
    """The index of the region, as digits.

    `[Region 3]` goes before bare numbers, and those before number words. The first one in the conclusion
    (what follows "answer", else the last sentence that names one) counts.
    """
    for pattern in (_REGION, re.compile(r"(?<![\w.])(\d+)(?!\.?\d)"), _NUMBER_WORD):
        for part in _conclusions(text):
            if found := pattern.search(part):
                return NUMBER_WORDS.get(found[1].lower(), found[1])
    return None


def read_count(text: str) -> str | None:
    """The count, as a number: the last one of the conclusion that does not name a region."""
    for part in _conclusions(_REGION.sub(" ", text)):
        if numbers := [found[0].lower() for found in _COUNT.finditer(part)]:
            return NUMBER_WORDS.get(numbers[-1], numbers[-1])
        if re.search(r"\b(?:is|are|see|holds?|contains?|has|have)\s+no\b|\bnone\b", part, re.IGNORECASE):
            return "0"
    return None


def read_distance(text: str) -> str | None:
    """The distance in metres, as a number.

    A number with a unit (metres, centimetres, millimetres, feet, inches) goes before one without. The last
    one of the conclusion counts.
    """
    without_regions = _REGION.sub(" ", text)
    for part in _conclusions(without_regions):
        with_unit = [
            (found.start(), found[1], metres)
            for pattern, metres in _METRES_PER_UNIT.items()
            for found in pattern.finditer(part)
        ]
        if with_unit:
            _, number, metres = max(with_unit)
            return number if metres == 1.0 else f"{float(number) * metres:.6g}"
    for part in _conclusions(without_regions):
        if numbers := re.findall(_NUMBER, part):
            return str(numbers[-1])
    return None


READERS: dict[AnswerType, Callable[[str], str | None]] = {
    AnswerType.SIDE: read_side,
    AnswerType.REGION: read_region,
    AnswerType.COUNT: read_count,
    AnswerType.DISTANCE: read_distance,
}
"""How to read an answer of each form."""


def _conclusions(text: str) -> list[str]:
    """Where to look for an answer, best first: after the last "answer is", then sentences from the end."""
    sentences = [part for part in _SENTENCE_END.split(text.strip()) if part]
    cues = list(_CUE.finditer(text))
    concluded = [text[cues[-1].end() :]] if cues else []
    return concluded + sentences[::-1]
