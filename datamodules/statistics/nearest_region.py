"""Which regions a warehouse question lets one choose from, and to what the right one is nearest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from datamodules.samples import MASK_PLACEHOLDER

_MASK = re.escape(MASK_PLACEHOLDER)
_KIND = r"(?:pallet|shel(?=f|v)|transporter|buffer)"
_NAMED = re.compile(rf"{_MASK}|\b{_KIND}")
_NEAREST_TO = re.compile(r"\b(?:closest|nearest) to the (.+?)[?.]?")
_PICK_UP = re.compile(r"which pallet .*\bpick(?:ed)?[ -]?up\b.*[?.]?")
_CAMERA = re.compile(r"camera|viewer|viewpoint")
_THING = re.compile(rf"({_KIND})(?:f|ves)?(?: region)?( {_MASK})?")


@dataclass(frozen=True)
class NearestQuestion:
    """A question for the nearest of some regions.

    Attributes:
        candidates: the regions to choose from, at least two, by their numbers.
        target: the region that one of them is nearest to; None for the camera.
    """

    candidates: tuple[int, ...]
    target: int | None


def nearest_question(question: str) -> NearestQuestion | None:
    """What a question for the nearest region asks, or None where it asks for something else.

    Questions whose target has to be found first ("the pallet closest to the leftmost shelf") are left out:
    there, height is not all that misleads. Which pallet a transporter should pick up asks for the nearest to
    it.

    Args:
        question: its text, in which the i-th `<mask>` names the i-th region.
    """
    text = question.strip().lower()
    kinds = _kinds_of_masks(text)
    if found := _NEAREST_TO.search(text):
        goal = _NEAREST_TO.fullmatch(text, found.start())
        return None if goal is None else _nearest_to(goal[1], kinds)
    return _chosen(kinds, "transporter") if _PICK_UP.search(text) else None


def _nearest_to(goal: str, kinds: list[str]) -> NearestQuestion | None:
    """The question for what is nearest to what these words name, of regions of these kinds."""
    if _CAMERA.fullmatch(goal):
        return NearestQuestion(tuple(range(len(kinds))), None) if _are_choices(kinds) else None
    thing = _THING.fullmatch(goal)
    if thing is None:
        return None
    if thing[2] is None:
        return _chosen(kinds, thing[1])
    *others, _ = kinds
    return NearestQuestion(tuple(range(len(others))), len(others)) if _are_choices(others) else None


def _chosen(kinds: list[str], target: str) -> NearestQuestion | None:
    """The question for what is nearest to the only region of a kind, of all others."""
    if kinds.count(target) != 1:
        return None
    place = kinds.index(target)
    candidates = tuple(number for number in range(len(kinds)) if number != place)
    return NearestQuestion(candidates, place) if _are_choices([kinds[each] for each in candidates]) else None


def _are_choices(kinds: list[str]) -> bool:
    """Whether regions of these kinds are to be chosen from: several, and all of one kind."""
    return len(kinds) > 1 and len(set(kinds)) == 1


def _kinds_of_masks(text: str) -> list[str]:
    """The kind of every `<mask>` in a text: what is named last before it, or "" where nothing is."""
    kinds, last = [], ""
    for found in _NAMED.finditer(text):
        if found[0] == MASK_PLACEHOLDER:
            kinds.append(last)
        else:
            last = found[0]
    return kinds
