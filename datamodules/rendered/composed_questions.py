"""Questions whose answer takes two or three steps, one after the other: each needs what the last one found.

"How many pallets are in the buffer region closest to the shelf on the left" takes two: the shelf on the left,
and the buffer region closest to it. The free-form answer takes them in this order, a sentence a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from datamodules.rendered import templates
from datamodules.rendered.candidates import (
    ASKED_KINDS,
    Candidate,
    Listed,
    candidate,
    group_phrases,
    opened,
    some,
)
from datamodules.rendered.levels import Level
from datamodules.rendered.questions import Family, counted, distance_between, with_distractors
from datamodules.rendered.references import (
    Reference,
    closest,
    closest_reference,
    direct,
    named,
    outermost_reference,
)
from datamodules.rendered.scene import Kind
from datamodules.rendered.sight import Seen, Sight
from datamodules.rendered.templates import worded

LISTED_PALLETS = (3, 9)
"""Fewest and most pallets that a question lists to choose from."""

MARKED_START = 0.25
"""Share of the chains that begin at an object with a mask of its own, and not at the outermost of a kind."""


def _which(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which pallet is the closest to the buffer region nearest to the leftmost shelf?"""
    depth = random.choice(level.depths)
    kinds = _kinds(random, depth + 1, random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER)))
    listed = _listing(random, sight)
    found = _chain(random, sight, listed, kinds[:-1], depth, {kinds[-1]})
    things = listed[kinds[-1]]
    if found is None or len(things) < 2:
        return
    target, passed = found
    best = closest(things, target.thing)
    if best is None or best in passed:
        return
    wording = worded(random, templates.CLOSEST, target=target.phrase)
    body = worded(random, templates.WHICH, kind=kinds[-1], best=wording)
    question = opened(random, group_phrases(listed, target.lists | {kinds[-1]}), body)
    steps = (*target.steps, f"{named(best)} is the closest to {named(target.thing)}.")
    yield candidate("mcq", "composed", question, steps, best, chained=True, depth=depth)


def _distance(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How far is the buffer region closest to the leftmost shelf from the transporter?"""
    depth = random.choice(level.depths)
    listed = _listing(random, sight)
    found = _chain(random, sight, listed, _kinds(random, depth, random.choice(ASKED_KINDS)), depth, set())
    if found is None:
        return
    first, passed = found
    # The other one has a mask of its own, and may not be listed a second time.
    others = [thing for thing in sight.seen if thing.kind not in first.lists and thing not in passed]
    if others:
        yield from distance_between(random, listed, first, direct(random.choice(others)), "composed", depth)


def _count(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """How many pallets are in the buffer region closest to the transporter nearest to the leftmost shelf?"""
    depth = random.choice(level.depths)
    listed = _listing(random, sight)
    bare = random.random() < level.bare_counts
    found = _chain(random, sight, listed, _kinds(random, depth, Kind.BUFFER), depth, {Kind.PALLET})
    inside = sight.pallets_inside.get(found[0].thing.index) if found else None
    if found is None or inside is None:
        return
    region, lists = found[0], found[0].lists
    bare = bare and Kind.PALLET not in lists
    if not bare and Kind.PALLET not in lists:
        masks = sum(len(listed[kind]) for kind in lists) + len(region.inline)
        listed[Kind.PALLET] = with_distractors(random, sight, inside, level.masks[1] - masks)
        lists = lists | {Kind.PALLET}
    if not bare and not (listed[Kind.PALLET] and set(inside) <= set(listed[Kind.PALLET])):
        return
    body = worded(random, templates.COUNT, region=region.phrase)
    question = opened(random, group_phrases(listed, lists), body)
    steps = (*region.steps, *counted(inside, region.thing, not bare))
    family = "composed bare" if bare else "composed"
    yield candidate("count", family, question, steps, len(inside), chained=True, depth=depth)


COMPOSED_FAMILIES: tuple[Family, ...] = (
    *(_which,) * 8,
    *(_distance,) * 6,
    *(_count,) * 8,
)


def _listing(random: Random, sight: Sight) -> dict[Kind, list[Seen]]:
    """The objects of every kind that a question may list, in random order: all, but only some pallets."""
    return {
        kind: some(random, things, LISTED_PALLETS if kind is Kind.PALLET else (len(things),) * 2)
        for kind in ASKED_KINDS
        for things in [sight.of(kind)]
    }


def _kinds(random: Random, number: int, last: Kind) -> list[Kind]:
    """So many kinds of objects of which none follows itself, up to a given last one."""
    kinds = [last]
    while len(kinds) < number:
        kinds.append(random.choice([kind for kind in ASKED_KINDS if kind is not kinds[-1]]))
    return kinds[::-1]


def _chain(
    random: Random, sight: Sight, listed: Listed, kinds: Sequence[Kind], depth: int, taken: set[Kind]
) -> tuple[Reference, set[Seen]] | None:
    """An object that so many steps lead to, one of each kind, and all objects on the way to it.

    Args:
        random: draws where the chain begins.
        sight: what is seen.
        listed: the objects of every kind that the question may list.
        kinds: the kind of object that each step finds.
        depth: how many steps there are.
        taken: kinds that the question lists anyway; no chain begins at a marked object of these.
    """
    others = [thing for thing in sight.seen if thing.kind not in {*kinds, *taken}]
    reference: Reference | None
    if others and random.random() < MARKED_START:
        reference, further = direct(random.choice(others)), kinds
    else:
        reference, further = outermost_reference(random, listed, kinds[0]), kinds[1:]
    passed = [reference.thing] if reference else []
    for kind in further:
        reference = closest_reference(random, listed, kind, reference) if reference else None
        if reference is None or reference.thing in passed:
            return None
        passed.append(reference.thing)
    if reference is None or len(reference.steps) != depth:
        return None
    return reference, set(passed)
