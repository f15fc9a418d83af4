"""The view that names the two things a question asks about in the other order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from datamodules.samples import LETTERS, AnswerType, SpatialSample
from datamodules.views.moved_letters import answer_text, names_letters
from datamodules.views.own_words import own_words
from datamodules.views.region_names import labelled, labels_in, renamed, unlabelled
from datamodules.views.view import NotApplicable, View
from datamodules.views.wordings import Split, Wording, splits

_LISTS = yaml.safe_load(Path(__file__).with_name("swapped_order.yaml").read_text("utf-8"))
_OPPOSITE, _SAME, _REASONINGS = (
    tuple(map(Wording, _LISTS[name])) for name in ("opposite", "same", "reasonings")
)
_OPPOSITES: Mapping[str, str] = _LISTS["opposites"] | {b: a for a, b in _LISTS["opposites"].items()}
_LEANING = re.compile(rf"\b(?:{'|'.join(_LISTS['leaning'])})\b", re.IGNORECASE)
_EXCHANGED = {"a": "b", "b": "a", "x": "y", "y": "x"}
_THING = re.compile(r"(?:the|a|an|this)\b|\[Region", re.IGNORECASE)
_LONGEST_THING = 12
_ORDER_WORDS = re.compile(r"\b(?:the first|the second|former|latter|respectively)\b", re.IGNORECASE)


@dataclass(frozen=True)
class SwappedOrder(View):
    """The two things that a question asks about change places, and the truth follows.

    "Is the chair left or right of the lamp?" asks for the opposite when the lamp is named first; how far they
    are apart, and which of two is nearer, stays. Choices keep their order, and the answer's letter moves.
    The i-th `<mask>` still names the i-th region: the regions change places as well, and the reasoning
    follows or, where that cannot be said truly, is left out. Which questions have two things to swap is said
    in `swapped_order.yaml`. Solved examples stay as they are.

    Raises, of a sample:
        NotApplicable: it has none of these wordings, one of the things is named by the other, or its answer
            does not tell the answer of the swapped question (a "no" may mean that neither is on that side).
    """

    moves_truth = True

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with its two things in the other order."""
        asked = labelled(sample.question)
        for wordings, opposite in ((_OPPOSITE, True), (_SAME, False)):
            for split in splits(asked):
                for wording in wordings:
                    slots = wording.asks(split.body, answer_text(sample))
                    if slots and (not opposite or _are_things(slots)):
                        return _swapped(sample, split, wording, slots, opposite)
        raise NotApplicable.to(
            sample, "asked in the other order", "its wording is not known to swap two things"
        )


def _swapped(
    sample: SpatialSample, split: Split, wording: Wording, slots: dict[str, str], opposite: bool
) -> SpatialSample:
    """The sample with the slots `a` and `b` of its wording exchanged."""
    _require_two_things(sample, slots)
    question, order = unlabelled(split.with_body(wording.write(_exchanged(slots))))
    # Regions that are named in other ways, by `BoxesInText`, keep their places and their names.
    regions = tuple(sample.regions[index] for index in order) if sample.regions and order else sample.regions
    return sample.replace(
        question=question,
        prompt=own_words(sample, question, sample.choices),
        regions=regions,
        boxes=(),  # they stand in the order in which the question named them
        answer=_opposite_answer(sample, slots) if opposite else sample.answer,
        rationale=renamed(_reasoning(sample.rationale, opposite), order),
    )


def _require_two_things(sample: SpatialSample, slots: Mapping[str, str]) -> None:
    """Raise `NotApplicable` where `a` and `b` are not two things that can be named in any order."""
    a, b = slots["a"], slots["b"]
    marks = labels_in(a), labels_in(b)
    of_all = sample.question.count("<mask>")
    if of_all and ((len(marks[0]), len(marks[1])) != (1, 1) or of_all != 2):
        raise NotApplicable.to(
            sample, "asked in the other order", "it names more regions than its two things"
        )
    if of_all and sample.regions and len(sample.regions) != of_all:
        raise NotApplicable.to(sample, "asked in the other order", "it has other regions than it names")
    if _LEANING.search(f"{a}\n{b}") or a == b:
        raise NotApplicable.to(sample, "asked in the other order", "one of its things is named by the other")
    if any(len(thing.split()) > _LONGEST_THING for thing in (a, b)):
        raise NotApplicable.to(
            sample, "asked in the other order", "its wording is not known to swap two things"
        )


def _are_things(slots: Mapping[str, str]) -> bool:
    """Whether what is asked of begins as a thing does: "is there room on the left of" asks of none."""
    return all(_THING.match(slots[name]) for name in ("a", "b"))


def _exchanged(slots: Mapping[str, str]) -> dict[str, str]:
    return {name: slots[_EXCHANGED.get(name, name)] for name in slots}


def _opposite_answer(sample: SpatialSample, slots: Mapping[str, str]) -> str | None:
    """What is true of `b` as seen from `a`; raises `NotApplicable` where that does not follow."""
    if sample.answer is None:
        return None
    opposites = {**_OPPOSITES, "yes": "no"} if "side" in slots else _OPPOSITES
    if sample.answer_type is not AnswerType.LETTER:
        return _opposite_text(sample, sample.answer, opposites)
    if not sample.choices:
        raise NotApplicable.to(sample, "asked in the other order", "its choices are drawn in the image")
    wanted = _opposite_text(sample, answer_text(sample) or "", opposites)
    places = [index for index, choice in enumerate(sample.choices) if choice.lower() == wanted.lower()]
    if len(places) != 1 or names_letters(sample.letters, "\n".join(sample.choices)):
        raise NotApplicable.to(
            sample, "asked in the other order", "its choices do not hold the opposite answer once"
        )
    return LETTERS[places[0]]


def _opposite_text(sample: SpatialSample, text: str, opposites: Mapping[str, str]) -> str:
    """The opposite side; where a side is asked for, that of "yes" is "no", and that of "no" nobody knows."""
    for form in (str.lower, str.capitalize, str.upper):
        if form(text) == text and text.lower() in opposites:
            return form(opposites[text.lower()])
    raise NotApplicable.to(
        sample, "asked in the other order", "its answer does not tell that of the other order"
    )


def _reasoning(rationale: str, opposite: bool) -> str:
    """The reasoning with its things exchanged; "" where that cannot be said truly."""
    if not opposite:
        return "" if _ORDER_WORDS.search(rationale) else rationale
    for split in splits(rationale):
        for wording in _REASONINGS:
            if slots := wording.read(split.body):
                swapped = _exchanged(slots) | {"side": _OPPOSITES[slots["side"]]}
                return split.with_body(wording.write(swapped))
    return ""
