"""How an answer was read: the forms of an answer, from the surest to the weakest."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")

FORMS = {
    "bare": "the whole answer is the value: `B`, `(B) the chair`, `left`, `2.5 m`",
    "declared": "an answer is announced: `the answer is B`, `I choose (B)`, `Answer: 2.5 m`",
    "opening": "the answer opens with it: `B) the chair`, `Left, because ...`",
    "verdict": "it is called right: `B is correct`, `only B fits`",
    "framed": "it is the only letter in brackets: `a total of (D) 4`",
    "stated": "a sentence states it: `there are three`, `[Region 3] is the closest`, `it is on the left`",
    "compared": "a comparison says it of what the question asks for: `B is closer`",
    "named": "it is the only choice that the answer names",
}
"""Each form, from the surest to the weakest, with what it looks like."""

WEAK = ("framed", "stated", "compared", "named")
"""The forms that a person may read otherwise; a report says how many answers they decided."""


class ExtractedAnswer(NamedTuple, Generic[Value]):
    """What was read, and by which of the `FORMS`."""

    value: Value
    form: str
