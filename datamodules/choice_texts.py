"""The words of a question's choices, and where a text names them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datamodules.conclusions import NUMBER_WORDS, plain_characters

Letters = frozenset[str]
"""What one place of a text says: nothing, a letter, or letters that contradict each other."""

NOTHING: Letters = frozenset()
"""A place that says nothing."""

DENIED = r"(?:\bnot|n't|\bneither|\bnor|\bnever|\brather than|\binstead of|\bunlike)"
"""The pattern of what denies the word behind it."""

NEIGHBOURHOOD = 300
"""How many characters around a mention are looked at for what denies or states it."""

_MARKUP = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\b|[*`$#{}]")
_RULED_OUT = re.compile(rf"(?:{DENIED}|\bno)\s+(?:(?:a|an|the|on|in|to|at|be|it|is)\s+)*$", re.IGNORECASE)
_UNDECIDED = re.compile(
    r"(?:\bcan\s?not|\bcan't|\bcould\s+not|\bunable|\b(?:im|not\s+)possible|\bdifficult|\bhard\s+to"
    r"|\bunclear|\bnot\s+clear|\bnone\s+of)\b(?:(?!\b(?:but|however|so|therefore)\b)[^.!?\n])*$",
    re.IGNORECASE,
)
_NAMES_A_LETTER = re.compile(r"[B-HJ-Z]\b\s*\w")
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[^\w\s.,;:!?\"'()\[\]<>/\\-]")
_SPLIT_WORDS = {"cannot": ("can", "not"), "can't": ("can", "not")}
_BEFORE = re.compile(r"[\s\"'(]*(?:(?:a|an|the|on|in|to|at)\s+)*", re.IGNORECASE)
_OFFERED = re.compile(r"[\s\"'),/&]*(?:\b(?:or|and)\b)?\s*(?:(?:a|an|the|on|in|to|at)\s+)*", re.IGNORECASE)
_REASON = re.compile(r"[\s\"'),;:.-]*\b(?:because|since|as)\b", re.IGNORECASE)
_ARTICLES = ("a", "an", "the")


class _Token(NamedTuple):
    word: str
    start: int
    end: int


class ChoiceTexts:
    """The texts of the choices as words, and where a text names them."""

    def __init__(self, letters: str, choices: Sequence[str]) -> None:
        self.letters = letters
        self.letters_of: dict[tuple[str, ...], Letters] = {}
        # Beside "B is closer", the "A" of "A is closer" is no article.
        self.articles = () if any(_NAMES_A_LETTER.match(choice) for choice in choices) else _ARTICLES
        for letter, choice in zip(letters, choices, strict=False):
            if words := self._words(choice):
                self.letters_of[words] = self.letters_of.get(words, NOTHING) | {letter}

    def equal_to(self, text: str) -> Letters:
        """The letters of the choice that is the whole text."""
        return self.letters_of.get(self._words(text), NOTHING)

    def _words(self, choice: str) -> tuple[str, ...]:
        """The words of a choice, without an article in front."""
        words = tuple(token.word for token in _tokens(plain(choice)))
        return words[1:] if len(words) > 1 and words[0] in self.articles else words

    def named_in(self, text: str) -> Letters:
        """The letters of all choices that a text names and does not deny."""
        return NOTHING.union(*(found for _, _, found in self._mentions(text)))

    def leading_in(self, text: str) -> Letters:
        """The letters of the choice a text starts with, and of those offered beside it ("left or right")."""
        found, end = NOTHING, 0
        for start, stop, letters in self._mentions(text):
            if not (_OFFERED if found else _BEFORE).fullmatch(text[end:start]):
                break
            found, end = found | letters, stop
        return found

    def reasoned_in(self, text: str) -> Letters:
        """The letters of the choice that a text starts with, where a reason follows: "left, because ..."."""
        start, stop, found = next(self._mentions(text), (0, 0, NOTHING))
        reasoned = _BEFORE.fullmatch(text[:start]) and _REASON.match(text, stop)
        return found if reasoned else NOTHING

    def as_letters(self, text: str) -> str:
        """The text with each named choice replaced by its letter in brackets."""
        for start, end, found in reversed(list(self._mentions(text))):
            if len(found) == 1:
                text = f"{text[:start]}({next(iter(found))}){text[end:]}"
        return text

    def _mentions(self, text: str) -> Iterator[tuple[int, int, Letters]]:
        """Start, end and letters of each mention; where choices overlap, the longest."""
        tokens = _tokens(text)
        known = sorted(self.letters_of, key=len, reverse=True)
        position = 0
        while position < len(tokens):
            for words in known:
                window = tokens[position : position + len(words)]
                if tuple(token.word for token in window) == words and not self._is_other_letter(window, text):
                    before = text[max(0, window[0].start - NEIGHBOURHOOD) : window[0].start]
                    if not _RULED_OUT.search(before) and not _UNDECIDED.search(before):
                        yield window[0].start, window[-1].end, self.letters_of[words]
                    position += len(words)
                    break
            else:
                position += 1

    def _is_other_letter(self, window: list[_Token], text: str) -> bool:
        """Whether a mention is a single letter that may as well be an article or the letter of a choice."""
        letter = text[window[0].start : window[0].end]
        if len(window) > 1 or len(letter) > 1 or not letter.isalpha():
            return False
        return letter.islower() or letter in "AI" or letter in self.letters


def plain(text: str) -> str:
    """A text in plain characters, without the marks of Markdown and LaTeX."""
    return _MARKUP.sub("", plain_characters(text)).strip()


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text without case, punctuation and articles, small numbers as digits."""
    return tuple(token.word for token in _tokens(plain(text)) if token.word not in _ARTICLES)


def _tokens(text: str) -> list[_Token]:
    """Words, numbers (words for small ones as digits) and symbols such as the degree sign, lower case."""
    found = list(_TOKEN.finditer(text))
    tokens: list[_Token] = []
    for index, match in enumerate(found):
        word = match[0].lower()
        before = found[index - 1][0].lower() if index else ""
        after = found[index + 1][0].lower() if index + 1 < len(found) else ""
        if word in NUMBER_WORDS and not (
            word == "one" and (before in ("the", "this", "that") or after in ("of", "another"))
        ):
            word = NUMBER_WORDS[word]
        parts = _SPLIT_WORDS.get(word) or re.split("'", word)
        tokens += [_Token(part, match.start(), match.end()) for part in parts]
    return tokens
