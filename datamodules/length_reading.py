"""Reading lengths out of what a model wrote: with units, as ranges, in feet and inches, in words."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from datamodules.conclusions import CUE, NUMBER_WORDS, answer_part, conclusions, sentences

NUMBER = r"(?<![\w.])-?(?:\d+(?:\.\d+)?|\.\d+)"
"""The pattern of a number without a unit, which may be negative."""

REGION = re.compile(r"\[?\bregion\s*(\d+)\b\]?", re.IGNORECASE)
"""A region named by its index, which is neither a length nor a count."""

_METRES_PER_UNIT = {
    "kilomet(?:er|re)s?|km": 1000.0,
    "centimet(?:er|re)s?|cm": 0.01,
    "millimet(?:er|re)s?|mm": 0.001,
    "met(?:er|re)s?|m": 1.0,
    "feet|foot|ft": 0.3048,
    # "2 in the image" are no inches.
    r"inch(?:es)?|in(?!\s+(?:the|this|that|these|an?|all|total|front|each|my|your|its|their)\b)": 0.0254,
    "yards?|yds?": 0.9144,
    "miles?|mi": 1609.344,
}
_METRES_PER_MARK = {"'": 0.3048, '"': 0.0254, "''": 0.0254}
_UNIT = "|".join(f"({names})" for names in _METRES_PER_UNIT)
_AMOUNT = re.compile(
    # A hyphen before a number joins a range; with a space (or nothing) before it, it is a minus.
    r"(?<![\w./])(?<!\s-)(?<!^-)(?P<text>(?:(?P<whole>\d+)\s+)?(?P<above>\d+)/(?P<below>\d+)"
    r"|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d{1,2}(?!\d)|(?:\d+(?:\.\d+)?|\.\d+)(?!\.?\d)"
    rf"|(?:half\s+)?\ban?\b|\b(?:{'|'.join(NUMBER_WORDS)})\b)"
    r"(?P<half>\s+and\s+a\s+half\b)?"
    rf"(?:[\s-]*(?<![^\W\d_])(?:{_UNIT})\b\.?|(?P<mark>''|'|\"))?"
    r"(?P<late_half>\s+and\s+a\s+half\b)?",
    re.IGNORECASE,
)
_FIRST_UNIT = _AMOUNT.groupindex["half"] + 1
_ABOUT = r"\s*(?:(?:about|around|approximately|roughly)\s+)?"
_TO = re.compile(rf"\s*(?:-|~|\bto\b|\bor\b){_ABOUT}", re.IGNORECASE)
_AND = re.compile(rf"\s*\band\b{_ABOUT}", re.IGNORECASE)
_BETWEEN = re.compile(rf"\bbetween{_ABOUT}$", re.IGNORECASE)
_BESIDE = re.compile(r"\s*(?:,|\band\b)?\s*", re.IGNORECASE)


class Length(NamedTuple):
    """A length in metres; both ends are the same where it is no range."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The middle of the range, in metres."""
        return (self.low + self.high) / 2


class _Amount(NamedTuple):
    """A number or range in a text; `unit` in metres, None without one; `text` is the number as written."""

    start: int
    end: int
    low: float
    high: float
    unit: float | None
    text: str

    @property
    def length(self) -> Length:
        metres = self.unit or 1.0
        return Length(min(self.low, self.high) * metres, max(self.low, self.high) * metres)


def read_length(text: str) -> Length | None:
    """The length that a text ends up with, in metres; None where there is none.

    Reads metres, centimetres, millimetres, kilometres, feet, inches, yards and miles, ranges ("2-3 feet",
    "between 2 and 3 m"), feet with inches ("3 feet 4 inches"), fractions ("1 1/2 m") and number words ("two
    and a half feet", "a metre"). A length with a unit goes before a number without one, which is taken for
    metres. "About 1 m" and "less than 1 m" are both 1 m. Of several, the last one of the conclusion counts.
    """
    answer = REGION.sub(" ", answer_part(text))
    cues = list(CUE.finditer(answer))
    concluded = sentences(answer[cues[-1].end() :]) if cues else []
    for with_unit in (True, False):
        for part in [*concluded, *reversed(sentences(answer))]:
            found = [amount for amount in _amounts(part) if bool(amount.unit) == with_unit]
            # Without a unit, a number word may count anything.
            found = [amount for amount in found if with_unit or part[amount.start] in "0123456789."]
            if found:
                return found[-1].length
    return None


def read_distance(text: str) -> str | None:
    """The distance in metres, as a number: the reading of Track 3, whose answers are numbers of metres.

    A number with a unit goes before one without, and the middle of a range stands for it. The last one of the
    conclusion counts.
    """
    parts = conclusions(REGION.sub(" ", text))
    for part in parts:
        if found := [amount for amount in _amounts(part) if amount.unit is not None]:
            last = found[-1]
            as_written = last.unit == 1.0 and last.text
            return as_written or f"{last.length.middle:.6g}"
    for part in parts:
        if numbers := re.findall(NUMBER, part):
            return str(numbers[-1])
    return None


def _amounts(text: str) -> list[_Amount]:
    """The numbers of a text in order, those of a range or of feet with inches as one."""
    amounts: list[_Amount] = []
    for amount in filter(None, map(_amount, _AMOUNT.finditer(text))):
        joined = _joined(amounts[-1], amount, text) if amounts else None
        if joined:
            amounts[-1] = joined
        else:
            amounts.append(amount)
    return amounts


def _amount(found: re.Match[str]) -> _Amount | None:
    """One number, with its unit; None for an article or a number word that counts no length."""
    written = found["text"].lower()
    units = found.groups()[_FIRST_UNIT - 1 : _FIRST_UNIT - 1 + len(_METRES_PER_UNIT)]
    unit = _METRES_PER_MARK.get(found["mark"]) if found["mark"] else None
    for name, metres in zip(units, _METRES_PER_UNIT.values(), strict=True):
        unit = metres if name else unit
    if written.startswith("half") or written in ("a", "an"):
        if unit is None:
            return None
        value = 0.5 if written.startswith("half") else 1.0
    elif found["below"]:
        if not int(found["below"]):
            return None
        value = int(found["whole"] or 0) + int(found["above"]) / int(found["below"])
    else:
        number = NUMBER_WORDS.get(written, written)
        thousands = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number)
        value = float(number.replace(",", "" if thousands else "."))
    half = found["half"] or (unit and found["late_half"])
    value += 0.5 if half else 0.0
    plain_number = re.fullmatch(r"\d+(?:\.\d+)?|\.\d+", written) and not half
    if not math.isfinite(value):
        return None
    return _Amount(found.start(), found.end(), value, value, unit, written if plain_number else "")


def _joined(first: _Amount, second: _Amount, text: str) -> _Amount | None:
    """Two numbers as one: a range, or feet with inches; None where they are two."""
    between = text[first.end : second.start]
    if second.unit and first.unit and second.unit < first.unit and _BESIDE.fullmatch(between):
        value = first.low + second.low * second.unit / first.unit
        return _Amount(first.start, second.end, value, value, first.unit, "")
    is_range = _TO.fullmatch(between) or (_AND.fullmatch(between) and _BETWEEN.search(text[: first.start]))
    if not is_range or first.low != first.high:
        return None
    if first.unit is None or second.unit is None:
        # "2-3 feet" has its unit at the end; "2 m to 3" means metres throughout.
        return _Amount(first.start, second.end, first.low, second.high, first.unit or second.unit, "")
    return _Amount(first.start, second.end, first.low, second.high * second.unit / first.unit, first.unit, "")
