"""Questions about one picture, with answers that are true by construction.

Every family of questions offers candidates; `selection.py` keeps those that balance the split. Definitions:

* left and right compare the horizontal centroids of the visible masks;
* the distance between two objects is the one between their footprint centres on the floor, in metres;
* a pallet is in a buffer region if its footprint centre lies inside, and only regions all of whose pallets
  are visible are asked about;
* comparisons are asked only where the right answer leads by the margins of `levels.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from datamodules.rendered import templates
from datamodules.rendered.levels import MARGIN_SIDE, Level
from datamodules.rendered.references import (
    CAMERA,
    SIDES,
    Reference,
    closest,
    closest_reference,
    direct,
    marked,
    named,
    outermost,
    outermost_reference,
)
from datamodules.rendered.scene import Kind
from datamodules.rendered.sight import Seen, Sight
from datamodules.rendered.templates import capitalised, sentence, worded

LEAST_DISTANCE_M = 0.8
"""Shortest distance that is asked about, in metres."""

LEAST_LISTED = 3
"""Where a scene has so many pallets, a counting question lists at least this number of them."""

ATTEMPTS = 5
"""How often every family tries to find a question about a picture."""

ASKED_KINDS = (Kind.PALLET, Kind.BUFFER, Kind.TRANSPORTER, Kind.SHELF)

Listed = Mapping[Kind, Sequence[Seen]]


@dataclass(frozen=True)
class Candidate:
    """One question that could be asked.

    Attributes:
        category: one of the four categories of the benchmark.
        family: which kind of question it is within its category.
        chained: whether it takes more than one step.
        question: the text with one `<mask>` for every region.
        regions: scene index of the object behind every placeholder.
        answer: the normalised answer, in the type of the official files.
        freeform: the answer as a text that names regions as `[Region i]`.
    """

    category: str
    family: str
    chained: bool
    question: str
    regions: tuple[int, ...]
    answer: str | int | float
    freeform: str


def candidates(sight: Sight, level: Level, random: Random) -> list[Candidate]:
    """All questions found about one picture, without repetitions."""
    found: dict[tuple[str, str, tuple[int, ...]], Candidate] = {}
    fewest, most = level.masks
    for family in FAMILIES:
        for _ in range(ATTEMPTS):
            for candidate in family(sight, level, random):
                if fewest <= len(candidate.regions) <= most:
                    key = (candidate.category, candidate.family, tuple(sorted(candidate.regions)))
                    found.setdefault(key, candidate)
    return list(found.values())


def _left_right(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """On which side of another object does an object appear?"""
    if len(sight.seen) < 2:
        return
    first, second = random.sample(sight.seen, 2)
    if abs(first.centroid - second.centroid) < MARGIN_SIDE:
        return
    side = "left" if first.centroid < second.centroid else "right"
    question = sentence(
        random, templates.LEFT_RIGHT, a=named(first), b=named(second), side=random.choice(SIDES)
    )
    answer = capitalised(
        worded(random, templates.LEFT_RIGHT_ANSWERS, a=named(first), b=named(second), side=side)
    )
    yield _candidate("left_right", "pair", question, (answer,), side)


def _which_outermost(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which of some objects is the leftmost?"""
    kind = random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER, Kind.SHELF))
    things = _some(random, sight.of(kind), level.choices)
    side = random.choice(SIDES)
    best = outermost(things, side) if len(things) > 1 else None
    if best is None:
        return
    wording = worded(random, templates.EXTREMES[side])
    question = sentence(random, templates.WHICH_OF, group=_enumeration(random, things), best=wording)
    answer = worded(random, templates.EXTREME_ANSWERS[side], a=named(best), b=named(best))
    yield _candidate("mcq", f"{side}most", question, (answer,), best)


