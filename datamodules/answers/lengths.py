"""Reading lengths: with units, as ranges, with a tolerance, in feet and inches, in words."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from datamodules.answers.final_answer import answer_spans, final_answer, without_markup
from datamodules.answers.forms import ExtractedAnswer
from datamodules.answers.grammar import METRES, WORDS, P, one_of
from datamodules.answers.numbers import in_digits, words_in_digits

_METRES = METRES | {"'": 0.3048, '"': 0.0254, "''": 0.0254}
NEARBY = 60
"""How many characters before an amount are looked at for what denies or describes it."""

_DIMENSIONS = {name: rf"\b{one_of(names)}\b" for name, names in WORDS["dimension"].items()}
_IMPERIAL = (0.3048, 0.0254, 0.9144, 1609.344)


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
    text: str = ""

    @property
    def length(self) -> Length:
        return Length(*sorted(end * (self.unit or 1.0) for end in (self.low, self.high)))

    @property
    def middle(self) -> float:
        return self.length.middle


def find_length(text: str, question: str = "") -> ExtractedAnswer[Length] | None:
    """The length that a text ends up with, in metres, and by which form it was read.

    Reads metric units, feet, inches, yards and miles, ranges ("2-3 feet", "2 ± 0.5 m"), feet with inches, a
    metre with centimetres, fractions, exponents and number words ("two and a half feet", "a metre"). A length
    with a unit goes before a number without one, which is taken for metres where it counts nothing else; an
    unknown unit ("2 steps", "2.5 m/s") makes a number unreadable. "About 1 m" and "less than 1 m" are both
    1 m. Of several, the last one of the conclusion counts; of the same one in two units, the metric one.

    Args:
        text: what the model wrote.
        question: what was asked, where it is known: "how tall" is not answered by how wide.
    """
    found = _decided(text, question)
    return ExtractedAnswer(found.value.length, found.form) if found else None


def find_distance(text: str, question: str = "") -> ExtractedAnswer[str] | None:
    """The distance in metres, as a number: the reading of Track 3, whose answers are numbers of metres.

    As `find_length` reads it, the middle of a range standing for it; a number may be negative.
    """
    if negative := re.fullmatch(r"(-\d+(?:\.\d+)?)(?:\s*m(?:eters?)?)?", final_answer(text)):
        return ExtractedAnswer(negative[1], "bare")
    found = _decided(text, question)
    as_written = found and found.value.unit in (None, 1.0) and found.value.text
    return ExtractedAnswer(as_written or f"{found.value.middle:.6g}", found.form) if found else None


def _decided(text: str, question: str) -> ExtractedAnswer[_Amount] | None:
    answer = P["set aside"].sub(" ", P["region name"].sub(" ", without_markup(final_answer(text))))
    digits = in_digits(answer)
    words = P["unit and a half"].sub(r"\1 and \3 \2", P["one unit"].sub(r"1 \1", digits))
    words = P["metres with centimetres"].sub(r"\1 m \2 cm", words_in_digits(words))
    words = P["feet with inches"].sub(r"\1 ft \2 in", words)
    for whole, has_unit in ((words, True), (digits, False)):
        for form, part in answer_spans(whole):
            if picked := _picked(
                [amount for amount in _amounts(part) if bool(amount.unit) == has_unit], part, question
            ):
                return ExtractedAnswer(picked, form)
    return None


def _picked(amounts: list[_Amount], part: str, question: str) -> _Amount | None:
    """The last amount of a sentence, without what it says beside; the metric one of the same in two units."""
    if P["by how much"].search(part):
        return None
    beside = P["said beside"].search(part, amounts[0].end) if amounts else None
    amounts = [amount for amount in amounts if not beside or amount.end <= beside.start()]
    asked = {name for name, named in _DIMENSIONS.items() if re.search(named, question, re.IGNORECASE)}
    said = {amount: _dimension(part, amount) for amount in amounts}
    amounts = [amount for amount, name in said.items() if name is None or len(asked) != 1 or name in asked]
    if not amounts or (len(asked) != 1 and len({*said.values()} - {None, "distance"}) > 1):
        return None
    last = next((amount for amount in amounts[::-1] if not _of_a_thing(part, amount)), amounts[-1])
    same = [amount for amount in amounts if math.isclose(amount.middle, last.middle, rel_tol=0.03)]
    return next((amount for amount in same if amount.unit not in _IMPERIAL), last)


def _of_a_thing(part: str, amount: _Amount) -> bool:
    """Whether an amount only describes a thing: "the 2 m pole"."""
    before = part[max(0, amount.start - NEARBY) : amount.start]
    return bool(P["of a thing"].search(before) and P["thing behind"].match(part, amount.end))


def _dimension(part: str, amount: _Amount) -> str | None:
    """Which dimension an amount is said to be of: "2 m tall", "a height of 2 m"."""
    before = part[max(0, amount.start - NEARBY) : amount.start]
    for name, named in _DIMENSIONS.items():
        if re.match(rf"\s*(?:in\s+)?{named}", part[amount.end :], re.IGNORECASE) or (
            name != "distance" and re.search(rf"{named}(?:\s+(?:of|is)|\s*[:=])?\s*\Z", before, re.IGNORECASE)
        ):
            return name
    return None


def _amounts(text: str) -> list[_Amount]:
    """The amounts of a text in order, those of a range, a tolerance or of feet with inches as one."""
    amounts: list[_Amount] = []
    crossed = 0
    for found in P["amount"].finditer(text):
        name = found["unit"] or found["mark"]
        value = float(found["number"]) * (-1 if found["minus"] else 1)
        unit = _METRES[name.lower()] if name else None
        amount = _Amount(found.start(), found.end(), value, value, unit, found["number"])
        if not math.isfinite(value) or (unit is None and re.match(r"\s*%", text[found.end() :])):
            continue
        before = amounts[-1] if amounts else _Amount(0, crossed, 0, 0, 1.0)
        if (
            (amounts or crossed)
            and P["times"].fullmatch(text[before.end : amount.start])
            and (before.unit or unit)
        ):
            amounts, crossed = amounts[:-1], amount.end
        elif amounts and (joined := _joined(before, amount, text)):
            amounts[-1] = joined
        else:
            amounts.append(amount)
    return [
        amount
        for amount in amounts
        if amount.low >= 0
        and not P["amount denied"].search(text[max(0, amount.start - NEARBY) : amount.start])
        and (amount.unit or _stands_for_metres(text, amount))
    ]


def _stands_for_metres(text: str, amount: _Amount) -> bool:
    """Whether a number without a unit is the whole of what is said, and counts nothing."""
    before = text[max(0, amount.start - NEARBY) : amount.start]
    return bool(P["stands for metres"].search(before) and P["counts nothing"].match(text, amount.end))


def _joined(first: _Amount, second: _Amount, text: str) -> _Amount | None:
    """Two numbers as one: a range, a tolerance, or feet with inches; None where they are two."""
    between, unit = text[first.end : second.start], first.unit or second.unit
    if first.low != first.high:
        return None
    other = second.low * (second.unit or unit or 1.0) / (unit or 1.0)
    if unit and P["tolerance"].fullmatch(between):
        return _Amount(first.start, second.end, first.low - other, first.low + other, unit)
    if second.unit and first.unit and second.unit < first.unit and P["beside"].fullmatch(between):
        return _Amount(first.start, second.end, first.low + other, first.low + other, unit)
    both = P["and"].fullmatch(between) and (
        P["between"].search(text[max(0, first.start - NEARBY) : first.start])
        or (not first.unit and second.unit)
    )
    return (
        _Amount(first.start, second.end, first.low, other, unit)
        if both or P["to"].fullmatch(between)
        else None
    )
