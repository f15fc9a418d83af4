"""A hundred thousand mutated answers: no exception, no hang, and nothing without words changes a reading.

Run: `python -m benchmarks.answer_fuzz [FILE ...] [--count 100000]`. By default the own strings of the tests
and `../shared/cases/answers.jsonl` where it is there. The worst time of a reading goes to `runs/bench/`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import write_result
from datamodules.answers import FINDERS, ExtractedAnswer, find_choice, find_length
from datamodules.samples import AnswerType

FILES = (
    Path("tests/datamodules/answers/own_strings.jsonl"),
    Path("tests/datamodules/answers/further_strings.jsonl"),
    Path("../shared/cases/answers.jsonl"),
)
BEHIND = (" ", "\n", "<|im_end|>", "</s>")
PIECES = (
    "(A)",
    " not ",
    "\\boxed{",
    "</think>",
    " 3 ",
    " m",
    "\n",
    "left",
    "<answer>",
    "1/0",
    "¼",
    "'",
    '"',
    "{",
)


def mutated(text: str, draw: random.Random) -> str:
    """A text with a piece left out, doubled, moved or replaced."""
    start, stop = sorted(draw.choices(range(len(text) + 1), k=2))
    first, middle, last = text[:start], text[start:stop], text[stop:]
    return draw.choice(
        [first + last, text + middle, last + middle + first, first + draw.choice(PIECES) + last]
    )


def found_in(row: dict[str, Any], text: str) -> ExtractedAnswer[Any] | None:
    """What is read out of a text in the form of a row, and how."""
    question = row.get("question", "")
    if row["reader"] == "choice":
        return find_choice(text, row["letters"], row.get("choices", ()), question)
    if row["reader"] == "length":
        return find_length(text, question)
    return FINDERS[AnswerType(row["reader"])](text, question)


def read(row: dict[str, Any], text: str) -> Any:
    """The value alone."""
    found = found_in(row, text)
    return found and found.value


def main(arguments: Sequence[str] | None = None) -> int:
    """Read mutated strings, and count what must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args(arguments)
    files = options.files or [file for file in FILES if file.is_file()]
    rows = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    draw = random.Random(0)
    broken: list[str] = []
    changed: list[str] = []
    worst, seconds = ("", 0.0), 0.0
    for _ in range(options.count):
        row = draw.choice(rows)
        text = row["text"]
        for _ in range(draw.randint(1, 3)):
            text = mutated(text, draw)
        started = time.perf_counter()
        try:
            value = read(row, text)
            elapsed = time.perf_counter() - started
            seconds += elapsed
            worst = max(worst, (text, elapsed), key=lambda pair: pair[1])
            if read(row, text + draw.choice(BEHIND)) != value:
                changed.append(text)
        except Exception as error:  # counted, whatever it is
            broken.append(f"{type(error).__name__}: {text!r}")
    figures = {
        "strings": options.count,
        "exceptions": len(broken),
        "changed_by_what_follows": len(changed),
        "worst_milliseconds": round(1000 * worst[1], 1),
        "strings_per_second": round(options.count / seconds),
    }
    for line in [*broken[:10], *map(repr, changed[:10])]:
        print(line)
    write_result("answer_fuzz", figures)
    return int(bool(broken or changed))


if __name__ == "__main__":
    raise SystemExit(main())
