"""What a comparison in a text says of the thing that the question asks about.

"B is farther away" answers "which is closer?" as much as "A is closer" does, and nothing where a size is
asked for. So a comparison counts by the question's own word alone, and its opposite for the other side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from datamodules.answers.grammar import WORDS, P, one_of

_SCALES: list[list[list[str]]] = WORDS["scales"]
_ENDS = [tuple(map(one_of, scale)) for scale in _SCALES]
"""The patterns of both ends of each scale."""

_OPPOSITES = [
    *WORDS["places"],
    *([own, other] for scale in _SCALES for own in scale[0] for other in scale[1]),
]
_NO_NAMES = frozenset(WORDS["no names"])


class Comparison(NamedTuple):
    """By what is compared: patterns of its own words and of the opposite ones, and to what ("the camera")."""

    own: str
    opposite: str
    target: frozenset[str]


class Place(NamedTuple):
    """The words for the thing whose place a question asks for, and for the one that it is seen from."""

    subject: frozenset[str]
    reference: frozenset[str]


NEIGHBOURHOOD = 300
"""How many characters before a word are looked at for what it is said of."""

UNASKED = Comparison(one_of(_SCALES[0][0][:4]), "(?!)", frozenset())
"""By what a text without a question may compare: a place nearer to the viewer, and never the opposite."""


def asked_comparison(question: str) -> Comparison | None:
    """By what a question compares; None where it compares nothing, or by both ends of a scale."""
    found: dict[int, list[Comparison]] = {}
    for number, ends in enumerate(_ENDS):
        for own, opposite in (ends, ends[::-1]):
            if match := re.search(rf"\b{own}\b{P['elsewhere'].pattern}", question, re.IGNORECASE):
                target = P["target"].match(question, match.end())
                words = frozenset(target[1].lower().split()) if target else frozenset()
                found.setdefault(number, []).append(Comparison(own, opposite, words))
    clear = [several[0] for several in found.values() if len(several) == 1]
    return clear[0] if clear and len(clear) == len(found) else None


def compared(text: str, letters: str, asked: Comparison) -> frozenset[str]:
    """The letters that a text says it of that the question asks for; of two, its opposite for the other."""
    said: set[str] = set()
    words = re.compile(rf"\b(?:({asked.own})|{asked.opposite})\b{P['elsewhere'].pattern}", re.IGNORECASE)
    for clause in P["clause end"].split(P["asked aside"].sub(" ", text)):
        for word in words.finditer(clause):
            before = clause[max(0, word.start() - NEIGHBOURHOOD) : word.start()]
            target = P["target"].match(clause, word.end())
            if (
                P["open"].search(before)
                or P["only if"].search(clause)
                or (target and not _same({*target[1].lower().split()}, asked.target))
            ):
                continue
            subjects = [
                match
                for match in list(P["letter"].finditer(before))[-4:]
                if not P["no subject"].search(before[: match.start()])
            ]
            subject = subjects[-1] if subjects else P["behind the word"].match(clause, word.end())
            letter = next(filter(None, subject.groups())) if subject else ""
            if letter and letter in letters:
                is_own = bool(word[1]) != bool(P["less"].search(before))
                said |= {letter} if is_own else {*letters} - {letter} if len(letters) == 2 else set()
    return frozenset(said)


def _same(named: set[str], asked: frozenset[str]) -> bool:
    """Whether two comparisons are made to the same thing, which is the viewer where nothing is named."""
    viewers = {*WORDS["viewer"]}
    if named & viewers:
        return not asked or bool(asked & viewers)
    return bool((named & asked) - {"the", "this", "of", "in"})


def asked_place(question: str) -> Place | None:
    """Which thing's place a question asks for, and seen from which one; None where it does not ask so."""
    for number in range(question.count("<mask>")):
        question = question.replace("<mask>", f" region{number} ", 1)
    found = P["asked place"].search(_with_regions(question))
    return Place(_names(found[1]), _names(found[2])) if found else None


def placed(sentence: str, asked: Place, places: Iterable[str]) -> set[str]:
    """Where the asked thing is by a sentence, which may say it the other way round."""
    sentence = _with_regions(sentence)
    own, other = asked.subject - asked.reference, asked.reference - asked.subject
    said: set[str] = set()
    for clause in P["clause of a place"].split(sentence):
        named = [match for match in P["place"].finditer(clause) if match[1].lower() in places]
        if len({match[1].lower() for match in named}) != 1 or P["open"].search(clause[: named[0].start()]):
            continue
        place, before = named[0][1].lower(), re.findall(r"[^\W_]+", clause[: named[0].start()].lower())
        subjects = [word for word in before if word in own or word in other]
        if subjects and subjects[-1] in own:
            said.add(place)
        elif subjects and not own & {*subjects} and _names(clause[named[0].end() :]) & own:
            said |= {word for word in places if [place, word] in _OPPOSITES or [word, place] in _OPPOSITES}
    return said


def names_reference(text: str, asked: Place) -> bool:
    """Whether a text names the thing that the asked one is seen from: not all it says is of the asked one."""
    return bool(_names(_with_regions(text)) & (asked.reference - asked.subject))


def _with_regions(text: str) -> str:
    """A text whose regions are words: "[Region 1]" as region1."""
    return re.sub(r"\[?\bregion\s*(\d+)\]?", r" region\1 ", text, flags=re.IGNORECASE)


def _names(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", text.lower())) - _NO_NAMES
