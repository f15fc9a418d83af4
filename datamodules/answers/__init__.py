"""Reading an answer out of what a model wrote: letters, regions, sides, counts, distances and lengths.

Every reader returns None where it finds no answer or several that contradict each other: an unreadable answer
is counted as such and never guessed. `find_...` says beside the answer by which form it was read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from datamodules.answers.choices import find_choice
from datamodules.answers.counts import SIDES, find_count, find_region, find_side
from datamodules.answers.forms import FORMS, WEAK, ExtractedAnswer
from datamodules.answers.grammar import NUMBER_WORDS
from datamodules.answers.lengths import Length, find_distance, find_length
from datamodules.samples import Answer, AnswerType

__all__ = [
    "FINDERS",
    "FORMS",
    "NUMBER_WORDS",
    "SIDES",
    "WEAK",
    "Length",
    "Reading",
    "find_answer",
    "find_choice",
    "find_count",
    "find_distance",
    "find_length",
    "find_region",
    "find_side",
    "read_answer",
    "read_choice",
    "read_count",
    "read_distance",
    "read_length",
    "read_region",
    "read_side",
]

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

FINDERS: dict[AnswerType, Callable[[str, str], ExtractedAnswer[str] | None]] = {
    AnswerType.SIDE: find_side,
    AnswerType.REGION: find_region,
    AnswerType.COUNT: find_count,
    AnswerType.DISTANCE: find_distance,
}
"""How to read an answer of each form that needs no more than text and question; letters: `find_choice`."""


def find_answer(answer: Answer) -> ExtractedAnswer[str] | None:
    """The normalised answer and how it was read; the bare text where the form of the answer is not known."""
    sample = answer.sample
    if sample.answer_type is AnswerType.LETTER:
        # A view may have turned the question into one with choices.
        return find_choice(answer.raw, sample.letters, sample.choices, sample.question)
    if sample.answer_type in FINDERS:
        return FINDERS[sample.answer_type](answer.raw, sample.question)
    return ExtractedAnswer(text, "bare") if (text := answer.raw.strip()) else None


def value_of(find: Callable[Arguments, ExtractedAnswer[Value] | None]) -> Callable[Arguments, Value | None]:
    """A reader that gives the value alone, None where the answer is unreadable."""

    @functools.wraps(find)
    def read(*args: Arguments.args, **options: Arguments.kwargs) -> Value | None:
        found = find(*args, **options)
        return found.value if found else None

    return read


read_answer = value_of(find_answer)
read_choice = value_of(find_choice)
read_count = value_of(find_count)
read_distance = value_of(find_distance)
read_length = value_of(find_length)
read_region = value_of(find_region)
read_side = value_of(find_side)
