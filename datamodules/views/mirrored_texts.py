"""What a text about an image says of its mirror image, by the words of `mirrored_words.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import yaml

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s'\u2019-]")
"""Words, numbers and punctuation marks; hyphens and apostrophes join as blanks do."""

_COUNTS_FROM_A_SIDE = re.compile(r"[\[(]\s*\d+(?:\.\d+)?\s*,\s*\d|(?<![\w.)\]])[+\u2212-]\d")
"""Coordinates in brackets, and numbers with a sign: turns to one side or the other."""

Phrase = tuple[str, ...]
Fate = Literal["sides", "turns", "o'clock", "stays", "refused", "refused without an article"]

_WORDS = yaml.safe_load(Path(__file__).with_name("mirrored_words.yaml").read_text("utf-8"))
_OTHER: dict[str, str] = {**_WORDS["pairs"], **{right: left for left, right in _WORDS["pairs"].items()}}
"""What each word for a side becomes."""

_WITH_THE_CLOCK = "clockwise"
_AGAINST_THE_CLOCK: tuple[str, ...] = tuple(_WORDS["against the clock"])
DIRECTIONS = frozenset({*_OTHER, _WITH_THE_CLOCK, *_AGAINST_THE_CLOCK})
"""All words that become others in a mirror, in small letters."""

_HOURS = 12
_BEFORE_AN_HOUR = 3


class UnknownDirection(Exception):
    """Nobody has said what becomes of a word in a mirror."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def mirrored_text(text: str, against_the_clock: str | None = None) -> str:
    """The text with its sides, extremes and turns flipped, and all else as it is; twice gives the text back.

    Args:
        text: any text about an image.
        against_the_clock: what "clockwise" becomes, see `word_against_the_clock`; by default the text tells.

    Raises:
        UnknownDirection: it has a word about direction of which nobody has said what becomes of it.
    """
    if found := _COUNTS_FROM_A_SIDE.search(text):
        raise UnknownDirection(found[0])
    against = against_the_clock or word_against_the_clock([text])
    tokens = list(_TOKEN.finditer(text))
    words = tuple(token[0].lower() for token in tokens)
    flipped = dict(_flipped(tokens, words, against))
    return "".join(
        text[end : token.start()] + flipped.get(index, token[0])
        for index, (end, token) in enumerate(zip([0, *(t.end() for t in tokens)], tokens, strict=False))
    ) + (text[tokens[-1].end() :] if tokens else text)


def word_against_the_clock(texts: Iterable[str]) -> str:
    """The word that "clockwise" becomes in some texts that belong together, and that becomes it.

    Two words mean the same, so that one of them could not be had back from "clockwise" alone: of these two,
    the rarer one is known only where "clockwise" stands beside it, since both are there again in the mirror.

    Raises:
        UnknownDirection: the texts have both words, or the rarer one without "clockwise".
    """
    words = {word for text in texts for word in _TOKEN.findall(text.lower())}
    usual, *others = _AGAINST_THE_CLOCK
    found = [word for word in _AGAINST_THE_CLOCK if word in words]
    if len(found) > 1 or (found and found[0] in others and _WITH_THE_CLOCK not in words):
        raise UnknownDirection(found[-1])
    return found[0] if found else usual


def _flipped(tokens: list[re.Match[str]], words: Phrase, against: str) -> Iterator[tuple[int, str]]:
    """The places of words that become others, and these."""
    other = _OTHER | {_WITH_THE_CLOCK: against, against: _WITH_THE_CLOCK}
    place = 0
    while place < len(words):
        length, fate = _fate(words, place)
        if fate == "refused":
            raise UnknownDirection(" ".join(words[place : place + length]))
        if fate == "o'clock":
            yield place - 1, _mirrored_hour(words, place)
        if fate in ("sides", "turns"):
            for index in range(place, place + length):
                if words[index] in other:
                    yield index, _in_case_of(tokens[index][0], other)
        place += length


def _mirrored_hour(words: Phrase, place: int) -> str:
    """The hour before "o'clock" in a mirror; of "2 or 3 o'clock" and of times of the day nobody knows it."""
    hour = words[place - 1] if place else ""
    before = words[max(0, place - 1 - _BEFORE_AN_HOUR) : max(0, place - 1)]
    if hour not in map(str, range(1, _HOURS + 1)) or any(word.isdigit() for word in before):
        raise UnknownDirection("o clock")
    return str((_HOURS - int(hour)) or _HOURS)


def _fate(words: Phrase, place: int) -> tuple[int, Fate]:
    """How many words from a place on belong together, and what becomes of them."""
    behind_article = place > 0 and words[place - 1] in _BEFORE_A_SIDE
    if place == 0 and words in _WHOLE_TEXTS:
        return len(words), "sides"
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


def _in_case_of(word: str, others: Mapping[str, str]) -> str:
    """The other of a word, in small letters, with a capital, or in capitals, as the word is."""
    other = others[word.lower()]
    for form in (str.lower, str.capitalize, str.upper):
        if form(word) == word:
            return form(other)
    raise UnknownDirection(word)


def _phrases(texts: Iterable[str]) -> list[Phrase]:
    return [tuple(_TOKEN.findall(text)) for text in texts]


def _both(phrases: Iterable[Phrase]) -> list[Phrase]:
    """Phrases, and the same with the other side, or with every way to say that something turns."""
    turns = (_WITH_THE_CLOCK, *_AGAINST_THE_CLOCK)
    return [
        tuple(turn if word in turns else word for word in each)
        for phrase in phrases
        for each in (phrase, _of_other_side(phrase))
        for turn in turns
    ]


def _of_other_side(phrase: Phrase) -> Phrase:
    return tuple(_OTHER.get(word, word) for word in phrase)


def _fates() -> dict[Phrase, Fate]:
    """What becomes of each phrase. Phrases of other sides are there as well: a text and its mirror image are
    taken apart in the same way, so that twice gives the text back."""
    fates: dict[Phrase, Fate] = {(word,): "sides" for word in _OTHER}
    fates |= dict.fromkeys([(_WITH_THE_CLOCK,), *((word,) for word in _AGAINST_THE_CLOCK)], "turns")
    fates["o", "clock"] = "o'clock"
    stays = _phrases(_WORDS["phrases that stay"])
    fates |= dict.fromkeys(_both(_phrases(_WORDS["phrases of sides"])), "sides")
    without = _both(_phrases(_WORDS["refused without an article"]))
    fates |= dict.fromkeys(without, "refused without an article")
    fates |= dict.fromkeys(_both(_phrases(_WORDS["refused"])), "refused")
    fates |= {_of_other_side(phrase): "refused" for phrase in stays}
    return fates | dict.fromkeys([*stays, *_phrases(_WORDS["stays"])], "stays")


_FATES = _fates()
_WHOLE_TEXTS = frozenset(_both(_phrases(_WORDS["whole texts of sides"])))
_BEFORE_A_SIDE = frozenset(_WORDS["before a side"])
_LONGEST = max(map(len, _FATES))
