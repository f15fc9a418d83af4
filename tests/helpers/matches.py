"""Matches of regular expressions that there have to be."""

from __future__ import annotations

import re


def first_match(pattern: str, text: str) -> re.Match[str]:
    """The first place in a text that fits."""
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is nowhere in {text!r}"
    return found


def whole_match(pattern: str | re.Pattern[str], text: str) -> re.Match[str]:
    """A text that fits as a whole."""
    found = re.fullmatch(pattern, text)
    assert found, f"{text!r} is not {pattern!r}"
    return found