def _which_closest(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which of some objects is the closest to another object, or to the camera?"""
    kind = random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER))
    things = _some(random, sight.of(kind), level.choices)
    others = [thing for thing in sight.seen if thing.kind is not kind]
    if len(things) < 2 or not others:
        return
    target = random.choice(others)
    if random.random() < 0.2:
        best, aim, goal, extra = closest(things, CAMERA), "the camera", "the camera", ""
    else:
        best, aim, goal, extra = closest(things, target), named(target), named(target), named(target)
    if best is None:
        return
    if extra and random.random() < 0.5:
        aim = f"the {target.kind}"
        wording = worded(random, templates.CLOSEST, target=aim)
        body = worded(random, templates.WHICH, kind=kind, best=wording)
        if kind is Kind.PALLET and target.kind is Kind.TRANSPORTER and random.random() < 0.5:
            body = worded(random, templates.PICK_UP, transporter=aim)
        question = _opened(random, (_group(things), extra), body)
    else:
        wording = worded(random, templates.CLOSEST, target=aim)
        question = sentence(random, templates.WHICH_OF, group=_enumeration(random, things), best=wording)
    answer = f"{named(best)} is the closest to {goal}."
    yield _candidate("mcq", "closest", question, (answer,), best)


def _which_closest_chained(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which pallet is the closest to the shelf on the right?"""
    kind = random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER))
    listed = _listing(random, sight, level)
    others = [other for other in ASKED_KINDS if other is not kind]
    target = outermost_reference(random, listed, random.choice(others))
    if target is None:
        return
    if kind is Kind.PALLET and target.thing.kind is not Kind.BUFFER and random.random() < 0.35:
        inner = closest_reference(random, listed, Kind.BUFFER, target)
        target = inner or target
    things = listed[kind]
    best = closest(things, target.thing) if len(things) > 1 else None
    if best is None:
        return
    body = worded(
        random, templates.WHICH, kind=kind, best=worded(random, templates.CLOSEST, target=target.phrase)
    )
    question = _opened(random, _groups(listed, target.lists | {kind}), body)
    answer = f"{named(best)} is the closest to {named(target.thing)}."
    yield _candidate("mcq", "closest chained", question, (*target.steps, answer), best)


