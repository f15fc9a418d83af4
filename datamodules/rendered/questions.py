"""Questions about one image, with answers that are true by construction (choices: see `choices.py`).

Every family of questions offers candidates; `selection.py` keeps those that balance the split. Definitions:

* left and right compare the horizontal centroids of the visible masks;
* the distance between two objects is the one between their footprint centres on the floor, in metres;
* a pallet is in a buffer region if its footprint centre lies inside, and only regions all of whose pallets
  are visible are asked about;
* comparisons are asked only where the right answer leads by the margins of `levels.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from datamodules.rendered import templates
from datamodules.rendered.candidates import (
    ASKED_KINDS,
    Candidate,
    Listed,
    candidate,
    enumeration,
    group_phrase,
    group_phrases,
    listing,
    opened,
    seen_inside,
    some,
)
from datamodules.rendered.choice_questions import (
    which_buffer,
    which_closest,
    which_closest_chained,
    which_outermost,
)
from datamodules.rendered.levels import MARGIN_SIDE, Level
from datamodules.rendered.references import (
    SIDES,
    Reference,
    closest_reference,
    direct,
    named,
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
"""How often every family tries to find a question about an image."""


Family = Callable[[Sight, Level, Random], Iterator[Candidate]]
"""Offers questions of one kind about an image."""


def candidates(sight: Sight, level: Level, random: Random, families: Sequence[Family]) -> list[Candidate]:
    """All questions of some families found about one image, without repetitions."""
    found: dict[tuple[str, str, tuple[int, ...]], Candidate] = {}
    fewest, most = level.masks
    for family in families:
        for _ in range(ATTEMPTS):
            for offered in family(sight, level, random):
                if fewest <= len(offered.regions) <= most:
                    key = (offered.category, offered.family, tuple(sorted(offered.regions)))
                    found.setdefault(key, offered)
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
    yield candidate("left_right", "pair", question, (answer,), side)


def _distance(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How far are two objects apart?"""
    kinds = random.choice(((Kind.PALLET, Kind.PALLET), (Kind.PALLET, None), (None, None)))
    first, second = (random.choice(pool) if (pool := _pool(sight, kind)) else None for kind in kinds)
    if first is not None and second is not None and first is not second:
        yield from distance_between(random, {}, direct(first), direct(second), "pair")


def _distance_chained(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How far is the rightmost pallet from the leftmost buffer region?"""
    listed = listing(random, sight, level)
    first = outermost_reference(random, listed, random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER)))
    second_kind = random.choice(ASKED_KINDS)
    second = outermost_reference(random, listed, second_kind)
    if second is None and listed[second_kind]:
        second = direct(random.choice(listed[second_kind]))
    if first is None or second is None or first.thing is second.thing:
        return
    # An object with a mask of its own may not be listed a second time.
    if not any(thing.kind in first.lists for thing in second.inline):
        yield from distance_between(random, listed, first, second, "chained")


def distance_between(
    random: Random,
    listed: Listed,
    first: Reference,
    second: Reference,
    family: str,
    depth: int | None = None,
) -> Iterator[Candidate]:
    """The distance between two objects, however they are named; not asked where they all but coincide.

    The depth is how many steps follow one another; where it is not given, each object is found on its own.
    """
    metres = round(first.thing.distance_m(second.thing), 2)
    if metres < LEAST_DISTANCE_M:
        return
    body = worded(random, templates.DISTANCE, a=first.phrase, b=second.phrase)
    lists = first.lists | second.lists
    question = opened(random, group_phrases(listed, lists), body) if lists else body
    answer = worded(
        random,
        templates.DISTANCE_ANSWERS,
        a=named(first.thing),
        b=named(second.thing),
        metres=f"{metres:.2f}",
    )
    steps = (*first.steps, *second.steps, answer)
    if depth is None:
        depth = max(len(first.steps), len(second.steps))
    yield candidate("distance", family, question, steps, metres, chained=bool(lists), depth=depth)


def _count(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How many of the listed pallets are in a buffer region?"""
    for region in sight.of(Kind.BUFFER):
        inside = sight.pallets_inside.get(region.index)
        if inside is None:
            continue
        pallets = with_distractors(random, sight, inside, level.masks[1] - 1)
        if not pallets:
            continue
        if random.random() < 0.5:
            question = sentence(
                random, templates.COUNT_OF, group=enumeration(random, pallets), region=named(region)
            )
        else:
            body = worded(random, templates.COUNT, region="the buffer region")
            question = opened(random, (group_phrase(pallets), named(region)), body)
        yield candidate("count", "listed", question, counted(inside, region, True), len(inside))


def _count_chained(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How many pallets are in the buffer region closest to the shelf on the right?"""
    listed = dict(listing(random, sight, level))
    listed[Kind.BUFFER] = some(random, sight.of(Kind.BUFFER), (2, 5))
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
    # Now and then the pallets are not listed: then they have to be found in the image.
    bare = random.random() < level.bare_counts
    if not bare:
        listed[Kind.PALLET] = with_distractors(random, sight, inside, level.masks[1] - masks)
        if not listed[Kind.PALLET]:
            return
        lists = lists | {Kind.PALLET}
    body = worded(random, templates.COUNT, region=region.phrase)
    question = opened(random, group_phrases(listed, lists), body)
    steps = (*region.steps, *counted(inside, region.thing, not bare))
    family = "bare" if bare else "chained"
    depth = len(region.steps)
    yield candidate("count", family, question, steps, len(inside), chained=True, depth=depth)


FAMILIES: tuple[Family, ...] = (
    _left_right,
    which_outermost,
    which_closest,
    which_closest_chained,
    which_buffer,
    _distance,
    _distance,
    _distance_chained,
    _count,
    _count_chained,
)


def _pool(sight: Sight, kind: Kind | None) -> Sequence[Seen]:
    """The objects of one kind, or all of them."""
    return sight.seen if kind is None else sight.of(kind)


def with_distractors(random: Random, sight: Sight, inside: Sequence[Seen], most: int) -> list[Seen]:
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


def counted(inside: Sequence[Seen], region: Seen, listed: bool) -> tuple[str, ...]:
    """The sentences that count the pallets in a region."""
    verb, noun = ("is", "pallet") if len(inside) == 1 else ("are", "pallets")
    total = f"{verb} exactly {templates.NUMBERS[len(inside)]} {noun}"
    if not listed:
        return (f"There {total} in {named(region)}.",)
    return (seen_inside(inside, region), f"So there {total}.")
