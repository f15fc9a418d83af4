"""Wordings with slots ("how far is {a} from {b}?"): what a question fills in, and questions written anew."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

_SLOT = re.compile(r"\{(\w+)\}")
_ENDS_OF_LISTS = re.compile(r"<mask(?: \d+)?>(?:,|\.| in view,) ")
_LISTS = yaml.safe_load(Path(__file__).with_name("wordings.yaml").read_text("utf-8"))
_KNOWN_SLOTS: Mapping[str, str] = _LISTS["slots"]

OPENINGS: tuple[str, ...] = tuple(_LISTS["openings"])
"""What may stand before a question and names the point of view or the image."""

PICTURE_OPENINGS: tuple[tuple[str, ...], ...] = tuple(map(tuple, _LISTS["picture openings"]))
"""What may stand before a question about one image, in groups whose members may stand for each other."""

BEHIND_OPENINGS = frozenset(_LISTS["behind openings"])
"""The first words, in small letters, of questions that an opening may be put before."""

GROUPS: Mapping[str, tuple[str, ...]] = {name: tuple(texts) for name, texts in _LISTS["groups"].items()}
"""Wordings of the same question, by the name of what it asks."""


@dataclass(frozen=True)
class Wording:
    """A sentence with slots in braces; the same slot stands for the same words wherever it stands.

    Some slots stand for certain words only (`slots` in `wordings.yaml`), and any other for some words.
    """

    text: str

    def read(self, text: str) -> dict[str, str] | None:
        """What a text has in each slot; None where it is another sentence, or could be read in two ways."""
        shortest, longest = (pattern.fullmatch(text) for pattern in self._patterns)
        if shortest is None or longest is None or shortest.groupdict() != longest.groupdict():
            return None
        return shortest.groupdict()

    def asks(self, text: str, answer: str | None) -> dict[str, str] | None:
        """What a question with an answer, in words, has in each slot; None where it may ask another thing."""
        slots = self.read(text)
        if slots is None or self.text not in _LISTS["open"]:
            return slots
        is_whole = slots["b"].endswith((">", "]", ")")) or (answer or "").lower() in ("left", "right")
        return slots if is_whole else None

    def write(self, slots: Mapping[str, str]) -> str:
        """The sentence with its slots filled."""
        return _SLOT.sub(lambda slot: slots[slot[1]], self.text)

    @cached_property
    def slots(self) -> frozenset[str]:
        """The names of its slots."""
        return frozenset(_SLOT.findall(self.text))

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        return self._pattern("+?"), self._pattern("+")

    def _pattern(self, many: str) -> re.Pattern[str]:
        """The sentence as a pattern whose slots take as little or as much as they can."""
        pieces = _SLOT.split(self.text)
        seen: set[str] = set()
        pattern = ""
        for place, piece in enumerate(pieces):
            if place % 2 == 0:
                pattern += re.escape(piece)
            elif piece in seen:
                pattern += f"(?P={piece})"
            else:
                seen.add(piece)
                pattern += f"(?P<{piece}>{_KNOWN_SLOTS.get(piece, f'[^?]{many}')})"
        return re.compile(pattern, re.DOTALL)


@dataclass(frozen=True)
class Split:
    """A question taken apart: an opening, or the regions that it lists first, and what it asks then.

    `body` begins with a small letter, so that it is the same wherever it stands.
    """

    opening: str
    body: str
    capital: bool

    def with_body(self, body: str) -> str:
        """The question with another body."""
        return self.opening + (body[:1].upper() + body[1:] if self.capital else body)


def splits(question: str) -> Iterator[Split]:
    """Every way in which a question may begin: behind its opening, or else whole and behind its lists."""
    starts = [len(opening) for opening in OPENINGS if question.startswith(opening)] or [0]
    if question.startswith(tuple(_LISTS["before lists"])):
        starts += [end.end() for end in _ENDS_OF_LISTS.finditer(question)]
    for start in starts:
        body = question[start:]
        if body:
            capital = body[0].isupper() and not body.startswith("I ")
            yield Split(question[:start], body[0].lower() + body[1:] if capital else body, capital)
