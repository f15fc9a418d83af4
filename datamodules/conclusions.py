"""Where in a text its answer stands: in an answer block, behind "the answer is", or in a late sentence."""

from __future__ import annotations

import re
import unicodedata

NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}
"""The number words that the challenge's scorer turns into digits."""

CUE = re.compile(r"\banswer\b(?:\s+is\b)?\s*:?|\btherefore\b|\bso\b,", re.IGNORECASE)
"""What announces a conclusion."""

_PLAIN_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u2032", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        "\u2014": " - ",
        "\u2044": "/",
    }
)
_FRACTION = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_ANSWER_BLOCK = re.compile(r"<answer>\s*(?!<)(.*?)\s*(?:</?answer>|\Z)", re.IGNORECASE | re.DOTALL)
_END_OF_REASONING = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_REASONING = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:answer|think(?:ing)?)>", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def plain_characters(text: str) -> str:
    """A text with plain quotation marks, dashes, fractions, letters and digits: none of the typographer's."""
    return unicodedata.normalize("NFKC", _FRACTION.sub(r" \g<0>", text)).translate(_PLAIN_CHARACTERS)


def answer_part(text: str) -> str:
    """The part of a text that is meant as its answer, without tags and in plain characters.

    That is the last `<answer>` block that holds something (one that is not closed reaches to the end), else
    what follows the last `</think>`, else (where nothing follows) the whole text.
    """
    text = plain_characters(text)
    return stated_answer(text) or _TAG.sub(" ", text).strip()


def stated_answer(text: str) -> str:
    """What a text that may reason first states as its answer, as it is written; "" where it states none.

    That is the last `<answer>` block that holds something (one that is not closed reaches to the end), else
    what follows the last `</think>`, or the whole text where nobody reasons. The last one, because who
    reasons may try an answer, or speak of the tags, before it is given.
    """
    blocks = [block for block in _ANSWER_BLOCK.findall(text) if block]
    if blocks:
        return str(blocks[-1])
    *reasoning, behind = _END_OF_REASONING.split(text)
    return "" if _REASONING.search(behind) and not reasoning else _TAG.sub(" ", behind).strip()


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, in order."""
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


def conclusions(text: str) -> list[str]:
    """Where to look for an answer, best first: after the last "answer is", then sentences from the end."""
    text = answer_part(text)
    cues = list(CUE.finditer(text))
    concluded = [text[cues[-1].end() :]] if cues else []
    return concluded + sentences(text)[::-1]
