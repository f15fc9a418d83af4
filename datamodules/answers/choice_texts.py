"""The words of a question's choices, and where a text names them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datamodules.answers.comparisons import NEIGHBOURHOOD
from datamodules.answers.final_answer import plain_characters, without_markup
from datamodules.answers.grammar import NUMBER_WORDS, WORDS, P

Letters = frozenset[str]
"""What one place of a text says: nothing, a letter, or letters that contradict each other."""

NOTHING: Letters = frozenset()
"""A place that says nothing."""

_NAMES_A_LETTER = re.compile(r"[B-HJ-Z]\b\s*\w")
_ARTICLES = ("a", "an", "the")
_SYMBOLS = {word: symbol for symbol, words in WORDS["symbols"].items() for word in words}
_SPLIT = {
    "cannot": ("can", "not"),
    "can't": ("can", "not"),
    "first": ("1", "st"),
    "second": ("2", "nd"),
    "third": ("3", "rd"),
}
_SPLIT |= {word: (str(number), "th") for number, word in enumerate(WORDS["ordinals"]) if number > 3}


class _Token(NamedTuple):
    word: str
    start: int
    end: int


class ChoiceTexts:
    """The texts of the choices as words, and where a text names them."""

    def __init__(self, letters: str, choices: Sequence[str]) -> None:
        self.letters = letters
        self._mentions: dict[str, list[tuple[int, int, Letters]]] = {}
        self.letters_of: dict[tuple[str, ...], Letters] = {}
        # Beside "B is closer", the "A" of "A is closer" is no article.
        self.articles = () if any(_NAMES_A_LETTER.match(choice) for choice in choices) else _ARTICLES
        for letter, choice in zip(letters, choices, strict=False):
            if words := self._words(choice):
                self.letters_of[words] = self.letters_of.get(words, NOTHING) | {letter}
        self._first = {words[0] for words in self.letters_of}
        self.are_numbers = bool(self.letters_of) and all(
            len(words) == 1 and words[0].isdigit() for words in self.letters_of
        )
        # "90" for "90°", where no other choice has this number.
        numbers = Counter(words[0] for words in self.letters_of if words[0][0].isdigit())
        self._equal = {
            words[:1]: found
            for words, found in self.letters_of.items()
            if len(words) < 4 and numbers[words[0]] == 1
        }
        self._equal |= {_without_and(words): found for words, found in self.letters_of.items()}

    def equal_to(self, text: str) -> Letters:
        """The letters of the choice that is the whole text, but for an "and" or a missing unit."""
        words = self._words(text)
        return self.letters_of.get(words) or self._equal.get(_without_and(words), NOTHING)

    def _words(self, choice: str) -> tuple[str, ...]:
        """The words of a choice, without an article in front."""
        words = tuple(token.word for token in _tokens(plain(choice)))
        return words[1:] if len(words) > 1 and words[0] in self.articles else words

    def named_in(self, text: str) -> Letters:
        """The letters of all choices that a text names and does not deny."""
        return NOTHING.union(*(found for _, _, found in self.mentions(text)))

    def leading_in(self, text: str, reasoned: bool = False) -> Letters:
        """The letters of the choice a text starts with, and of those offered beside it ("left or right").

        With `reasoned` only where a reason follows the first one: "left, because ...".
        """
        found, end = NOTHING, 0
        for start, stop, letters in self.mentions(text):
            if not P["offered beside" if found else "before a choice"].fullmatch(text[end:start]):
                break
            if reasoned:
                return letters if P["reason"].match(text, stop) else NOTHING
            found, end = found | letters, stop
        return found

    def as_letters(self, text: str) -> str:
        """The text with each named choice replaced by its letter in brackets."""
        for start, end, found in reversed(self.mentions(text)):
            if len(found) == 1:
                text = f"{text[:start]}({next(iter(found))}){text[end:]}"
        return text

    def mentions(self, text: str) -> list[tuple[int, int, Letters]]:
        """Start, end and letters of each mention that is not denied; where choices overlap, the longest."""
        if text not in self._mentions:
            self._mentions[text] = list(self._search(text))
        return [mention for mention in self._mentions[text] if mention[2]]

    def without_mentions(self, text: str) -> str:
        """The text with blanks for each mention, and for each that is denied with what denies it."""
        self.mentions(text)
        for start, end, _ in self._mentions[text]:
            text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
        return text

    def _search(self, text: str) -> Iterator[tuple[int, int, Letters]]:
        """The mentions, those without letters that are denied; they start where they are denied."""
        tokens, position = _tokens(text), 0
        known = sorted(self.letters_of, key=len, reverse=True)
        while position < len(tokens):
            for words in known if tokens[position].word in self._first else ():
                window = tokens[position : position + len(words)]
                if tuple(token.word for token in window) == words and not self._is_other_letter(window, text):
                    nearby = max(0, window[0].start - NEIGHBOURHOOD)
                    denied = P["not meant"].search(text[nearby : window[0].start])
                    start = nearby + denied.start() if denied else window[0].start
                    yield start, window[-1].end, NOTHING if denied else self.letters_of[words]
                    position += len(words) - 1
                    break
            position += 1

    def _is_other_letter(self, window: list[_Token], text: str) -> bool:
        """Whether a mention is a single letter that may as well be an article or the letter of a choice."""
        letter = text[window[0].start : window[-1].end]
        return (
            len(letter) == 1
            and letter.isalpha()
            and (letter.islower() or letter in "AI" or letter in self.letters)
        )


def plain(text: str) -> str:
    """A text in plain characters, without the marks of Markdown and LaTeX."""
    return without_markup(plain_characters(text))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text without case, punctuation and articles, small numbers as digits."""
    return tuple(token.word for token in _tokens(plain(text)) if token.word not in _ARTICLES)


def _without_and(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word != "and")


def _tokens(text: str) -> list[_Token]:
    """Words, numbers (words for small ones as digits), units as symbols and symbols, lower case."""
    text = P["be determined"].sub(lambda found: f"{found[1]} determine".ljust(len(found[0])), text)
    found = list(P["word"].finditer(text))
    words = ["", *(match[0].lower() for match in found), ""]
    tokens: list[_Token] = []
    for match, before, word, after in zip(found, words, words[1:], words[2:], strict=False):
        if word in NUMBER_WORDS and (
            word != "one" or (before not in ("the", "this", "that") and after not in ("of", "another"))
        ):
            word = NUMBER_WORDS[word]
        if before[:1].isdigit() or before == "per":
            word = _SYMBOLS.get(word, word)
        if word != "per" or after not in _SYMBOLS:
            tokens += [
                _Token(part, match.start(), match.end()) for part in _SPLIT.get(word) or re.split("'", word)
            ]
    return tokens
