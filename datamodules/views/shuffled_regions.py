"""The view that names the regions of a list in another order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from datamodules.samples import MASK_PLACEHOLDER, AnswerType, SpatialSample
from datamodules.views.region_names import renamed
from datamodules.views.view import NotApplicable, View, require_seed

_MASK = re.compile(re.escape(MASK_PLACEHOLDER))
# What stands between two regions of a list: blanks in "<mask> <mask>", or ", and the pallet ".
_BETWEEN = re.compile(r"(?:\s|,|\band\b|\bor\b)*(?P<noun>the [a-z]+ (?:[a-z]+ )?)?")
_ORDER_WORDS = re.compile(
    r"\b(?:first|second|third|fourth|fifth|last|former|latter|respectively|in (?:this|that) order)\b",
    re.IGNORECASE,
)
_BARE_NUMBERS = re.compile(r"(?<!\[)\bregions? \d+|\banswer\b", re.IGNORECASE)


@dataclass(frozen=True)
class ShuffledRegions(View):
    """The regions of a list in another order: the same pixels are the right answer, under another number.

    A list is a run of `<mask>` placeholders with nothing but blanks, commas, "and" and "or" between them, and
    perhaps the same noun before each ("the pallet <mask> and the pallet <mask>"). The question stays, and its
    i-th placeholder names the i-th region as before; regions, answer, choices and reasoning follow. The order
    follows from the seed and the question's id and is never the one before. A reasoning that counts regions
    in other words than "[Region i]" is left out. Solved examples stay as they are.

    Args:
        seed: another seed draws other orders.

    Raises, of a sample:
        NotApplicable: it lists no two regions, some of them are the same, its words speak of their order, or
            its regions or its answer do not fit its placeholders.
    """

    moves_truth = True

    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no seed."""
        require_seed(self.seed, "ShuffledRegions")

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with its lists in another order."""
        return reordered(sample, self.order(sample))

    def order(self, sample: SpatialSample) -> tuple[int, ...]:
        """Which region of the sample becomes the i-th; raises `NotApplicable` as a call does."""
        lists = _lists(sample)
        random = Random(f"order {self.seed} of {sample.id}")
        order = list(range(len(sample.regions)))
        for first, end in lists:
            order[first:end] = _shuffled(random, order[first:end])
        return tuple(order)


def reordered(sample: SpatialSample, order: Sequence[int]) -> SpatialSample:
    """The sample whose i-th region is what was region `order[i]`; answer, choices and reasoning follow."""
    answer = sample.answer
    if sample.answer_type is AnswerType.REGION and answer is not None:
        answer = str(list(order).index(int(answer)))
    rationale = sample.rationale
    if _ORDER_WORDS.search(rationale) or _BARE_NUMBERS.search(rationale):
        rationale = ""
    return sample.replace(
        regions=tuple(sample.regions[index] for index in order),
        choices=tuple(renamed(choice, order) for choice in sample.choices),
        answer=answer,
        rationale=renamed(rationale, order),
    )


def _shuffled(random: Random, places: Sequence[int]) -> list[int]:
    """The places in another order than they have, each of the others equally likely."""
    shuffled = list(places)
    while shuffled == list(places):
        random.shuffle(shuffled)
    return shuffled


def _lists(sample: SpatialSample) -> list[tuple[int, int]]:
    """The first region of each list and the one behind its last; raises `NotApplicable`."""
    found = list(_MASK.finditer(sample.question))
    ends = [
        index + 1
        for index, (before, after) in enumerate(pairwise(found))
        if not _is_list(sample.question, before, after)
    ]
    bounds = [0, *ends, len(found)]
    lists = [(a, b) for a, b in pairwise(bounds) if b - a > 1]
    if why := _why_not(sample, len(found), lists):
        raise NotApplicable.to(sample, "asked with its regions in another order", why)
    return lists


def _is_list(question: str, before: re.Match[str], after: re.Match[str]) -> bool:
    """Whether two placeholders that follow each other are parts of one list."""
    between = _BETWEEN.fullmatch(question, before.end(), after.start())
    noun = between["noun"] or "" if between else ""
    return between is not None and question[: before.start()].lower().endswith(noun)


def _why_not(sample: SpatialSample, placeholders: int, lists: Sequence[tuple[int, int]]) -> str:
    """Why the lists of a sample cannot be reordered; "" where they can."""
    if not lists:
        return "it lists no two regions"
    if len(sample.regions) != placeholders:
        return "it has other regions than it names"
    if any(len(set(sample.regions[a:b])) < b - a for a, b in lists):
        return "two regions of a list are the same"
    if _ORDER_WORDS.search("\n".join((sample.question, *sample.choices))):
        return "its words speak of the order of regions"
    names_region = sample.answer_type is AnswerType.REGION and sample.answer is not None
    if names_region and sample.answer not in list(map(str, range(placeholders))):
        return "its answer is none of its regions"
    return ""
