"""A question that could be asked, and how its text is put together from marked objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from datamodules.rendered.levels import Level
from datamodules.rendered.references import marked, named
from datamodules.rendered.scene import Kind
from datamodules.rendered.sight import Seen, Sight
from datamodules.rendered.templates import OPENINGS, capitalised, worded

ASKED_KINDS = (Kind.PALLET, Kind.BUFFER, Kind.TRANSPORTER, Kind.SHELF)
"""The kinds of objects that questions are about."""

Listed = Mapping[Kind, Sequence[Seen]]
"""The objects of every kind that a question lists, in the order of their masks."""


@dataclass(frozen=True)
class Candidate:
    """One question that could be asked.

    Attributes:
        category: one of the four categories of the benchmark.
        family: which kind of question it is within its category.
        chained: whether it takes more than one step.
        depth: how many steps follow one another before the answer, each needing the one before.
        question: the text with one `<mask>` for every region.
        regions: scene index of the object behind every placeholder.
        answer: the normalised answer, in the type of the official files.
        freeform: the answer as a text that names regions as `[Region i]`.
    """

    category: str
    family: str
    chained: bool
    depth: int
    question: str
    regions: tuple[int, ...]
    answer: str | int | float
    freeform: str


def some(random: Random, things: Sequence[Seen], number: tuple[int, int]) -> list[Seen]:
    """Some of the objects in random order: as many as drawn from a range, or all where there are fewer."""
    return random.sample(things, min(len(things), random.randint(*number)))


def listing(random: Random, sight: Sight, level: Level) -> dict[Kind, list[Seen]]:
    """The objects of every kind that a chained question lists, in random order."""
    return {kind: some(random, sight.of(kind), level.choices) for kind in ASKED_KINDS}


def group_phrase(things: Sequence[Seen]) -> str:
    """Several objects of one kind in short: "the pallets <2> <5> <1>"."""
    if len(things) == 1:
        return named(things[0])
    kind = things[0].kind
    return f"the {'shelves' if kind is Kind.SHELF else f'{kind}s'} {' '.join(map(marked, things))}"


def enumeration(random: Random, things: Sequence[Seen]) -> str:
    """The same, or one by one: "the pallet <2>, the pallet <5>, and the pallet <1>"."""
    if not 2 <= len(things) <= 4 or random.random() < 0.6:
        return group_phrase(things)
    each = [named(thing) for thing in things]
    return f"{', '.join(each[:-1])}{',' if len(each) > 2 else ''} and {each[-1]}"


def group_phrases(listed: Listed, kinds: frozenset[Kind]) -> tuple[str, ...]:
    """One phrase for every listed kind."""
    return tuple(group_phrase(listed[kind]) for kind in ASKED_KINDS if kind in kinds)


def opened(random: Random, groups: Sequence[str], body: str) -> str:
    """A question that lists its objects first, in random order of the kinds."""
    shuffled = random.sample(groups, len(groups))
    phrase = shuffled[0] if len(shuffled) == 1 else f"{', '.join(shuffled[:-1])} and {shuffled[-1]}"
    body = body[:1].lower() + body[1:] if not body.startswith("I ") else body
    return worded(random, OPENINGS, groups=phrase, question=body, Question=capitalised(body))


def seen_inside(inside: Sequence[Seen], region: Seen) -> str:
    """The sentence that names the pallets in a region."""
    if not inside:
        return f"I see no pallets in {named(region)}."
    noun = "pallet" if len(inside) == 1 else "pallets"
    return f"I see {noun} {' '.join(map(marked, inside))} in {named(region)}."


def candidate(
    category: str,
    family: str,
    question: str,
    steps: Sequence[str],
    answer: Seen | str | int | float,
    *,
    chained: bool = False,
    depth: int = 0,
) -> Candidate:
    """Number the marked objects in the order of the question; an object as the answer becomes its number.

    The question and the steps of the free-form answer still carry the marks of `references.marked`.
    """
    regions = tuple(int(index) for index in re.findall(r"<(\d+)>", question))
    number = {index: place for place, index in enumerate(regions)}
    freeform = " ".join(
        capitalised(re.sub(r"<(\d+)>", lambda found: f"[Region {number[int(found[1])]}]", step))
        for step in steps
    )
    return Candidate(
        category=category,
        family=family,
        chained=chained,
        depth=depth,
        question=re.sub(r"<\d+>", "<mask>", question),
        regions=regions,
        answer=str(number[answer.index]) if isinstance(answer, Seen) else answer,
        freeform=freeform,
    )
