"""Taking SpaceThinker's texts apart: chat template, reasoning and answer tags, the kind of question."""

from __future__ import annotations

import re
from typing import Any

from datamodules.answers.final_answer import stated_answer
from datamodules.samples import AnswerType, DataError

TASKS = ("distance", "size", "count", "relation", "other")
"""The kinds of question; the data set does not name them, see `task_of`."""

_USER_TURN = re.compile(
    r"<\|start_header_id\|>\s*user\s*<\|end_header_id\|>(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL
)
_SPECIAL = re.compile(r"<\|[^|]*\|>")
_IMAGE_PLACEHOLDER = re.compile(r"<image>|<\|image\|>")
_THINK = re.compile(r"<think(?:ing)?>(.*)</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_UNENDED_THINK = re.compile(r"<think(?:ing)?>(.*?)(?:(?=<answer>)|\Z)", re.DOTALL | re.IGNORECASE)

_UNIT = r"(?:(?:centi|milli|kilo)?met(?:er|re)s?|cm|mm|km|m|feet|foot|ft|inch(?:es)?|in|yards?|yd)"
_LENGTH = re.compile(rf"\d\s*(?:{_UNIT}\b|[\"'\u2032\u2033\u2019\u201d])", re.IGNORECASE)
_BARE_NUMBER = re.compile(
    r"\d+(?:\.\d+)?|zero|one|two|three|four|five|six|seven|eight|nine|ten", re.IGNORECASE
)

_COUNT = re.compile(rf"\bhow many\b(?!\s+{_UNIT}\b)|\bnumber of\b|\bcount\b", re.IGNORECASE)
_COMPARED = re.compile(
    r"\b(?:than|left|right|above|below|under|beneath|behind|in front|facing|closer|closest|nearer|nearest|"
    r"farther|farthest|further|furthest|taller|tallest|shorter|shortest|wider|widest|narrower|bigger|biggest|"
    r"larger|largest|smaller|smallest|higher|highest|lower|lowest|longer|longest|thinner|next to|"
    r"in relation to|relative to)\b",
    re.IGNORECASE,
)
_ASKS_FOR_NUMBER = re.compile(
    r"\bhow (?:far|close|near|tall|wide|high|long|big|large|deep|thick|much|many)\b"
    r"|\bwhat(?:'s|\s+is|\s+are|\s+would be)?\s+(?:the\s+)?(?:\w+\s+){0,3}"
    r"(?:distance|height|width|length|depth|size|gap|diameter|dimensions)\b"
    r"|\b(?:measure|estimate|approximate)\b",
    re.IGNORECASE,
)
_DISTANCE = re.compile(
    r"\bdistances?\b|\bapart\b|\bhow (?:far|close|near)\b|\baway\b|\bgap\b|\bspace between\b|"
    r"\bseparat\w*|\bbetween\b|\bclearance\b",
    re.IGNORECASE,
)
_SIZE = re.compile(
    r"\bhow (?:tall|wide|high|long|big|large|deep|thick)\b|"
    r"\b(?:tall|wide|height|width|length|depth|size|thickness|diameter|radius|dimensions?|measures?)\b",
    re.IGNORECASE,
)


def user_text(row: dict[str, Any], where: str) -> tuple[str, str]:
    """The question without template and image placeholder, and what the assistant wrote in reply, if it did.

    Args:
        row: has `input` and `output`, or `messages` (turns of `role` and `content`, the content a text or a
            list of parts).
        where: what to call the row in messages.

    Raises:
        DataError: there is no question.
    """
    wrapped, output = row.get("input"), row.get("output")
    for name, value in (("input", wrapped), ("output", output)):
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{where} has an `{name}` that is no text: {value!r:.60}. Repair or remove the row."
            )
    if not wrapped or not output:
        turns = _turns(row.get("messages"), where)
        wrapped, output = wrapped or turns.get("user"), output or turns.get("assistant")
    if not wrapped:
        raise DataError(
            f"{where} has no question: it needs `input`, or `messages` with a user's turn. Repair or remove "
            "the row."
        )
    turn = _USER_TURN.search(wrapped)
    question = _IMAGE_PLACEHOLDER.sub("", turn[1] if turn else wrapped).strip()
    if not question or _SPECIAL.search(question):
        raise DataError(
            f"{where} has an `input` in which no user's question can be found: {wrapped[:120]!r}. Repair or "
            "remove the row."
        )
    return question, output or ""


def _turns(messages: object, where: str) -> dict[str, str]:
    """What each role says last."""
    if messages is None:
        return {}
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        raise DataError(
            f"{where} has `messages` that are no turns of `role` and `content`: {messages!r:.60}. Repair or "
            "remove the row."
        )
    return {str(turn.get("role")): _content(turn.get("content")) for turn in messages}


def reasoning_text(output: str) -> str:
    """What stands in the `<think>` tag, up to the last `</think>` or to an answer; "" without one."""
    found = _THINK.search(output) or _UNENDED_THINK.search(output)
    return found[1].strip() if found else ""


def answer_text(output: str, where: str) -> str:
    """The answer that a reply states, found by the same rule as in what a model writes: `stated_answer`.

    Raises:
        DataError: there is no answer.
    """
    answer = stated_answer(output)
    if not answer:
        raise DataError(f"{where} has a reply without an answer in `<answer>`. Repair or remove the row.")
    return answer


def task_of(question: str) -> str:
    """The kind of question, from its words.

    How many of something is a count. What compares or names a side, and does not ask for a measure, is a
    relation. Among the measures, what lies between things is a distance and what belongs to one thing a size.
    """
    if _COUNT.search(question):
        return "count"
    if _COMPARED.search(question) and not _ASKS_FOR_NUMBER.search(question):
        return "relation"
    if _DISTANCE.search(question):
        return "distance"
    if _SIZE.search(question) or _ASKS_FOR_NUMBER.search(question):
        return "size"
    return "other"


def answer_type_of(answer: str, task: str) -> AnswerType:
    """The answer's form: a length with its unit (or a range of them), a bare number, or else text."""
    if _LENGTH.search(answer) and task not in ("relation", "count"):
        return AnswerType.DISTANCE
    return AnswerType.COUNT if _BARE_NUMBER.fullmatch(answer.rstrip(".")) else AnswerType.TEXT


def form_of(task: str) -> AnswerType:
    """The form that answers to a kind of question have, where the answer itself is not known."""
    forms = {"distance": AnswerType.DISTANCE, "size": AnswerType.DISTANCE, "count": AnswerType.COUNT}
    return forms.get(task, AnswerType.TEXT)


def _content(content: object) -> str:
    """The text of one turn, whose images are left out."""
    if isinstance(content, list):
        return " ".join(str(part.get("text") or "") for part in content if isinstance(part, dict)).strip()
    return content if isinstance(content, str) else ""
