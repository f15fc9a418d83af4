"""What the letter of an answer stands for, where it goes if another is right, and texts that name letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from datamodules.samples import LETTERS, AnswerType, SpatialSample


def answer_text(sample: SpatialSample) -> str | None:
    """The answer in words: the choice of its letter; None where it is not known or drawn in the image."""
    if sample.answer is None or sample.answer_type is not AnswerType.LETTER:
        return sample.answer
    return sample.choices[LETTERS.index(sample.answer)] if sample.choices else None


def moved_letter(letter: str, said: Sequence[str], choices: Sequence[str]) -> str:
    """The letter, among `choices`, of the text that `said` has under a letter.

    Both hold the same texts, in different orders. Of texts that occur several times the first stands for the
    first, the second for the second: the way back leads to the same letter.
    """
    place = LETTERS.index(letter)
    text = said[place]
    if choices[place] == text:
        return letter
    places = [index for index, choice in enumerate(choices) if choice == text]
    return LETTERS[places[list(said[: place + 1]).count(text) - 1]]


def names_letters(letters: str, text: str) -> bool:
    """Whether a text names one of some letters of choices."""
    # A capital A in front of a word in small letters is an article, unless the word joins letters.
    letter = re.compile(rf"(?<!\w)(?:(?!A\s+(?!and\b|or\b)[a-z])[{letters}])(?!\w|['\u2019]\w)")
    return letter.search(text) is not None
