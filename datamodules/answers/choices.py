"""Reading the letter of a multiple-choice answer out of what a model wrote.

The forms of an answer are tried from the surest to the weakest (`forms.FORMS`), and the first place that says
anything decides. A place that says two things at once says nothing that counts: the answer is unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from datamodules.answers.choice_texts import NOTHING, ChoiceTexts, Letters
from datamodules.answers.comparisons import (
    NEIGHBOURHOOD,
    UNASKED,
    Comparison,
    asked_comparison,
    asked_place,
    compared,
    placed,
)
from datamodules.answers.counts import find_count
from datamodules.answers.final_answer import final_answer, sentences, without_markup
from datamodules.answers.forms import ExtractedAnswer
from datamodules.answers.grammar import P

_CUES_READ = 20
"""How many of the last conclusions are looked at, for models that repeat themselves without end."""

FEW_WORDS, MORE_WORDS = 2, 40
"""How many words may stand beside the only choice named, where a comparison is asked for and elsewhere."""

_YES_NO = {
    "yes": "yes",
    "yep": "yes",
    "yeah": "yes",
    "correct": "yes",
    "true": "yes",
    "no": "no",
    "nope": "no",
    "false": "no",
}


def find_choice(
    text: str, letters: str, choices: Sequence[str] = (), question: str = ""
) -> ExtractedAnswer[str] | None:
    """The letter of the choice that a text decides for, upper case, and by which form it was read.

    A letter that is named goes before the words beside it ("(B) left" is B, whatever B stands for). The
    article "a" and the pronoun "I" are no letters. A letter that is not among `letters`, two answers, words
    that two choices share, and a refusal are unreadable; nothing is ever guessed.

    Args:
        text: what the model wrote.
        letters: the letters that can be answered, such as "ABCD".
        choices: the texts of the choices in the order of `letters`; empty where they are not written.
        question: what was asked. "B is farther away" answers a question for the closer one, and nothing
            where it is not known what is asked for.
    """
    turns = [without_markup(turn) for turn in P["turn"].split(final_answer(text)) if turn.strip()]
    named = ChoiceTexts(letters, choices)
    readings = [_of_turn(turn, named, question) for turn in turns]
    return readings[0] if readings and len({reading and reading.value for reading in readings}) == 1 else None


def _of_turn(text: str, named: ChoiceTexts, question: str) -> ExtractedAnswer[str] | None:
    bare, said, letters = P["hedged"].sub("", text), P["ruled out"].sub(" ", text), named.letters
    bare = text if bare.strip(" .,!") in ("", "a", "i") else bare  # "I think a" is cut off
    starts = [re.match(r"([A-Za-z]+)\s*(?:[.,!;:\n-]|$)", part) for part in (said, *sentences(said)[-1:])]
    replies = {_YES_NO.get(start[1].lower(), "") for start in starts if start} - {""}
    compares = asked_comparison(question)
    asked = compares or (None if question else UNASKED)
    for form, find in (
        ("bare", lambda: _whole(text, named) or _whole(bare, named)),
        ("declared", lambda: _concluded(said, named)),
        ("opening", lambda: _opening(said, letters) or _opening(P["ruled out"].sub(" ", bare), letters)),
        ("verdict", lambda: _verdicts(said, letters) or _verdicts(named.as_letters(said), letters)),
        ("framed", lambda: _framed(said, letters)),
        (
            "opening",
            lambda: named.leading_in(said, reasoned=True) or NOTHING.union(*map(named.equal_to, replies)),
        ),
        ("stated", lambda: _counted(text, named, question)),
        ("compared", lambda: _placed(said, named, question)),
        (
            "compared",
            lambda: (
                (compared(said, letters, asked) or compared(named.as_letters(said), letters, asked))
                if asked
                else NOTHING
            ),
        ),
        ("named", lambda: _named(said, named, compares)),
    ):
        if found := find():
            return (
                ExtractedAnswer(next(iter(found)), form) if len(found) == 1 and found <= {*letters} else None
            )
    return None


def _whole(text: str, named: ChoiceTexts) -> Letters:
    """A text that is nothing but a letter, a letter and its choice, or a choice."""
    bare = text.strip(" \t\n.,:;!?()[]\"'<>")
    if len(bare) == 1 and bare.upper() in named.letters:
        return frozenset(bare.upper())
    first = re.match(r"[(\[]?([A-Za-z])\b", text)
    if first and first[1].upper() in named.equal_to(text[first.end() :]):
        return frozenset(first[1].upper())
    # In "(A) dog" and "A. dog" the letter is no article.
    return NOTHING if P["listed"].match(text) or P["bracketed"].match(text) else named.equal_to(text)


def _concluded(text: str, named: ChoiceTexts) -> Letters:
    """What the last conclusion of a text says, the one before where that says nothing."""
    cues = sorted(
        (cue for pattern in (P["it is"], P["announced"], P["chosen"]) for cue in pattern.finditer(text)),
        key=lambda cue: (cue.re is not P["it is"], cue.end()),
    )
    for cue in cues[: -_CUES_READ - 1 : -1]:
        is_answer = cue.re is P["announced"]
        rest = text[cue.end() : cue.end() + NEIGHBOURHOOD].lstrip(" \t\n:=>\"'")
        sentence = next(iter(sentences(rest)), "")
        before = text[max(0, cue.start() - NEIGHBOURHOOD) : cue.start()]
        if P["supposed"].search(before) or (
            cue.re is P["it is"] and P["only if"].search(cue[0] + " " + sentence)
        ):
            continue
        if cue.re is P["chosen"] and P["described"].match(rest):
            continue
        if cue.re is not P["it is"] and (found := named.leading_in(sentence)):
            return found
        if (
            is_answer
            and len(sentence) > 2
            and not P["opening"].match(sentence)
            and (found := named.equal_to(sentence))
        ):
            return found
        found = _option_at(
            P["filler"].sub("", rest, count=1), is_answer, article=cue[0].rstrip(" \"'")[-1:] in (":", "=")
        )
        if found or (is_answer and (found := named.named_in(sentence))):
            return found
    parts = sentences(text)
    if len(parts) > 1 and (last := re.fullmatch(r"[(\[]?([A-Z])[)\]]?[.!]?", parts[-1].strip())):
        return frozenset(last[1])
    whole = [found for part in parts if (found := named.equal_to(part))]
    listed = P["listed"].search(text)
    if len(parts) > 1 and not listed and len(whole) == 1 and whole[0] == named.equal_to(parts[-1]):
        return whole[0]
    for part in reversed(parts):
        for so in reversed(list(P["so"].finditer(part))[-_CUES_READ:]):
            rest = part[so.end() :]
            found = _option_at(P["filler"].sub("", rest, count=1), whole=True) or named.equal_to(rest)
            if found or (
                not P["any comparison"].search(rest)
                and (found := named.named_in(P["second side"].sub(" ", rest)))
            ):
                return found
    return NOTHING


def _option_at(text: str, lower_case: bool = False, *, article: bool = False, whole: bool = False) -> Letters:
    """The letter that a text starts with, with the letters it offers beside it ("A or B").

    Args:
        text: what follows a conclusion's announcement.
        lower_case: whether "b" stands for B.
        article: whether "a" at the very end stands for A.
        whole: whether a letter without brackets must be all there is.
    """
    match = P["bracketed"].match(text) or P["punctuated"].match(text)
    if match and match.re is P["punctuated"] and match[1].islower():
        at_end = match[1] in "ai" and not article and match.end() >= len(text.strip())
        match = None if at_end or not lower_case else match
    match = match or (None if whole else P["bare letter"].match(text))
    if match is None:
        return NOTHING
    found, end = {next(filter(None, match.groups())).upper()}, match.end()
    while other := P["alternative"].match(text, end):
        found.add(next(filter(None, other.groups())))
        end = other.end()
    return frozenset(found)


def _opening(text: str, letters: str) -> Letters:
    """The letter that a text opens with, unless it goes on to list the choices or other letters."""
    match = P["opening"].match(text)
    if match is None:
        return NOTHING
    letter = next(filter(None, match.groups())).upper()
    if P["alternative"].match(text, match.end()):
        return _option_at(text)
    first_line = text.partition("\n")[0]
    listed = P["first of a line"].findall(text)
    others = {*_framed(first_line, letters), *listed, *P["listed"].findall(first_line)} - {letter}
    return NOTHING if others & {*letters} else frozenset(letter)


def _verdicts(text: str, letters: str) -> Letters:
    """The letters that are said to be correct, to fit, or to make sense."""
    return frozenset(
        letter
        for claim in P["verdict"].finditer(text)
        if (letter := claim[1] or claim[2] or claim[3]) in letters
        and not P["no subject of a verdict"].search(
            text[max(0, claim.start() - NEIGHBOURHOOD) : claim.start()]
        )
    )


def _framed(text: str, letters: str) -> Letters:
    """All letters in brackets, and those called an option."""
    found = {next(filter(None, match.groups())) for match in P["framed"].finditer(text)}
    return frozenset({*found, *P["listed"].findall(text)} if found else found) & {*letters}


def _counted(text: str, named: ChoiceTexts, question: str) -> Letters:
    """The choice that is the count a text states, where all are numbers; "?" where it is none of them."""
    found = find_count(text, question) if named.are_numbers and not P["vague"].search(text) else None
    return named.equal_to(found.value) or frozenset("?") if found else NOTHING


def _placed(text: str, named: ChoiceTexts, question: str) -> Letters:
    """The choice that is the place in which a text says the asked thing is."""
    found = ((P["place"].search(" ".join(words)), letters) for words, letters in named.letters_of.items())
    places = {place[1]: letters for place, letters in found if place}
    if (asked := asked_place(question)) is None or len(places) < 2:
        return NOTHING
    return NOTHING.union(
        *(places[place] for part in sentences(text) for place in placed(part, asked, places))
    )


def _named(text: str, named: ChoiceTexts, asked: Comparison | None) -> Letters:
    """The only choice that a short text names, where it denies, compares and relates nothing."""
    found = [] if named.are_numbers else named.mentions(text)
    for start, end, _ in found:
        relates = P["place"].search(text, start, end) or P["any comparison"].search(text, start, end)
        if relates and P["seen from"].match(text, end):
            return NOTHING
    beside = named.without_mentions(text)
    claims = len(beside.split()) > (FEW_WORDS if asked else MORE_WORDS)
    if claims or P["any comparison"].search(beside) or P["negative"].search(beside):
        return NOTHING
    return NOTHING.union(*(letters for _, _, letters in found))
