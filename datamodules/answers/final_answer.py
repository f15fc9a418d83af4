"""What of a model's output is meant as its answer: without reasoning, turns, tags and end tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from datamodules.answers.grammar import P

_PLAIN_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb\u300c\u300d\u300e\u300f", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u2192\u21d2\u27f9\u2794", ">"),
        **{"\u2014": " - ", "\u2044": "/", "\u3002": ". ", "\u3001": ", ", "\u3010": "[", "\u3011": "]"},
    }
)
_FRACTION = re.compile("[\u2150-\u215e\u00bc-\u00be]")
# Thai, Japanese, Chinese and Korean put no blank before a letter or a digit.
_SIGN = "[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
_SCRIPTS = re.compile(rf"(?<=[A-Za-z0-9])(?={_SIGN})|(?<={_SIGN})(?=[A-Za-z0-9])")

LONGEST = 6000
"""How many characters are read, from the end: a model that writes more repeats itself."""


def plain_characters(text: str) -> str:
    """A text with plain quotation marks, dashes, fractions, letters and digits: none of the typographer's."""
    text = unicodedata.normalize("NFKC", _FRACTION.sub(r" \g<0>", text)).translate(_PLAIN_CHARACTERS)
    return (
        text if text.isascii() else _SCRIPTS.sub(" ", "".join(str(unicodedata.decimal(c, c)) for c in text))
    )


def without_markup(text: str) -> str:
    """A text without the marks of Markdown, HTML and LaTeX."""
    return P["markup"].sub("", text).strip()


def final_answer(text: str) -> str:
    """The part of a text that is meant as its answer, in plain characters; "" where the reasoning is cut off.

    That is, from the outside in: the final channel and the first turn of a model that writes such; what
    follows the last end of reasoning (where nothing does, the reasoning); the last block that is tagged as
    the answer and holds something; the last box. A unit behind a block belongs to it.
    """
    text = _stated(plain_characters(text), unless_answered=True)[-LONGEST:]
    boxes = [box for box in P["box"].finditer(text) if box[1].strip()]
    return _with_unit(boxes[-1], text) if boxes else text.strip()


def stated_answer(text: str) -> str:
    """What a text that may reason first states as its answer, as it is written; "" where it states none.

    The last block that is tagged as the answer counts, because who reasons may try an answer, or speak of
    the tags, before it is given. Unclosed blocks reach to the end.
    """
    return _stated(text, unless_answered=False)


def _stated(text: str, unless_answered: bool) -> str:
    if channels := list(P["channel"].finditer(text)):
        if channels[-1][1] not in (None, "final"):
            return ""
        text = text[channels[-1].end() :]
    text = P["role"].split(text, maxsplit=1)[-1]
    # What follows an end token is another turn.
    parts = (
        [part for part in P["special token"].split(text) if part.strip()]
        if not P["end of reasoning"].search(text)
        else [text]
    )
    if parts and not P["answer block"].search(text):
        text = parts[0]
    *reasoning, behind = P["end of reasoning"].split(text)
    if reasoning and not _holds_text(behind):
        behind = (
            P["begin of reasoning"].sub(" ", reasoning[-1])
            if unless_answered or P["answer block"].search(text)
            else ""
        )
    behind = P["empty answer"].sub(" ", behind)
    if blocks := [block for block in P["answer block"].finditer(behind) if _holds_text(block[1])]:
        return P["special token"].sub(" ", _with_unit(blocks[-1], behind)).strip()
    if P["begin of reasoning"].search(behind):
        return ""  # cut off within its reasoning
    closed = P["end of answer"].search(behind)
    behind = P["begin of answer"].sub(" ", behind[: closed.start()] if closed else behind)
    return P["special token"].sub(" ", behind).strip()


def _holds_text(text: str) -> bool:
    return bool(P["special token"].sub("", text).strip())


def _with_unit(block: re.Match[str], text: str) -> str:
    """A block, with the word behind it where it is a bare number: `<answer>8</answer> feet`."""
    unit = re.match(r"\s*([A-Za-z'\"]+)", text[block.end() :])
    return f"{block[1]} {unit[1]}" if unit and re.fullmatch(r"[\d.,/ ]+", block[1]) else block[1]


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, in order."""
    return [part for part in P["sentence end"].split(text.strip()) if part]


def answer_spans(text: str) -> Iterator[tuple[str, str]]:
    """Where to look for a value, best first, each with its form: after the last cue, then from the end."""
    refusals = [refusal.span() for refusal in P["refused"].finditer(text)]
    # "I cannot answer if it is 3 m" announces nothing.
    if cues := [cue for cue in P["cue"].finditer(text) if not any(a <= cue.start() < b for a, b in refusals)]:
        yield from (("declared", part) for part in sentences(text[cues[-1].end() :]))
    if not P["refused"].search(P["but"].split(text)[-1]):
        several = [part for part in sentences(text) if not P["aside"].match(part)]
        yield from (
            ("bare" if len(several) == 1 and len(part) < 30 else "stated", part) for part in several[::-1]
        )
