"""Word-level vocabulary: splits text into words, masks, regions and numbers, and joins them again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from datamodules.samples import MASK_PLACEHOLDER, AnswerType, SmallSpatialError
from lightning_modules.tiny_giant.chains import FILLER

NumberForm = Literal["value", "digits"]
"""How a decimal number is written: one `<number>` whose value a head regresses, or digit by digit."""

PAD, START, END, UNKNOWN, MASK, NUMBER = range(6)
SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unknown>", MASK_PLACEHOLDER, "<number>")
DIGITS = range(len(SPECIAL_WORDS), len(SPECIAL_WORDS) + 10)
"""The words 0 to 9."""
FIXED_WORDS = (*SPECIAL_WORDS, *"0123456789", ".", ",", "?", "left", "right")

_TOKEN = re.compile(
    r"(?P<region>\[region\s+(?P<index>\d+)\])"
    rf"|(?P<mask>{re.escape(MASK_PLACEHOLDER)})"
    r"|(?P<decimal>\d+\.\d+)"
    r"|(?P<digit>\d)"
    r"|(?P<word>[^\W\d_]+(?:['-][^\W\d_]+)*)"
    r"|(?P<mark>[^\w\s])",
    re.IGNORECASE,
)
METRES = re.compile(r"\d+(?:\.\d*)?|\.\d+")
"""How a length in metres is written as a normalised answer."""
_NO_SPACE_BEFORE = frozenset(".,?!;:)")


_MASK = re.compile(re.escape(MASK_PLACEHOLDER), re.IGNORECASE)


class VocabularyError(SmallSpatialError):
    """A text cannot be written with this vocabulary."""


@dataclass(frozen=True)
class Encoded:
    """A text as token numbers.

    `tokens` holds word numbers, and `vocabulary.size + i` for the i-th region. `values` holds, beside each
    token, the number that a `<number>` stands for (0 elsewhere).
    """

    tokens: list[int]
    values: list[float]


class Vocabulary:
    """The words a model knows; regions come after them, as pointers into the question's own regions.

    Args:
        size: capacity, words and special words together; the model's tables have this many rows however
            many words the data brings.
        numbers: how decimal numbers are written.
    """

    def __init__(self, size: int = 1024, numbers: NumberForm = "value") -> None:
        if size <= len(FIXED_WORDS):
            raise VocabularyError(f"A vocabulary needs more than {len(FIXED_WORDS)} words, not {size}.")
        self.size = size
        self.numbers = numbers
        self.words: list[str] = []
        self._number_of: dict[str, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no text has been seen and no list loaded."""
        return not self.words

    def load(self, words: Sequence[str]) -> None:
        """Take a stored list of words, in its order."""
        if tuple(words[: len(FIXED_WORDS)]) != FIXED_WORDS or len(words) > self.size:
            raise VocabularyError(
                f"The stored list of {len(words)} words does not fit this vocabulary of {self.size}: "
                "it was written by another version or with another vocabulary_size."
            )
        self.words = list(words)
        self._number_of = {word: number for number, word in enumerate(self.words)}

    def number_of(self, word: str) -> int:
        """The number of a word; `<unknown>` stands for one that is not known."""
        return self._number_of.get(word, UNKNOWN)

    def build(self, texts: Iterable[str], words: Sequence[str] = ()) -> None:
        """Learn the most frequent words of some texts (ties in alphabetical order).

        Args:
            texts: what is counted.
            words: known in any case; no text has them.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(word.lower() for word in _words(text))
        known = (*FIXED_WORDS, *words)
        ranked = sorted((word for word in counts if word not in known), key=lambda w: (-counts[w], w))
        self.load([*known, *ranked[: self.size - len(known)]])

    def learnt(self, tokens: Tensor) -> Tensor:
        """Which tokens of answers are learnt: all but padding and the word that says nothing."""
        filler = self._number_of.get(FILLER)
        return (tokens != PAD) if filler is None else (tokens != PAD) & (tokens != filler)

    def encode(self, text: str, answer_type: AnswerType | None = None) -> Encoded:
        """Split a text into tokens; raises `VocabularyError` while the vocabulary is empty.

        Args:
            text: a question, a free-form answer, or a normalised answer.
            answer_type: given for a normalised answer: a bare region index then becomes a region, and a
                distance in metres a `<number>`, even where it is written without a point. A length in words
                ("2-3 feet") stays words.
        """
        if self.is_empty:
            raise VocabularyError(
                "TinyGiant has no words yet: train it first, or pass --ckpt_path of a trained one."
            )
        if answer_type is AnswerType.REGION and text.strip().isdigit():
            return Encoded([self.size + int(text)], [0.0])
        if answer_type is AnswerType.DISTANCE and self.numbers == "value" and METRES.fullmatch(text.strip()):
            return Encoded([NUMBER], [float(text)])
        tokens: list[int] = []
        values: list[float] = []
        for match in _TOKEN.finditer(text):
            value = 0.0
            if match["region"]:
                new = [self.size + int(match["index"])]
            elif match["mask"]:
                new = [MASK]
            elif match["decimal"] and self.numbers == "value":
                new, value = [NUMBER], float(match["decimal"])
            elif match["decimal"]:
                new = [self._number_of[character] for character in match["decimal"]]
            else:
                new = [self._number_of.get(match[0].lower(), UNKNOWN)]
            tokens.extend(new)
            values.extend([value] * len(new))
        return Encoded(tokens, values)

    def decode(self, tokens: Sequence[int], values: Sequence[float]) -> str:
        """Join tokens to a text, up to the end token. A text that is only a region is its bare index."""
        pieces: list[str] = []
        previous_digit = False
        for token, value in zip(tokens, values, strict=True):
            if token == END:
                break
            if token >= self.size:
                word = f"[Region {token - self.size}]"
            elif token == NUMBER:
                word = format_distance(value)
            else:
                word = self.words[token] if token < len(self.words) else SPECIAL_WORDS[UNKNOWN]
            digit = word.isdigit() or (word == "." and self.numbers == "digits")
            glue = not pieces or word in _NO_SPACE_BEFORE or (digit and previous_digit)
            pieces.append(word if glue else " " + word)
            previous_digit = digit
        text = "".join(pieces)
        alone = re.fullmatch(r"\[Region (\d+)\]", text)
        return alone[1] if alone else text


def without_masks(text: str) -> str:
    """A text other than a question, in which `<mask>` names no region: the same characters as words."""
    return _MASK.sub(lambda found: f"< {found[0][1:-1]} >", text)


def padded(rows: Sequence[Sequence[float]], value: float, dtype: torch.dtype) -> Tensor:
    """Rows of tokens or of their values as one tensor `[rows, longest]`, filled up with a value."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows], dtype=dtype)


def format_distance(metres: float) -> str:
    """A distance in metres as the benchmark writes it: two decimals, and 0 for what is closer than 5 cm."""
    return "0" if metres < 0.05 else f"{metres:.2f}"


def _words(text: str) -> Iterable[str]:
    return (match[0] for match in _TOKEN.finditer(text) if match["word"] or match["mark"] or match["digit"])
