"""How two other evaluation suites read a choice out of what a model wrote, beside this project.

python -m benchmarks.other_answer_readers [FILE ...]

A file holds one JSON object a line: `reader` ("choice"; other lines are passed over, since the other suites
have no reader of lengths with units), `text`, `letters`, `choices`, `want` (the letter that a careful person
reads, or null) and, where it applies, `prose` (true: unreadable is right as well) and `question`. Without a
file, those are read that stand beside the tests, and those in `../shared/cases` where that is there.

The other readers are told again here by what they do, in code of this project's own, as of August 2026:

- lmms-eval (EvolvingLMMs-Lab/lmms-eval): `parse_mmmu_multi_choice_response`, which MMMU and its relatives are
  read with; `extract_mcq_answer`, with which it reads several spatial benchmarks (ERQA, SIS-Bench, ...); and
  `_extract_answer_letter` of CV-Bench;
- VLMEvalKit (open-compass/VLMEvalKit): `can_infer` of `vlmeval/utils/matching_util.py`, where no language
  model is asked to help. Its list of four refusals by heart is left out: without it a text with one of them
  is read like any other.

Where MMMU's reader finds nothing, it draws a letter at random. Such a string counts as unreadable here, and
the number of these is told as guesses: in lmms-eval each becomes an answer, right by chance. A letter that
cannot be answered ("T" of "The lamp") is unreadable as well, which is kinder to the others than their scores.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import write_result
from datamodules.answers import read_choice
from datamodules.files.text_files import read_text
from datamodules.samples import DataError

_ROOT = Path(__file__).resolve().parents[1]
OWN_STRINGS = _ROOT / "tests" / "datamodules" / "answers" / "own_strings.jsonl"
SHARED_STRINGS = _ROOT.parent / "shared" / "cases" / "answers.jsonl"

OURS = "ours"
GUESSING = "lmms-eval, MMMU"
"""The reader that draws a letter where it finds none."""

_REPEATS = 5
_FEW_WORDS = 5
_LAST_WORDS = 4

_NAMES = (
    "answer",
    "correct answer",
    "best answer",
    "correct option",
    "best option",
    "choice",
    "correct choice",
)
_ANNOUNCEMENTS = (
    *(f"{article}{name} is" for article in ("", "the ") for name in _NAMES),
    *("my answer is", "my choice is", "i choose", "i select", "i pick"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)

Row = dict[str, Any]
"""A string, with what it answers and what there is to be read: a line of a file."""


def read_as_lmms_eval(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The letter that lmms-eval reads for MMMU; None where it draws one at random.

    Letters in brackets go before letters in front of a blank (the end of a word will do), and those before
    letters in front of a full stop. Of several the last counts. In texts of more than five words that have
    none of these, the choice whose words come last counts.
    """
    text = _between_blanks(text, ",.!?;:'")
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        found = [letter for letter in letters if form.format(letter) in text]
        if found:
            return max(found, key=lambda letter: text.rfind(place.format(letter)))
    text = text.lower()
    places = {
        letter: text.rfind(choice.lower())
        for letter, choice in _pairs(letters, choices)
        if choice.lower() in text
    }
    if places and len(text.split()) > _FEW_WORDS:
        return max(places, key=lambda letter: places[letter])
    return None


