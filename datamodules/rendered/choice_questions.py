"""Multiple-choice questions: the answer is one of the regions that the question names."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from datamodules.rendered import templates
from datamodules.rendered.candidates import (
    ASKED_KINDS,
    Candidate,
    candidate,
    enumeration,
    group_phrase,
    group_phrases,
    listing,
    opened,
    seen_inside,
    some,
)
from datamodules.rendered.levels import Level
from datamodules.rendered.references import (
    CAMERA,
    SIDES,
    closest,
    closest_reference,
    named,
    outermost,
    outermost_reference,
)
from datamodules.rendered.scene import Kind
from datamodules.rendered.sight import Sight
from datamodules.rendered.templates import sentence, worded


def which_outermost(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which of some objects is the leftmost?"""
    kind = random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER, Kind.SHELF))
    things = some(random, sight.of(kind), level.choices)
    side = random.choice(SIDES)
    best = outermost(things, side) if len(things) > 1 else None
    if best is None:
        return
    wording = worded(random, templates.EXTREMES[side])
    question = sentence(random, templates.WHICH_OF, group=enumeration(random, things), best=wording)
    answer = worded(random, templates.EXTREME_ANSWERS[side], a=named(best))
    yield candidate("mcq", f"{side}most", question, (answer,), best)


def which_closest(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which of some objects is the closest to another object, or to the camera?"""
    kind = random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER))
    things = some(random, sight.of(kind), level.choices)
    others = [thing for thing in sight.seen if thing.kind is not kind]
    if len(things) < 2 or not others:
        return
    target = random.choice(others)
    to_camera = random.random() < 0.2
    best = closest(things, CAMERA if to_camera else target)
    if best is None:
        return
    goal = "the camera" if to_camera else named(target)
    if to_camera or random.random() < 0.5:
        wording = worded(random, templates.CLOSEST, target=goal)
        question = sentence(random, templates.WHICH_OF, group=enumeration(random, things), best=wording)
    else:
        # The target is listed in front of the question, which then only names its kind.
        aim = f"the {target.kind}"
        body = worded(random, templates.WHICH, kind=kind, best=worded(random, templates.CLOSEST, target=aim))
        if kind is Kind.PALLET and target.kind is Kind.TRANSPORTER and random.random() < 0.5:
            body = worded(random, templates.PICK_UP, transporter=aim)
        question = opened(random, (group_phrase(things), goal), body)
    yield candidate("mcq", "closest", question, (f"{named(best)} is the closest to {goal}.",), best)


def which_closest_chained(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
    """Which pallet is the closest to the shelf on the right?"""
    kind = random.choice((Kind.PALLET, Kind.PALLET, Kind.BUFFER))
    listed = listing(random, sight, level)
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
    question = opened(random, group_phrases(listed, target.lists | {kind}), body)
    answer = f"{named(best)} is the closest to {named(target.thing)}."
    depth = len(target.steps)
    steps = (*target.steps, answer)
    yield candidate("mcq", "closest chained", question, steps, best, chained=True, depth=depth)


def which_buffer(sight: Sight, level: Level, random: Random) -> Iterator[Candidate]:
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
        question = opened(random, group_phrases(listed, frozenset(listed)), body)
        steps = [
            seen_inside(sight.pallets_inside[region.index], region)
            for region in regions
            if sight.pallets_inside[region.index]
        ]
    else:
        question = sentence(random, templates.BUFFER_WHICH_OF, group=enumeration(random, regions), does=does)
        steps = []
    yield candidate("mcq", family, question, (*steps, f"{named(best)} {does}."), best)
