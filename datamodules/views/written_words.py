"""Whether a text speaks of what is written in an image, by the words of `written_words.yaml`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from datamodules.views.mirrored_texts import DIRECTIONS

_LISTS = yaml.safe_load(Path(__file__).with_name("written_words.yaml").read_text("utf-8"))
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s'\u2019-]")
_NUMBERS = frozenset(_LISTS["numbers"])
_NAME = re.compile(r"(?<=[\w,;)>] )[A-Z]\w+(?:['\u2019]\w+)?")
# A capital A in front of a word in small letters is an article.
_LETTER = re.compile(r"(?<![\w'\u2019-])(?!I\b|A\s+(?!and\b|or\b)[a-z<])[A-Z](?![\w\u2019'-])")
_ASKS_FOR_A_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|far|tall|wide|high|old|big|large)|number of|count|what is the)\b",
    re.IGNORECASE,
)

Phrase = tuple[str, ...]


def written_word(text: str) -> str | None:
    """The first words of a text that speak of something written or of a name; None where none do.

    Single capital letters are letters in the image, and a capitalised word inside a sentence is a name.
    """
    words = tuple(_normal(word) for word in _TOKEN.findall(text))
    place = 0
    while place < len(words):
        length, written = _longest(words, place)
        if written:
            return " ".join(words[place : place + length])
        place += length
    letter = _LETTER.search(text)
    return letter[0] if letter else _name(text)


def number_as_name(question: str, choices: Sequence[str]) -> str | None:
    """The first of several choices that are numbers though the question asks for none: they name things."""
    numbers = [choice for choice in choices if _normal(choice.strip()) == "0"]
    return numbers[0] if len(numbers) > 1 and not _ASKS_FOR_A_NUMBER.search(question) else None


def _name(text: str) -> str | None:
    """The first name of a text; sides and what the list knows are none."""
    found = (name[0] for name in _NAME.finditer(text))
    return next((name for name in found if not _is_no_name(name.lower())), None)


def _is_no_name(word: str) -> bool:
    return word in _NO_NAMES or word in _NUMBERS or word in DIRECTIONS


def _longest(words: Phrase, place: int) -> tuple[int, bool]:
    """How many words from a place on belong together, and whether they speak of something written."""
    for length in range(min(_MOST, len(words) - place), 0, -1):
        phrase = words[place : place + length]
        if phrase in _PHRASES:
            return length, _PHRASES[phrase]
    return 1, False


def _normal(word: str) -> str:
    small = word.lower()
    return "0" if small.isdigit() or small in _NUMBERS else small


def _phrases() -> dict[Phrase, bool]:
    lists = (_LISTS["written"], True), (_LISTS["nothing written"], False)
    return {
        tuple(map(_normal, _TOKEN.findall(phrase))): written
        for phrases, written in lists
        for phrase in phrases
    }


_PHRASES = _phrases()
_NO_NAMES = frozenset(_LISTS["no names"])
_MOST = max(map(len, _PHRASES))