def read_as_lmms_eval_extracts(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The letter that lmms-eval reads for ERQA and other benchmarks; the words of choices do not count.

    In this order: a letter that the text begins with, one that it ends with, the capital letters somewhere
    after an announcement such as "answer is" (in words, too), "(B)", "B.", "B:", "B)", "B ", any at all. Of
    several of one kind the one that stands last counts.
    """
    text = _between_blanks(text.strip(), ",.!?;:'\"")
    bare, lower = text.strip(), text.lower()
    if bare[:1] and bare[0] in letters and not bare[1:2].isalpha():
        return bare[0]
    if bare and bare[-1] in letters and not bare[-2:-1].isalpha():
        return bare[-1]
    announced = {
        text.find(letter, lower.find(phrase) + len(phrase))
        for phrase in _ANNOUNCEMENTS
        if phrase in lower
        for letter in letters
    } - {-1}
    if announced:
        return text[max(announced)]
    for form in ("({})", "{}.", "{}:", "{})", "{} ", "{}"):
        found = [letter for letter in letters if form.format(letter) in text]
        if found:
            return max(found, key=lambda letter: text.rfind(form.format(letter)))
    return None


def read_as_lmms_eval_cv_bench(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The letter that lmms-eval reads for CV-Bench: the first of the text, of whatever word it is."""
    first = re.match(r"[(\s]*([A-Za-z])", text)
    return first[1].upper() if first and first[1].upper() in letters else None


def read_as_vlmevalkit(text: str, letters: str, choices: Sequence[str]) -> str | None:
    """The letter that VLMEvalKit reads by its rules alone; None where it would ask a language model.

    The only letter that is a word counts where it comes first among the last four words; else what follows
    "answer is", be it the beginning of a word; else the only choice whose words are in the text, unless the
    text is twice as long as all choices together.
    """
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", text).split()
    named = [letter for letter in letters if letter in words]
    if len(named) == 1 and words.index(named[0]) >= len(words) - _LAST_WORDS:
        return named[0]
    if not named and "Z" in words:
        return None
    announced = re.search(r"answer\s+is\s+\**([A-D])", text, re.IGNORECASE)
    if announced and announced[1].upper() in letters:
        return announced[1].upper()
    text = text.lower()
    contained = [letter for letter, choice in _pairs(letters, choices) if choice.lower() in text]
    short = len(text) <= 2 * sum(map(len, choices))
    return contained[0] if short and len(contained) == 1 else None


def _between_blanks(text: str, marks: str) -> str:
    """A text without the marks at its ends, taken off one after the other, and with a blank at either end."""
    for mark in marks:
        text = text.strip(mark)
    return f" {text} "


def _pairs(letters: str, choices: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip(letters, choices, strict=False)


def _read_ours(row: Row) -> str | None:
    return read_choice(row["text"], row["letters"], row["choices"], row.get("question", ""))


def _of(read: Callable[[str, str, Sequence[str]], str | None]) -> Callable[[Row], str | None]:
    """A reader that does not know the question, as one of a whole string."""
    return lambda row: read(row["text"], row["letters"], row["choices"])


READERS: dict[str, Callable[[Row], str | None]] = {
    OURS: _read_ours,
    GUESSING: _of(read_as_lmms_eval),
    "lmms-eval, mcq_extract": _of(read_as_lmms_eval_extracts),
    "lmms-eval, CV-Bench": _of(read_as_lmms_eval_cv_bench),
    "VLMEvalKit": _of(read_as_vlmevalkit),
}
"""What is compared."""


def choice_strings(file: Path) -> list[Row]:
    """The strings of a file that answer a multiple-choice question.

    Raises:
        DataError: the file is not there, a line is not of the form above, or none answers such a question.
    """
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        try:
            row = json.loads(line)
            if row["reader"] == "choice":
                rows.append({key: row[key] for key in ("text", "letters", "choices", "want")} | row)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"Line {number} of {file} is no string with its reading ({error!r}). Write one JSON object a "
                "line, with reader, text, letters, choices and want."
            ) from error
    if not rows:
        raise DataError(f"{file} has no string whose `reader` is `choice`. Name a file that has some.")
    return rows


def tally(read: Callable[[Row], str | None], rows: Sequence[Row]) -> dict[str, int]:
    """How many readings are right, wrong and missing; what may be left unread is right unread."""
    counts = {"strings": len(rows), "right": 0, "wrong": 0, "unreadable": 0, "nothing read": 0}
    for row in rows:
        reading = read(row)
        counts["nothing read"] += reading is None
        if reading == row["want"] or (reading is None and row.get("prose")):
            counts["right"] += 1
        else:
            counts["unreadable" if reading is None else "wrong"] += 1
    return counts


def strings_per_second(read: Callable[[Row], str | None], rows: Sequence[Row]) -> float:
    """The median of a few passes over all strings, by the process's own clock."""
    rates = []
    for _ in range(_REPEATS):
        began = time.process_time()
        for row in rows:
            read(row)
        rates.append(len(rows) / max(time.process_time() - began, 1e-9))
    return statistics.median(rates)


def compare(files: Sequence[Path]) -> dict[str, Any]:
    """What each reader makes of each file."""
    details: dict[str, dict[str, Any]] = {}
    for file in files:
        rows = choice_strings(file)
        details[file.name] = {
            name: tally(read, rows) | {"strings/s": round(strings_per_second(read, rows))}
            for name, read in READERS.items()
        }
        found = details[file.name][GUESSING]
        found["guesses"] = found["nothing read"]
    strings = sum(found[OURS]["strings"] for found in details.values())
    right = {
        name: 100 * sum(found[name]["right"] for found in details.values()) / strings for name in READERS
    }
    ours, others = right.pop(OURS), sorted(right.values(), reverse=True)
    return {
        "ours": ours,
        "other": others[0],
        "ratio": ours / others[0] if others[0] else None,
        "spread": [ours / other for other in (others[0], others[-1]) if other],
        "unit": "right readings of 100 strings",
        "what": f"{strings} strings that answer multiple-choice questions: our reader against the best one "
        "of two other suites; the spread is over their readers, from the best to the worst",
        "details": details,
    }


def table(details: dict[str, dict[str, Any]]) -> str:
    """The comparison as lines to be read."""
    heads = ("strings", "right", "wrong", "unreadable", "strings/s")
    lines = [f"{'':24}" + "".join(f"{head:>12}" for head in heads)]
    for file, found in details.items():
        lines.append(file)
        for name, counts in found.items():
            guesses = f"   {counts['guesses']} guessed at random" if counts.get("guesses") else ""
            lines.append(f"  {name:22}" + "".join(f"{counts[head]:>12,}" for head in heads) + guesses)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the readers, show the table and write `runs/bench/other_answer_readers.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.other_answer_readers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="strings with what is to be read")
    options = parser.parse_args(arguments)
    usual = [OWN_STRINGS, *([SHARED_STRINGS] if SHARED_STRINGS.is_file() else [])]
    try:
        result = compare(options.files or usual)
    except DataError as error:
        parser.error(str(error))
    print(table(result["details"]))
    write_result("other_answer_readers", result)


if __name__ == "__main__":
    main()
