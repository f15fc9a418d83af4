"""Reading the letter of a multiple-choice answer out of what a model wrote.

What a text says is looked for in this order, and the first place that says anything decides:

1. the answer block or box, if there is one: nothing outside of it is looked at;
2. the whole text: a letter, a choice, or a letter with its choice;
3. conclusions, the last one first: "Answer: B", "the answer is (B)", "I choose B", a last line "B";
4. a letter that the text starts with: "B) the chair", "(B), because ...";
5. what is said of a letter: "(B) is correct", "Point B, which ..., is closer";
6. a letter in brackets or an "option B", where the text has only one of them;
7. the words of a choice, where the text names only one: the longest match, of whole words.

A place that says two things at once says nothing that counts: the answer is unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from datamodules.choice_texts import DENIED, NEIGHBOURHOOD, NOTHING, ChoiceTexts, Letters, plain
from datamodules.conclusions import answer_part, sentences

_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")

# What is said not to be the answer: "not (A)", "neither A nor B", "(C) is wrong".
_NOUN = r"(?:answer|option|choice|letter|point|object|region|image)"
_LETTER = r"(?:\(([A-Z])\)|\[([A-Z])\]|\b([A-Z])\b(?!['-]\w))"
_RULED_OUT = re.compile(
    rf"{DENIED}\s+(?i:the\s+)?(?i:{_NOUN}\s+)?{_LETTER}"
    rf"|{_LETTER}(?=\s+(?:is|was|would be|seems|cannot be|can't be)\s+(?:not\b|incorrect|wrong|false))"
)

# What announces an answer. Between "answer" and "is" stands no other clause: "answer which one is ...".
_GAP = r"(?:(?!\b(?:which|what|whether|how|that|if|not)\b)[^.:;\n]){0,80}?"
_ANSWER_IS = re.compile(
    rf"(?:\bans(?:wers?)?\b(?!\s+(?:choices|options))|\bletter\b(?=\s+is\b)|\b(?:correct|right|best|final|likely|my)\s+(?:option|choice)\b)"
    rf"{_GAP}(?:\b(?:is|be|was)\b|[:=]|->|→|\s-\s)"
    r"|\banswer(?=\s*[(\[])"
    r"|\banswer(?=\s+[B-HJ-Z]\b)",
    re.IGNORECASE,
)
_I_CHOOSE = re.compile(
    r"\b(?:i|we)(?:'d|'ll|\s+would|\s+will)?\s+"
    r"(?:choose|pick|select|go\s+with|opt\s+for|say|guess|answer|think|believe)\b"
    r"(?:\s+(?:that|it's|it|is|the|answer|must|be)\b)*",
    re.IGNORECASE,
)
_IT_IS = re.compile(r"\b(?:it\s+is|it's|it\s+must\s+be)\b", re.IGNORECASE)
_SO = re.compile(r"(?:so|therefore|thus|hence|overall|finally|in conclusion)\b[,:]?\s*", re.IGNORECASE)
_CUES_READ = 20
"""How many of the last conclusions are looked at, for models that repeat themselves without end."""

_ANNOUNCED = re.compile(r".[\s:=\"']*", re.DOTALL)
_FILLER = re.compile(
    r"\A(?:[\s:=\"']|\b(?:is|be|the|either|both|most|likely|probably|clearly|simply|therefore"
    r"|answer|option|choice|letter|point)\b){0,20}",
    re.IGNORECASE,
)

_BRACKETED = re.compile(r"\(\s*([A-Za-z])\s*\)|\[\s*([A-Za-z])\s*\]")
_PUNCTUATED = re.compile(r"([A-Za-z])(?=[.):](?:\s|$)|[.!]?[\"']?\s*$)")
_BARE = re.compile(r"([A-Z])(?!\w)(?!['-]\w)(?!\s*&)")
# After the word "A" (or "I") stands what follows an answer, not what follows an article.
_NO_ARTICLE = re.compile(r"\s*(?:[.,;:!)\]\"'-]|\n|\(|$|(?:because|since|is|as|which|and|or)\b)")
_START = re.compile(r"([A-Z])(?=\s*(?:[,;!]|-\s|\n|\((?![A-Z]\))|(?:because|since)\b))")
_ALTERNATIVE = re.compile(rf"\s*(?:/|,|&|\bor\b|\band\b|,\s*or\b|,\s*and\b)\s*(?i:{_NOUN}\s+)?{_LETTER}")

_COMPARATIVE = (
    r"(?:close|near|far|furth|farth|large|bigg|small|tall|short|high|low|long|wide|narrow|deep|heavi|light"
    r"|bright|dark|fast|slow|thick|thinn)(?:r|st|er|est)|(?:more|most|less|least)\s+\w+"
)
_CLAIM = re.compile(
    rf"{_LETTER}(?:\s*\([^)]*\))?(?:,\s*(?:which|who|that)\b[^.;]{{0,200}}?,)?\s+"
    r"(?:is|are|appears?|seems?|looks|would|must|might|could|should|may)\b"
    r"(?:\s+(?:to\s+)?(?:be|clearly|likely|slightly|much|probably|actually|definitely|indeed|also))*\s+"
    rf"(?:the\s+)?(correct|best|true|answer|{_COMPARATIVE}|right(?=\s*(?:[.,!\n]|$|(?:answer|choice|option)\b)))"
    r"(?:\s+to\s+(?:the\s+)?(\w+))?"
)
_NO_SUBJECT = re.compile(rf"\b(?:than|of|to|from|and|or|whether|if)\s+(?:the\s+)?(?i:{_NOUN}s?\s+)?$")
_VERDICTS = ("correct", "best", "true", "answer", "right")

_FRAMED = re.compile(
    r"\(\s*([A-Z])\s*\)|\[\s*([A-Z])\s*\]|\b(?i:option|choice)(?:\s+|:\s*)([A-Z])\b|^\s*([A-Z])[.):](?=\s)",
    re.MULTILINE,
)
_LISTED = re.compile(r"\b([A-Z])(?:[):]|\.(?=\s+[a-z\d]))")
_SECOND_SIDE = re.compile(r"\b(?:than|compared\s+(?:to|with)|while|whereas|unlike)\b[^.!?\n]*", re.IGNORECASE)


def read_choice(text: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """The letter of the choice that a text decides for, upper case; None where it is unreadable.

    A letter that is named goes before the words beside it ("(B) left" is B, whatever B stands for). The
    article "a" and the pronoun "I" are no letters. A letter that is not among `letters`, two answers, words
    that two choices share, and a refusal are unreadable; nothing is ever guessed.

    Args:
        text: what the model wrote.
        letters: the letters that can be answered, such as "ABCD".
        choices: the texts of the choices in the order of `letters`; empty where they are not written.
    """
    text = answer_part(text)
    boxes = [box for box in _BOXED.findall(text) if box.strip()]
    text = plain(boxes[-1] if boxes else text)
    named = ChoiceTexts(letters, choices)
    found = _whole(text, named)
    if not found:
        text = _RULED_OUT.sub(" ", text)
        found = (
            _concluded(text, named)
            or _leading(text, letters)
            or _claimed(text, letters)
            or _framed(text, letters)
            or named.reasoned_in(text)
            or _claimed(named.as_letters(text), letters)
            or _named(text, named)
        )
    return next(iter(found)) if len(found) == 1 and found <= set(letters) else None


def _whole(text: str, named: ChoiceTexts) -> Letters:
    """A text that is nothing but a letter, a letter and its choice, or a choice."""
    bare = text.strip(" \t\n.,:;!?()[]\"'<>")
    if len(bare) == 1 and bare.upper() in named.letters:
        return frozenset(bare.upper())
    first = re.match(r"[(\[]?([A-Za-z])\b", text)
    if first and first[1].upper() in named.equal_to(text[first.end() :]):
        return frozenset(first[1].upper())
    # In "(A) dog" and "A. dog" the letter is no article.
    return NOTHING if _LISTED.match(text) or _BRACKETED.match(text) else named.equal_to(text)


def _concluded(text: str, named: ChoiceTexts) -> Letters:
    """What the last conclusion of a text says, the one before where that says nothing."""
    cues = sorted(
        [cue for pattern in (_IT_IS, _ANSWER_IS, _I_CHOOSE) for cue in pattern.finditer(text)],
        key=lambda cue: cue.end(),
    )
    for cue in cues[: -_CUES_READ - 1 : -1]:
        is_answer = cue.re is _ANSWER_IS
        announced = _ANNOUNCED.match(text, cue.end() - 1)
        assert announced is not None
        rest = text[announced.end() : announced.end() + NEIGHBOURHOOD]
        sentence = next(iter(sentences(rest)), "")
        if cue.re is not _IT_IS and (found := named.leading_in(sentence)):
            return found
        labelled = ":" in announced[0] or "=" in announced[0]
        found = _option_at(_FILLER.sub("", rest, count=1), lower_case=is_answer, article=labelled)
        if found or (is_answer and (found := named.named_in(sentence))):
            return found
    parts = sentences(text)
    if len(parts) > 1 and (last := re.fullmatch(r"[(\[]?([A-Z])[)\]]?[.!]?", parts[-1].strip())):
        return frozenset(last[1])
    for part in reversed(parts):
        if so := _SO.match(part):
            rest = part[so.end() :]
            found = _option_at(rest, whole=True) or named.named_in(_SECOND_SIDE.sub(" ", rest))
            if found:
                return found
    return NOTHING


def _option_at(text: str, *, lower_case: bool = False, article: bool = False, whole: bool = False) -> Letters:
    """The letter that a text starts with, with the letters it offers beside it ("A or B").

    Args:
        text: what follows a conclusion's announcement.
        lower_case: whether "b" stands for B.
        article: whether "a" at the very end stands for A.
        whole: whether a letter without brackets must be all there is.
    """
    if match := _BRACKETED.match(text):
        letter = match[1] or match[2]
    elif (
        (match := _PUNCTUATED.match(text))
        and (
            match[1].isupper()
            or (lower_case and (match[1] not in "ai" or article or match.end() < len(text.strip())))
        )
    ) or (
        not whole
        and (match := _BARE.match(text))
        and (match[1] not in "AI" or _NO_ARTICLE.match(text, match.end()))
    ):
        letter = match[1]
    else:
        return NOTHING
    found, end = {letter.upper()}, match.end()
    while other := _ALTERNATIVE.match(text, end):
        if other[3] in ("A", "I") and not _NO_ARTICLE.match(text, other.end()):
            break
        found.add(other[1] or other[2] or other[3])
        end = other.end()
    return frozenset(found)


def _leading(text: str, letters: str) -> Letters:
    """The letter that a text opens with, unless it goes on to list the choices or other letters."""
    match = re.match(
        r"\(\s*([A-Za-z])\s*\)|\[\s*([A-Za-z])\s*\]|([A-Za-z])[.):](?=\s)", text
    ) or _START.match(text)
    if match is None:
        return NOTHING
    letter = next(filter(None, match.groups())).upper()
    if _ALTERNATIVE.match(text, match.end()):
        return _option_at(text)
    first_line = text.partition("\n")[0]
    listed = re.findall(r"^\s*[(\[]?([A-Z])[.)\]:](?=\s)", text, re.MULTILINE)
    others = {*_framed(first_line, letters), *listed, *_LISTED.findall(first_line)} - {letter}
    return NOTHING if others & set(letters) else frozenset(letter)


def _claimed(text: str, letters: str) -> Letters:
    """The letter that is said to be correct, else the first that is said to be closer, larger, ...

    Where the same is said of two letters, both; "closer to the camera" and "closer to the wall" are not the
    same.
    """
    claims: list[tuple[str, str, str | None]] = []
    for claim in _CLAIM.finditer(text):
        letter = claim[1] or claim[2] or claim[3]
        if letter in letters and not _NO_SUBJECT.search(
            text[max(0, claim.start() - NEIGHBOURHOOD) : claim.start()]
        ):
            claims.append((letter, claim[4], claim[5]))
    verdicts = frozenset(letter for letter, said, _ in claims if said in _VERDICTS)
    if verdicts or not claims:
        return verdicts
    _, first, where = claims[0]
    return frozenset(
        letter for letter, said, to in claims if said == first and (to == where or None in (to, where))
    )


def _framed(text: str, letters: str) -> Letters:
    """All letters in brackets, and those called an option."""
    found = {next(filter(None, match.groups())) for match in _FRAMED.finditer(text)}
    return frozenset({*found, *_LISTED.findall(text)} if found else found) & set(letters)


def _named(text: str, named: ChoiceTexts) -> Letters:
    """The choices a text names; where it compares several, those on the first side of the comparisons."""
    found = named.named_in(text)
    return found if len(found) <= 1 else named.named_in(_SECOND_SIDE.sub(" ", text)) or found
