"""Numbers as people write them, brought into plain decimals: words, fractions, thousands, exponents."""

from __future__ import annotations

import re

from datamodules.answers.grammar import WORDS, P

_VALUES = {word: value for value, word in enumerate(WORDS["ones"])} | {"a": 1, "an": 1, "half a": 0.5}
_VALUES |= {word: value for value, word in zip(range(20, 100, 10), WORDS["tens"], strict=True)}
_SIGN = re.compile(rf"(?<!\w)[{WORDS['signs']}](?=[个只张把条]|\W|\Z)")


def in_digits(text: str) -> str:
    """A text whose numbers are plain decimals: "1,200" is 1200, "1 1/2" 1.5, "1.2 x 10^3" 1200."""
    text = P["thousands"].sub(lambda found: found[1] + re.sub(r"\D", "", found[2]), text)
    text = P["power"].sub(
        lambda found: _decimal(float(found[1] or 1) * 10.0 ** int(found[2])), P["comma"].sub(r"\1.\2", text)
    )
    return P["fraction"].sub(_fraction, text)


def words_in_digits(text: str) -> str:
    """A text whose number words are digits as well: "twenty-one", "a dozen", "two and a half"."""
    text = _SIGN.sub(lambda found: f"{WORDS['signs'].index(found[0])} ", text.replace("两", "二"))
    return P["number part"].sub(_part, P["number word"].sub(_value, text))


def _decimal(value: float) -> str:
    return f"{value:.15f}".rstrip("0").rstrip(".")


def _fraction(found: re.Match[str]) -> str:
    below = int(found[3])
    return _decimal(int(found[1] or 0) + int(found[2]) / below) if below else found[0]


def _value(found: re.Match[str]) -> str:
    scales = {"hundreds": 100, "tens": 1, "unit": 1, "small": 1, "dozen": 12}
    total = sum(
        scale * _VALUES[" ".join(found[name].lower().split())]
        for name, scale in scales.items()
        if found[name]
    )
    return str(int(total) + (2 if found["pair"] else 0))


def _part(found: re.Match[str]) -> str:
    """ "1 and 3 quarters of a" as 1.75, where something is halved or added to."""
    if not (found["whole"] or found["count"] or found["of"]):
        return found[0]
    count = int(found["count"]) if (found["count"] or "").isdigit() else 1
    return _decimal(float(found["whole"] or 0) + count / WORDS["parts"][found["part"].lower()])
