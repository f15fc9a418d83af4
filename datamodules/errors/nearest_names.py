"""The known name that a mistyped one looks like."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks like another one, if one does."""
    spelt = {name: name for name in known}
    spelt |= {name.lower(): name for name in spelt if name.lower() not in spelt}
    for written in (word, word.lower()):
        if close := difflib.get_close_matches(written, list(spelt), n=1, cutoff=0.6):
            return spelt[close[0]]
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question whether the known word that looks like another one was meant, behind a space, or ""."""
    return f" Did you mean {close}?" if (close := nearest(word, known)) else ""
