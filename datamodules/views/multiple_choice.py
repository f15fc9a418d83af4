"""The view that turns questions with short answers into multiple-choice questions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from datamodules.samples import LETTERS, AnswerType, SpatialSample
from datamodules.views.boxes import region_name
from datamodules.views.view import View

CHOICES = 4
"""How many choices a question gets, where its form allows as many."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_FRACTION = re.compile(r"(?<![\d./])(?:(\d+)\s+)?(\d+)/([1-9]\d*)(?![\d./])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SMALLER = (0.25, 0.4, 0.55, 0.7)
_LARGER = (1.4, 1.8, 2.5, 3.5)
_INSTEAD_OF_ZERO_M = (0.5, 1.0, 1.5, 2.5, 4.0)
_PLURALS = {"meter": "meters", "metre": "metres", "foot": "feet", "inch": "inches", "yard": "yards"}
_SINGULARS = {plural: singular for singular, plural in _PLURALS.items()}
_AMOUNT = re.compile(rf"({_NUMBER.pattern})(\s+)({'|'.join([*_PLURALS, *_SINGULARS])})\b")


@dataclass(frozen=True)
class AsMultipleChoice(View):
    """A question for a count, a length, a side or a region becomes one with choices and a letter as answer.

    For training on data shaped like a multiple-choice benchmark. Wrong counts lie within a few of the right
    one, wrong lengths are 0.25 to 0.7 or 1.4 to 3.5 times as long, wrong regions are other regions of the
    question; none of them is right too, which is why a side has only two choices. As many of the wrong
    numbers are smaller as chance says, so that the right one does not stand in the middle more often. The
    choices follow from the sample's id alone. All other questions stay as they are.
    """

    moves_truth = True

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample as a multiple-choice question."""
        return as_multiple_choice(sample)


def as_multiple_choice(sample: SpatialSample, others: Sequence[str] = ()) -> SpatialSample:
    """A question with a short answer as one with choices, see `AsMultipleChoice`.

    Args:
        sample: the question.
        others: wrong answers, to be taken in this order where none can be made out of the right one.
    """
    if sample.answer is None or sample.choices or sample.answer_type is AnswerType.LETTER:
        return sample
    random = Random(f"choices of {sample.id}")
    right, wrong = _options(sample, sample.answer, random)
    wrong = wrong or list(others[: CHOICES - 1])
    if not wrong:
        return sample
    choices = [right, *wrong]
    random.shuffle(choices)
    return sample.replace(
        choices=tuple(choices), answer=LETTERS[choices.index(right)], answer_type=AnswerType.LETTER
    )


def _options(sample: SpatialSample, answer: str, random: Random) -> tuple[str, list[str]]:
    """The right choice and the wrong ones; no wrong ones where none can be made."""
    match sample.answer_type:
        case AnswerType.SIDE if answer in ("left", "right"):
            return answer, ["right" if answer == "left" else "left"]
        case AnswerType.REGION if answer.isdecimal():
            others = [index for index in range(len(sample.regions)) if index != int(answer)]
            some = random.sample(others, min(CHOICES - 1, len(others)))
            return region_name(int(answer)), [region_name(index) for index in some]
        case AnswerType.COUNT if (count := _whole(answer)) is not None:
            return str(count), [str(other) for other in _other_counts(count, random)]
        case AnswerType.DISTANCE if _NUMBER.search(answer):
            plain = _in_decimals(answer)
            right = f"{plain} m" if _NUMBER.fullmatch(plain) else plain
            return right, _other_lengths(right, random)
    return answer, []


def _whole(text: str) -> int | None:
    """A count as a number, from digits or a word."""
    bare = text.strip().rstrip(".").lower()
    if bare in _WORDS:
        return _WORDS.index(bare)
    return int(float(bare)) if _NUMBER.fullmatch(bare) else None


def _other_counts(count: int, random: Random) -> list[int]:
    """Other counts close by, of which as many are smaller as chance says and the count allows."""
    smaller = min(random.randrange(CHOICES), count)
    below = random.sample(range(max(0, count - 3), count), smaller)
    return below + random.sample(range(count + 1, count + 4), CHOICES - 1 - smaller)


def _in_decimals(text: str) -> str:
    """A length with its fractions as decimals and without commas, so that each amount is one number."""

    def decimal(fraction: re.Match[str]) -> str:
        return f"{int(fraction[1] or 0) + int(fraction[2]) / int(fraction[3]):.4g}"

    plain = _FRACTION.sub(decimal, _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text))
    return text if plain == text else _agreeing(plain)


def _other_lengths(right: str, random: Random) -> list[str]:
    """The same text with other numbers, all multiplied by one factor; different from each other."""
    numbers = [float(number) for number in _NUMBER.findall(right)]
    if max(numbers) == 0:
        lengths = random.sample(_INSTEAD_OF_ZERO_M, CHOICES - 1)
        return [_NUMBER.sub(f"{length}", right, count=1) for length in lengths]
    smaller = random.randrange(CHOICES)
    factors = random.sample(_SMALLER, smaller) + random.sample(_LARGER, CHOICES - 1 - smaller)
    texts: list[str] = []
    for factor in factors:
        texts.append(next(text for text in _multiplied(right, factor) if text not in (right, *texts)))
    return texts


def _multiplied(text: str, factor: float) -> Iterator[str]:
    """The text with every number multiplied: with as many decimals as it has, then with more and more.

    Each is another number than before, but for those that are 0, which stay so. Several numbers are rounded
    so little that they go on saying the same ("2 m (6.56 ft)").
    """
    before = [float(part) for part in _NUMBER.findall(text)]
    for more in range(6):

        def number(found: re.Match[str], more: int = more) -> str:
            if float(found[0]) == 0:
                return found[0]
            decimals = len(found[0].partition(".")[2]) + more
            return f"{float(found[0]) * factor:.{decimals}f}"

        written = _NUMBER.sub(number, text)
        after = [float(part) for part in _NUMBER.findall(written)]
        pairs = list(zip(before, after, strict=True))
        if any(old and new in (0, old) for old, new in pairs):
            continue
        if len(pairs) > 1 and any(abs(new - factor * old) > 0.1 * factor * old for old, new in pairs):
            continue
        yield _agreeing(written)


def _agreeing(text: str) -> str:
    """The text with its units in the singular after 1, else in the plural: grammar must not give it away."""

    def agreeing(amount: re.Match[str]) -> str:
        forms = _SINGULARS if float(amount[1]) == 1 else _PLURALS
        return f"{amount[1]}{amount[2]}{forms.get(amount[3], amount[3])}"

    return _AMOUNT.sub(agreeing, text)