def _which_buffer(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which buffer region holds the most or fewest pallets, or none?"""
    known = [region for region in sight.of(Kind.BUFFER) if region.index in sight.pallets_inside]
    regions = random.sample(known, min(len(known), random.randint(2, 5)))
    if len(regions) < 2:
        return
    numbers = {region: len(sight.pallets_inside[region.index]) for region in regions}
    ranked = sorted(regions, key=numbers.__getitem__)
    family = random.choice(("most", "fewest", "empty"))
    best = ranked[-1] if family == "most" else ranked[0]
    if list(numbers.values()).count(numbers[best]) != 1 or (family == "empty" and numbers[best] > 0):
        return
    wordings = {"most": templates.MOST, "fewest": templates.FEWEST, "empty": templates.EMPTY}
    does = random.choice(wordings[family])
    pallets = [pallet for region in regions for pallet in sight.pallets_inside[region.index]]
    # Where the pallets are listed as well, there are more masks to look through.
    if pallets and random.random() < 0.6 and len(pallets) + len(regions) <= level.masks[1]:
        body = worded(random, templates.BUFFER_WHICH, does=does)
        listed = {Kind.BUFFER: regions, Kind.PALLET: pallets}
        question = _opened(random, _groups(listed, frozenset(listed)), body)
        steps = [
            f"I see pallets {' '.join(map(marked, sight.pallets_inside[region.index]))} in {named(region)}."
            for region in regions
            if sight.pallets_inside[region.index]
        ]
    else:
        question = sentence(random, templates.BUFFER_WHICH_OF, group=_enumeration(random, regions), does=does)
        steps = []
    yield _candidate("mcq", family, question, (*steps, f"{named(best)} {does}."), best, chained=False)


def _distance(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How far are two objects apart?"""
    kinds = random.choice(((Kind.PALLET, Kind.PALLET), (Kind.PALLET, None), (None, None)))
    first, second = (random.choice(pool) if (pool := _pool(sight, kind)) else None for kind in kinds)
    if first is not None and second is not None and first is not second:
        yield from _distance_between(random, {}, direct(first), direct(second), "pair")


def _distance_chained(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How far is the rightmost pallet from the leftmost buffer region?"""
    listed = _listing(random, sight, level)
    first = outermost_reference(random, listed, random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER)))
    second_kind = random.choice(ASKED_KINDS)
    second = outermost_reference(random, listed, second_kind)
    if second is None and listed[second_kind]:
        second = direct(random.choice(listed[second_kind]))
    if first is None or second is None or first.thing is second.thing:
        return
    # An object with a mask of its own may not be listed a second time.
    if not any(thing.kind in first.lists for thing in second.inline):
        yield from _distance_between(random, listed, first, second, "chained")


def _distance_between(
    random: Random, listed: Listed, first: Reference, second: Reference, family: str
) -> Iterator[Candidate]:
    metres = round(first.thing.distance_m(second.thing), 2)
    if metres < LEAST_DISTANCE_M:
        return
    body = worded(random, templates.DISTANCE, a=first.phrase, b=second.phrase)
    lists = first.lists | second.lists
    question = _opened(random, _groups(listed, lists), body) if lists else body
    answer = worded(
        random,
        templates.DISTANCE_ANSWERS,
        a=named(first.thing),
        b=named(second.thing),
        metres=f"{metres:.2f}",
    )
    steps = (*first.steps, *second.steps, answer)
    yield _candidate("distance", family, question, steps, metres)


def _count(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How many of the listed pallets are in a buffer region?"""
    for region in sight.of(Kind.BUFFER):
        inside = sight.pallets_inside.get(region.index)
        if inside is None:
            continue
        pallets = _with_distractors(random, sight, inside, level.masks[1] - 1)
        if not pallets:
            continue
        if random.random() < 0.5:
            question = sentence(
                random, templates.COUNT_OF, group=_enumeration(random, pallets), region=named(region)
            )
        else:
            body = worded(random, templates.COUNT, region="the buffer region")
            question = _opened(random, (_group(pallets), named(region)), body)
        yield _candidate("count", "listed", question, _counted(inside, region, True), len(inside))


def _count_chained(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How many pallets are in the buffer region closest to the shelf on the right?"""
    listed = dict(_listing(random, sight, level))
    listed[Kind.BUFFER] = _some(random, sight.of(Kind.BUFFER), (2, 5))
    region = outermost_reference(random, listed, Kind.BUFFER)
    if random.random() < 0.7:
        landmark_kind = random.choice((Kind.SHELF, Kind.TRANSPORTER))
        landmark = outermost_reference(random, listed, landmark_kind)
        if landmark is None and sight.of(landmark_kind):
            landmark = direct(random.choice(sight.of(landmark_kind)))
        if landmark is not None:
            region = closest_reference(random, listed, Kind.BUFFER, landmark)
    inside = sight.pallets_inside.get(region.thing.index) if region else None
    if region is None or inside is None:
        return
    lists = region.lists
    masks = sum(len(listed[kind]) for kind in lists) + len(region.inline)
    # Now and then the pallets are not listed: then they have to be found in the picture.
    bare = random.random() < level.bare_counts
    if not bare:
        listed[Kind.PALLET] = _with_distractors(random, sight, inside, level.masks[1] - masks)
        if not listed[Kind.PALLET]:
            return
        lists = lists | {Kind.PALLET}
    body = worded(random, templates.COUNT, region=region.phrase)
    question = _opened(random, _groups(listed, lists), body)
    steps = (*region.steps, *_counted(inside, region.thing, not bare))
    family = "bare" if bare else "chained"
    yield _candidate("count", family, question, steps, len(inside))


FAMILIES: tuple[Callable[[Sight, Level, Random], Iterator[Candidate]], ...] = (
    _left_right,
    _which_outermost,
    _which_closest,
    _which_closest_chained,
    _which_buffer,
    _distance,
    _distance,
    _distance_chained,
    _count,
    _count_chained,
)


def _pool(sight: Sight, kind: Kind | None) -> Sequence[Seen]:
    """The objects of one kind, or all of them."""
    return sight.seen if kind is None else sight.of(kind)


def _some(random: Random, things: Sequence[Seen], number: tuple[int, int]) -> list[Seen]:
    """Some of the objects in random order: as many as drawn from a range, or all where there are fewer."""
    return random.sample(things, min(len(things), random.randint(*number)))


def _listing(random: Random, sight: Sight, level: Level) -> dict[Kind, list[Seen]]:
    """The objects of every kind that a chained question lists, in random order."""
    return {kind: _some(random, sight.of(kind), level.choices) for kind in ASKED_KINDS}


def _with_distractors(random: Random, sight: Sight, inside: Sequence[Seen], most: int) -> list[Seen]:
    """The pallets inside a region with some of the others, at most so many, shuffled; or none if too many.

    Even a few pallets inside are listed among several: the length of the list should not tell the count.
    """
    others = [pallet for pallet in sight.of(Kind.PALLET) if pallet not in inside]
    extra = min(most - len(inside), len(others))
    if extra < 0:
        return []
    fewest = min(max(LEAST_LISTED - len(inside), 0), extra)
    listed = [*inside, *random.sample(others, random.randint(fewest, extra))]
    return random.sample(listed, len(listed))


def _counted(inside: Sequence[Seen], region: Seen, listed: bool) -> tuple[str, ...]:
    """The sentences that count the pallets in a region."""
    number = len(inside)
    verb, noun = ("is", "pallet") if number == 1 else ("are", "pallets")
    total = f"{verb} exactly {templates.NUMBERS[number]} {noun}"
    if not listed:
        return (f"There {total} in {named(region)}.",)
    if not inside:
        return (f"I see no pallets in {named(region)}.", f"So there {total}.")
    return (f"I see {noun} {' '.join(map(marked, inside))} in {named(region)}.", f"So there {total}.")


def _group(things: Sequence[Seen]) -> str:
    """Several objects of one kind in short: "the pallets <2> <5> <1>"."""
    if len(things) == 1:
        return named(things[0])
    kind = things[0].kind
    return f"the {'shelves' if kind is Kind.SHELF else f'{kind}s'} {' '.join(map(marked, things))}"


def _enumeration(random: Random, things: Sequence[Seen]) -> str:
    """The same, or one by one: "the pallet <2>, the pallet <5>, and the pallet <1>"."""
    if not 2 <= len(things) <= 4 or random.random() < 0.6:
        return _group(things)
    each = [named(thing) for thing in things]
    return f"{', '.join(each[:-1])}{',' if len(each) > 2 else ''} and {each[-1]}"


def _groups(listed: Listed, kinds: frozenset[Kind]) -> tuple[str, ...]:
    """One phrase for every listed kind."""
    return tuple(_group(listed[kind]) for kind in ASKED_KINDS if kind in kinds)


def _opened(random: Random, groups: Sequence[str], body: str) -> str:
    """A question that lists its objects first, in random order of the kinds."""
    shuffled = random.sample(groups, len(groups))
    phrase = shuffled[0] if len(shuffled) == 1 else f"{', '.join(shuffled[:-1])} and {shuffled[-1]}"
    body = body[:1].lower() + body[1:] if not body.startswith("I ") else body
    return worded(random, templates.OPENINGS, groups=phrase, question=body, Question=capitalised(body))


def _candidate(
    category: str,
    family: str,
    question: str,
    steps: Sequence[str],
    answer: Seen | str | int | float,
    chained: bool | None = None,
) -> Candidate:
    """Number the marked objects in the order of the question; an object as the answer becomes its number."""
    regions = tuple(int(index) for index in re.findall(r"<(\d+)>", question))
    number = {index: place for place, index in enumerate(regions)}
    freeform = " ".join(
        capitalised(re.sub(r"<(\d+)>", lambda found: f"[Region {number[int(found[1])]}]", step))
        for step in steps
    )
    return Candidate(
        category=category,
        family=family,
        chained=len(steps) > 1 and family != "listed" if chained is None else chained,
        question=re.sub(r"<\d+>", "<mask>", question),
        regions=regions,
        answer=str(number[answer.index]) if isinstance(answer, Seen) else answer,
        freeform=freeform,
    )
