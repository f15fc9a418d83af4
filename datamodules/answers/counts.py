"""Reading counts, the indices of regions, and sides."""

from __future__ import annotations

import re

from datamodules.answers.comparisons import asked_place, names_reference, placed
from datamodules.answers.final_answer import answer_spans, final_answer, sentences, without_markup
from datamodules.answers.forms import ExtractedAnswer
from datamodules.answers.grammar import WORDS, P
from datamodules.answers.numbers import in_digits, words_in_digits

SIDES = {
    **dict.fromkeys(["l", "left", "left side", "left-hand", "left hand"], "left"),
    **dict.fromkeys(["r", "right", "right side", "right-hand", "right hand"], "right"),
}
"""What the challenge's scorer takes for left and right."""

_ORDINALS = {word: str(number) for number, word in enumerate(WORDS["ordinals"])}
_SIGNS = {"左": "left", "右": "right"}
_OTHER = {"left": "right", "right": "left"}


def find_count(text: str, question: str = "") -> ExtractedAnswer[str] | None:
    """The count, as a number; None where there is none, or where several things are counted.

    A number that is declared ("the answer is 3", "3 in total", "2 + 1 = 3") goes before one that a sentence
    states. Lengths, the names of regions and the numbers of a list's lines are no counts.
    """
    answer = re.sub(r"\d\s*/\s*\d", "/", P["region name"].sub(" ", without_markup(final_answer(text))))
    answer = re.sub(r"\bsingle\b", "1", words_in_digits(in_digits(answer)), flags=re.IGNORECASE).strip()
    numbers = re.findall(r"\d+", answer) if P["list of numbers"].fullmatch(answer) else []
    if len(numbers) > 2 and numbers == [str(place) for place in range(1, len(numbers) + 1)]:
        return ExtractedAnswer(numbers[-1], "bare")
    none = any(P["none"].search(part.split(";")[0]) for part in sentences(answer))
    answer = P["no count"].sub("", answer).strip()
    if bare := P["bare count"].fullmatch(answer) or P["one thing"].fullmatch(answer):
        return ExtractedAnswer(re.sub(r"\.0+$", "", bare[1]) if bare.re.groups else "1", "bare")
    if declared := list(P["declared count"].finditer(answer)):
        return ExtractedAnswer(next(filter(None, declared[-1].groups())), "declared")
    leads = " . ".join(re.split(r"[:;]", part)[0] for part in sentences(answer))
    things = dict(P["counted thing"].findall(leads) or P["counted thing"].findall(answer))
    asked = {noun.rstrip("s") for noun in re.findall(r"\w{3,}", question.lower())} - {
        "how",
        "many",
        "are",
        "there",
    }
    named = [number for number, noun in things.items() if noun.lower().rstrip("s") in asked]
    if none or P["refused"].search(P["but"].split(answer)[-1]):
        return None if things or not none else ExtractedAnswer("0", "stated")
    if P["some of them"].search(leads):
        return None
    said = named[0] if len(named) == 1 and len(things) > 1 else ""
    if not said and len(things) == 1:
        found = P["stated count"].search(leads)
        said = next(filter(None, found.groups())) if found else ""
        said = said or (next(iter(things)) if len(sentences(answer)) == 1 else "")
    # "3 chairs; 2 are blue" does not say how many blue chairs there are.
    words = {*re.findall(r"\w+", question.lower())}
    others = [
        number for number, said_of in P["others are"].findall(answer) if words & {*said_of.lower().split()}
    ]
    return ExtractedAnswer(said, "stated") if said and not {*others} - {said} else None


def find_region(text: str, question: str = "") -> ExtractedAnswer[str] | None:
    """The index of the region, as digits; None where there is none, or where several are given.

    What is declared goes before what a sentence states, the last one first. Of several regions in a sentence
    the one that something "is" counts, else its subject.
    """
    answer = without_markup(final_answer(text))
    ordinal = P["ordinal"].match(answer)
    answer = words_in_digits(answer) if not ordinal else ordinal[2] or _ORDINALS[ordinal[1].lower()]
    if bare := P["bare region"].fullmatch(answer.strip()):
        return ExtractedAnswer(str(int(bare[1])), "bare")
    for form, part in answer_spans(answer):
        clauses = [P["region denied"].sub(" ", clause) for clause in re.split(r";|,\s*but\b", part)]
        found = {region for clause in clauses if (region := _region_in(clause))}
        if not found and form == "declared":
            found = {*re.findall(r"(?<![\w.-])\d+(?!\.?\d)", part)}
        if found or P["region"].search(part):
            return ExtractedAnswer(str(int(found.pop())), form) if len(found) == 1 else None
    return None


def _region_in(part: str) -> str | None:
    found = list(P["region"].finditer(part))
    numbers = [next(filter(None, match.groups())) for match in found]
    for match, number in zip(found, numbers, strict=True):
        if len({*numbers}) > 1 and P["something is"].search(part[: match.start()]):
            return number
    if not numbers or P["several regions"].search(part):
        return None
    refused = "is an object" if len({*numbers}) > 1 else "beside a region"
    return None if P[refused].search(part[: found[0].start()]) else numbers[0]


def find_side(text: str, question: str = "") -> ExtractedAnswer[str] | None:
    """The side, "left" or "right"; None when neither or both are named without a conclusion.

    A side that is only denied stands for the other one. With a question, "[Region 1] is on the right of
    [Region 0]" says left where it asks for region 0.
    """
    answer = without_markup(final_answer(text))
    bare = re.sub(r"^(?:to|on|at)\s+(?:the|its|his|her)\s+", "", answer.strip("\"'()[]<>.,!? \n").lower())
    if bare in SIDES:
        return ExtractedAnswer(SIDES[bare], "bare")
    answer = P["asked aside"].sub(" ", answer)
    if not re.search(r"\banswer\b", answer, re.IGNORECASE) and (asked := asked_place(question)):
        said = {place for part in sentences(answer) for place in placed(part, asked, ("left", "right"))}
        if said or names_reference(answer, asked):
            return ExtractedAnswer(said.pop(), "compared") if len(said) == 1 else None
    for form, part in answer_spans(P["no side"].sub(" ", answer)):
        whole, first = (
            _sides(said) for said in (part, re.split(r",\s*(?:which|while|whereas|and)\b", part)[0])
        )
        if form != "declared" and P["both sides"].search(part):
            return None
        if sides := whole if len(whole) == 1 else first:
            return ExtractedAnswer(sides.pop(), form) if len(sides) == 1 else None
    return None


def _sides(text: str) -> set[str]:
    denied, named = (
        {_SIGNS.get(side, side.lower()) for groups in found for side in groups if side}
        for found in (P["side denied"].findall(text), P["side"].findall(P["side denied"].sub(" ", text)))
    )
    return named or ({_OTHER[side] for side in denied} if len(denied) == 1 else set())
