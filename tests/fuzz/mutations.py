"""Mutated files: a small valid example in which keys, values and bytes are changed, dropped and doubled."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import yaml
from hypothesis import strategies as st

DEEP = "@deep@"
"""Stands for lists within lists, deeper than any recursion goes."""

LONG_NUMBER = "@long number@"
"""Stands for a whole number of more digits than Python takes."""

AS_JSON = {
    f'"{DEEP}"': "[" * 5_000 + "]" * 5_000,
    f'"{LONG_NUMBER}"': "9" * 5_000,
}
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, -(2**63), 2**200, 0.5, 1e308, -1e308, 1e-320),
    *(float("nan"), float("inf"), -float("inf"), LONG_NUMBER, DEEP),
    *("", " ", ".", "..", "\0", "a\0b", "\ud800", "\ufeff", "\n", "💡", "nan", "null", "A", "1/0", "-", "|"),
    *("../outside/secret.png", "/etc/passwd", "..\\outside\\secret.png", "leads_out/secret.png", "C:\\a.png"),
    *("<mask>" * 30, "a" * 3_000, "9" * 400, "<think>", "<answer>", "\\boxed{", "[[1, 2", '{"size": [1, 1]}'),
    *([], {}, [[]], [None], {"a": 1}, {"": None}, ["a", "a"], [1, "a", None, {}], [0, 0, 10**9, 10**9]),
)
"""Values that stand where others belong."""

PIECES = (
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\n",
    b'"',
    b"{",
    b"[",
    b"}",
    b",",
    b"\\u0000",
    b"\xed\xa0\x80",
    b"-",
)
"""What is put between the bytes of a text."""


@st.composite
def mutated_bytes(draw: st.DrawFn, examples: Sequence[bytes]) -> bytes:
    """One of some contents with bytes flipped, cut off, doubled, moved or taken from another one."""
    random = draw(st.randoms(use_true_random=False))
    content = random.choice(examples)
    for _ in range(random.randint(0, 4)):
        content = _changed(content, random, examples)
    return content


@st.composite
def mutated_json(draw: st.DrawFn, example: Any, lines: bool = False) -> bytes:
    """A value in which some others stand, as JSON; of some the text is mutated as well.

    Args:
        draw: hypothesis's.
        example: the value.
        lines: write its elements a line each.
    """
    random = draw(st.randoms(use_true_random=False))
    value = mutated(example, random)
    rows = value if lines and isinstance(value, list) else [value]
    text = "\n".join(json.dumps(row, default=str) for row in rows)
    for word, written in AS_JSON.items():
        text = text.replace(word, written)
    content = text.encode()
    return _changed(content, random, [content]) if random.random() < 0.2 else content


@st.composite
def mutated_yaml(draw: st.DrawFn, examples: Sequence[Any], snippets: Sequence[str]) -> bytes:
    """A mapping in which other values stand, as YAML, some with a snippet of text somewhere within."""
    random = draw(st.randoms(use_true_random=False))
    value = mutated(random.choice(examples), random)
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=False)
    text = text.replace(DEEP, "[" * 2_000 + "]" * 2_000).replace(LONG_NUMBER, "9" * 5_000)
    lines = text.split("\n")
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        place = random.randint(0, len(lines))
        snippet = random.choice(snippets)
        if random.random() < 0.5 and place < len(lines) and ":" in lines[place]:
            lines[place] = f"{lines[place].partition(':')[0]}: {snippet}"
        else:
            beside = lines[min(place, len(lines) - 1)]
            indent = beside[: len(beside) - len(beside.lstrip())]
            lines.insert(place, "\n".join(f"{indent}{line}" for line in snippet.split("\n")))
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return _changed(content, random, [content]) if random.random() < 0.1 else content


@st.composite
def mutated_rows(draw: st.DrawFn, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table in which other values stand."""
    random = draw(st.randoms(use_true_random=False))
    value = mutated(list(rows), random)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


@st.composite
def mutated_text(draw: st.DrawFn, examples: Sequence[str], pieces: Sequence[str]) -> str:
    """A text with parts left out, doubled, moved, repeated many times, or others put in."""
    random = draw(st.randoms(use_true_random=False))
    text = random.choice(examples)
    for _ in range(random.randint(1, 5)):
        first, last = sorted(random.randint(0, len(text)) for _ in range(2))
        before, middle, after, piece = text[:first], text[first:last], text[last:], random.choice(pieces)
        text = random.choice(
            (
                before + after,
                after + middle + before,
                before + piece + after,
                before + middle * random.choice((2, 3, 200)) + after,
                before + piece * 300 + after,
            )
        )[:20_000]
    return text


def mutated(example: Any, random: Random) -> Any:
    """A value in which up to four others stand, are doubled or left out."""
    value = copy.deepcopy(example)
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        places = list(_places(value))
        if not places:
            return random.choice(ODD)
        holder, key = random.choice(places)
        match random.randint(0, 6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 1:
                holder[str(key)[: random.randint(0, 3)]] = holder[key]
            case 2:
                other, there = random.choice(places)
                holder[key] = copy.deepcopy(other[there])
            case 3:
                holder[key] = [holder[key]]
            case 4 if isinstance(holder[key], str):
                holder[key] = _other_text(holder[key], random)
            case _:
                holder[key] = copy.deepcopy(random.choice(ODD))
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """All lists and mappings in a value, each with the keys that it has."""
    found: list[tuple[Any, Any]] = []
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += [(value, key), *_places(value[key])]
    return found


def _other_text(text: str, random: Random) -> str:
    place = random.randint(0, len(text))
    odd = random.choice([each for each in ODD if isinstance(each, str)])
    return random.choice(
        (text[:place] + odd + text[place:], text[:place], text[::-1], text * 2, text.upper())
    )


def _changed(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A content with one change."""
    first, last = sorted(random.randint(0, len(content)) for _ in range(2))
    match random.randint(0, 6):
        case 0:
            return content[:first]
        case 1:
            return content[:first] + content[last:]
        case 2:
            return content[:last] + content[first:]
        case 3:
            other = random.choice(others)
            return content[:first] + other[random.randint(0, len(other)) :]
        case 4:
            return content[:first] + random.choice(PIECES) + content[first:]
        case 5:
            # Sizes and offsets are numbers of four bytes in most formats.
            return (
                content[:first]
                + random.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
                + content[first + 4 :]
            )
        case _:
            flipped = bytearray(content)
            for _ in range(random.randint(1, 8) if content else 0):
                flipped[random.randrange(len(flipped))] ^= 1 << random.randint(0, 7)
            return bytes(flipped)
