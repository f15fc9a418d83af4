"""The words and patterns by which answers are read, from `vocabulary.yaml` and `patterns.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(name).read_text("utf-8"))
    return content


WORDS = _read("vocabulary.yaml")
"""The vocabulary."""

NUMBER_WORDS = {word: str(number) for number, word in enumerate(WORDS["ones"][:11])}
"""The number words that the challenge's scorer turns into digits."""

METRES = {name: float(metres) for metres, names in WORDS["metres"].items() for name in names}
"""The units of length, in metres."""

_LISTS = {
    **WORDS,
    "small ones": WORDS["ones"][1:10],
    "units": METRES,
    "long units": [name for name in METRES if len(name) > 3],
    "count units": [name for name in METRES if name != "in"] + ["degrees"],
    "scale words": [word for scale in WORDS["scales"] for end in scale for word in end],
    "place words": [word for pair in WORDS["places"] for word in pair]
    + [word for scale in WORDS["scales"][:-1] for end in scale for word in end if " " not in word],
}
_WRITTEN = _read("patterns.yaml")
_FLAGS = re.IGNORECASE | re.MULTILINE | re.VERBOSE


def one_of(words: Iterable[str]) -> str:
    """A pattern of any of some words; the longest goes first."""
    escaped = (re.escape(str(word)).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))
    return f"(?:{'|'.join(escaped)})"


def _whole(pattern: str) -> str:
    """A pattern without names in it."""
    return re.sub(
        r"\{([a-z][a-z ]*)\}",
        lambda name: f"(?:{_whole(_WRITTEN[name[1]])}\n)" if name[1] in _WRITTEN else one_of(_LISTS[name[1]]),
        pattern,
    )


P = {name: re.compile(_whole(pattern), _FLAGS) for name, pattern in _WRITTEN.items()}
"""The patterns, by their names."""
