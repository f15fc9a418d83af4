"""Naming one object: directly, as the leftmost of its kind, or as the one closest to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from datamodules.rendered.levels import MARGIN_CLOSEST_M, MARGIN_CLOSEST_RATIO, MARGIN_SIDE
from datamodules.rendered.scene import Kind
from datamodules.rendered.sight import Seen
from datamodules.rendered.templates import CLOSEST_REFERENCES, EXTREME_REFERENCES, worded

CAMERA = Seen(-1, Kind.CLUTTER, 0.0, 0.0, 0.5)
"""The floor point below the camera, for distances to the camera."""

SIDES = ("left", "right")


@dataclass(frozen=True)
class Reference:
    """A phrase that names one object.

    Attributes:
        thing: the object that is meant.
        phrase: the words that name it.
        steps: sentences that find it, for the free-form answer.
        lists: the kinds of objects that the question has to list for the phrase to make sense.
        inline: objects that the phrase itself marks with a mask.
    """

    thing: Seen
    phrase: str
    steps: tuple[str, ...] = ()
    lists: frozenset[Kind] = frozenset()
    inline: tuple[Seen, ...] = ()


def marked(thing: Seen) -> str:
    """The object's mark in a text that is not numbered yet."""
    return f"<{thing.index}>"


def named(thing: Seen) -> str:
    """The object's kind and mark: "the pallet <3>"."""
    return f"the {thing.kind} {marked(thing)}"


def outermost(things: Sequence[Seen], side: str) -> Seen | None:
    """The leftmost or rightmost object, or None where another one is nearly as far out."""
    sign = 1 if side == "left" else -1
    ranked = sorted(things, key=lambda thing: sign * thing.centroid)
    if len(ranked) > 1 and abs(ranked[1].centroid - ranked[0].centroid) < MARGIN_SIDE:
        return None
    return ranked[0]


def closest(things: Sequence[Seen], target: Seen) -> Seen | None:
    """The object closest to a target on the floor, or None where another one is nearly as close."""
    ranked = sorted((thing.distance_m(target), thing.index, thing) for thing in things)
    if len(ranked) > 1:
        first, second = ranked[0][0], ranked[1][0]
        if second < max(first + MARGIN_CLOSEST_M, first * MARGIN_CLOSEST_RATIO):
            return None
    return ranked[0][2]


def direct(thing: Seen) -> Reference:
    """The object named by its mask."""
    return Reference(thing, named(thing), inline=(thing,))


def outermost_reference(
    random: Random, listed: Mapping[Kind, Sequence[Seen]], kind: Kind
) -> Reference | None:
    """ "The leftmost pallet": among the listed objects of a kind."""
    side = random.choice(SIDES)
    things = listed.get(kind, ())
    thing = outermost(things, side) if len(things) > 1 else None
    if thing is None:
        return None
    phrase = worded(random, EXTREME_REFERENCES[side], kind=kind)
    step = worded(
        random, ("{a} is {phrase}.", "{mark} is {phrase}."), a=named(thing), mark=marked(thing), phrase=phrase
    )
    return Reference(thing, phrase, (step,), frozenset({kind}))


def closest_reference(
    random: Random, listed: Mapping[Kind, Sequence[Seen]], kind: Kind, target: Reference
) -> Reference | None:
    """ "The buffer region closest to the shelf": among the listed objects of a kind."""
    things = listed.get(kind, ())
    thing = closest(things, target.thing) if len(things) > 1 else None
    if thing is None or target.thing in things:
        return None
    phrase = worded(random, CLOSEST_REFERENCES, kind=kind, target=target.phrase)
    step = f"{named(thing)} is the closest to {named(target.thing)}."
    return Reference(thing, phrase, (*target.steps, step), target.lists | {kind}, target.inline)
