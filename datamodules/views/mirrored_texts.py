"""What a text about an image says of its mirror image, by the words of `mirrored_words.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import yaml

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s'\u2019-]")
"""Words, numbers and punctuation marks; hyphens and apostrophes join as blanks do."""

Phrase = tuple[str, ...]
Fate = Literal["sides", "stays", "refused", "refused without an article"]

_WORDS = yaml.safe_load(Path(__file__).with_name("mirrored_words.yaml").read_text("utf-8"))
_OTHER: dict[str, str] = {**_WORDS["pairs"], **{right: left for left, right in _WORDS["pairs"].items()}}
"""What each word for a side becomes."""


class UnknownDirection(Exception):
    """Nobody has said what becomes of a word in a mirror."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def mirrored_text(text: str) -> str:
    """The text with its sides and extremes flipped, and all else as it is; twice gives the text back.

    Raises:
        UnknownDirection: it has a word about direction of which nobody has said what becomes of it.
    """
    tokens = list(_TOKEN.finditer(text))
    words = tuple(token[0].lower() for token in tokens)
    flipped = dict(_flipped(tokens, words))
    return "".join(
        text[end : token.start()] + flipped.get(index, token[0])
        for index, (end, token) in enumerate(zip([0, *(t.end() for t in tokens)], tokens, strict=False))
    ) + (text[tokens[-1].end() :] if tokens else text)


def _flipped(tokens: list[re.Match[str]], words: Phrase) -> Iterator[tuple[int, str]]:
    """The places of words that become others, and these."""
    place = 0
    while place < len(words):
        length, fate = _fate(words, place)
        if fate == "refused":
            raise UnknownDirection(" ".join(words[place : place + length]))
        if fate == "sides":
            for index in range(place, place + length):
                if words[index] in _OTHER:
                    yield index, _in_case_of(tokens[index][0])
        place += length


def _fate(words: Phrase, place: int) -> tuple[int, Fate]:
    """How many words from a place on belong together, and what becomes of them."""
    behind_article = place > 0 and words[place - 1] == "the"
    for length in range(min(_LONGEST, len(words) - place), 0, -1):
        fate = _FATES.get(words[place : place + length])
        if fate == "refused without an article":
            if behind_article:
                continue
            fate = "refused"
        if fate:
            return length, fate
    unknown = any(part in words[place] for part in _WORDS["parts"])
    return 1, "refused" if unknown else "stays"


def _in_case_of(word: str) -> str:
    """The other side of a word, in small letters, with a capital, or in capitals, as the word is."""
    other = _OTHER[word.lower()]
    for form in (str.lower, str.capitalize, str.upper):
        if form(word) == word:
            return form(other)
    raise UnknownDirection(word)


def _phrases(texts: Iterable[str]) -> list[Phrase]:
    return [tuple(_TOKEN.findall(text)) for text in texts]


def _both(phrases: Iterable[Phrase]) -> list[Phrase]:
    """Phrases, and the same with the other side."""
    return [each for phrase in phrases for each in (phrase, _of_other_side(phrase))]


def _of_other_side(phrase: Phrase) -> Phrase:
    return tuple(_OTHER.get(word, word) for word in phrase)


def _fates() -> dict[Phrase, Fate]:
    """What becomes of each phrase. Phrases of other sides are there as well: a text and its mirror image are
    taken apart in the same way, so that twice gives the text back."""
    fates: dict[Phrase, Fate] = {(word,): "sides" for word in _OTHER}
    stays = _phrases(_WORDS["phrases that stay"])
    fates |= dict.fromkeys(_both(_phrases(_WORDS["phrases of sides"])), "sides")
    without = _both(_phrases(_WORDS["refused without an article"]))
    fates |= dict.fromkeys(without, "refused without an article")
    fates |= dict.fromkeys(_both(_phrases(_WORDS["refused"])), "refused")
    fates |= {_of_other_side(phrase): "refused" for phrase in stays}
    return fates | dict.fromkeys([*stays, *_phrases(_WORDS["stays"])], "stays")


_FATES = _fates()
_LONGEST = max(map(len, _FATES))
