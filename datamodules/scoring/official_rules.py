"""What the benchmarks' own code makes of an answer, told as it computes, oddities included.

Numbers that stand beside published ones are counted by these rules. Where they go wrong, `ours` says so
beside them; nothing is mended here.
"""

from __future__ import annotations

import re

from datamodules.answers import SIDES
from datamodules.answers.grammar import NUMBER_WORDS
from datamodules.samples import DataError

_DIGITS = re.compile(r"\d+")
_ANSWER_LINE = re.compile(r"Answer\s*:\s*([A-D])\b", re.IGNORECASE)
_ASKED_LINE = re.compile(
    r"(?i:\banswer)\s*:\s*[\"'`*<\[({]*(?:X\b|[A-D]\b(?!\s+[a-z])|(?i:(?:the\s+|your\s+)?(?:option|choice|letter)\b))"
)

OMNI_SPATIAL_FALLBACK = "A"
"""What OmniSpatial's protocol takes an answer for in which it finds none."""


def track3_official(category: str, truth: str, submitted: str) -> bool | None:
    """AI City Challenge Track 3 on one submitted value; None where the value has not the form that is read.

    count: equal after truncation to integers. distance: within 10 % of the truth on both sides. left_right:
    the same side, whatever stands in capitals or has spaces around it. mcq: the same digits, as text ("03" is
    not 3), after number words became digits wherever they stand ("none" is no1).

    Raises:
        DataError: the challenge has no such category.
    """
    try:
        match category:
            case "count":
                return int(float(truth)) == int(float(submitted))
            case "distance":
                return 0.90 * float(truth) <= float(submitted) <= 1.10 * float(truth)
            case "left_right":
                return _side(truth) == SIDES[_side(submitted)]
            case "mcq":
                found = _first_digits(submitted)
                return None if found is None else found == _first_digits(truth)
            case _:
                raise DataError(f"Track 3 has no category {category!r}.")
    except (ValueError, OverflowError, KeyError):
        return None


def omni_spatial_official(text: str) -> str:
    """The letter that OmniSpatial's protocol (`re`) reads: the last `Answer: X`, else "A".

    A small letter is read as it is, and so is never right.
    """
    found = _ANSWER_LINE.findall(text)
    return found[-1] if found else OMNI_SPATIAL_FALLBACK


def asks_for_answer_line(asked: str) -> bool:
    """Whether words ask for a line such as `Answer: X`, the only form that OmniSpatial's protocol reads."""
    return _ASKED_LINE.search(asked) is not None


def _side(text: str) -> str:
    """A side without capitals and spaces around it."""
    bare = text.lower().strip()
    return SIDES.get(bare, bare)


def _first_digits(text: str) -> str | None:
    """The first digits of a text in which number words became digits, one by one and without borders."""
    text = text.lower()
    for word, digit in NUMBER_WORDS.items():
        text = text.replace(word, digit)
    found = _DIGITS.search(text)
    return found[0] if found else None
