"""The words that questions are asked in: settings that stand in an experiment's YAML, or a text file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.samples import AnswerType, why_not_readable
from lightning_modules.base import ModelError

OTHER = "other"
"""The ending of questions whose form of answer is not named, or not known."""

ENDINGS: dict[str, str] = {
    AnswerType.LETTER: "Answer with the option's letter.",
    AnswerType.REGION: "Answer with the number of the region.",
    AnswerType.SIDE: "Answer with left or right.",
    AnswerType.COUNT: "Answer with a number.",
    AnswerType.DISTANCE: "Answer with the distance.",
}
"""What is asked for beside the question, by the answer's form."""

REASONING = "Think first, then write the answer between <answer> and </answer>."

ANSWER = "{answer}"
"""Where in a cue the answer stands."""

ANSWER_BLOCK = f"<answer>{ANSWER}</answer>"
"""The form of answers behind a reasoning that is learnt, and what leads to one there."""

ANSWER_LINE = f"Answer: {ANSWER}"
"""What leads to an answer where no form of it was learnt."""

_PLACES = re.compile(r"\{(question|options|prompt)\}")
_OPTION_PLACES = re.compile(r"\{(letter|choice)\}")


@dataclass(frozen=True)
class Prompt:
    """How a question is put into words.

    Args:
        system: what the system says before the conversation; "" for what the model's own chat template says.
        question: the words of a question: `{question}` stands for the question itself and `{options}` for its
            choices, which follow the words in lines of their own where they are not named. `{prompt}` stands
            for the benchmark's own words for question and choices, where its data hold them; else for both
            as they are written here.
        options: the line of a choice: `{letter}` and `{choice}`.
        ending: the last line, the same for all, or by the answer's form (letter, region, side, count,
            distance, text, and other for all that are not named); none where it is empty.
        file: a text file with words to take in the place of `question` and `ending`. Without any of the
            places above, question and choices follow the words after an empty line.
        reply: how a solved example is answered, the same for all, or by the answer's form: `{answer}` stands
            for its answer, behind its reasoning where it has one. A model that learns reasoning sees answers
            in the form that it learns.
        cue: with `answering: reason_then_rank`, what stands behind the model's own reasoning: `{answer}`
            stands for each of the possible answers. Where it is empty, the form in which answers are learnt
            behind a rationale (`<answer>{answer}</answer>`), and without one `Answer: {answer}`.

    Raises:
        ModelError: a place is missing or an ending's form unknown, or the file cannot be read.
    """

    system: str = ""
    question: str = "{question}"
    options: str = "({letter}) {choice}"
    ending: str | dict[str, str] = field(default_factory=lambda: dict(ENDINGS))
    file: str | None = None
    cue: str = ""
    reply: str | dict[str, str] = ANSWER

    def __post_init__(self) -> None:
        if not {"question", "prompt"} & set(_PLACES.findall(self.question)):
            raise ModelError(
                f"prompt.question is {self.question!r}, which leaves the question out: write {{question}} "
                "where it shall stand, or {prompt} for a benchmark's own words."
            )
        if missing := {"letter", "choice"} - set(_OPTION_PLACES.findall(self.options)):
            raise ModelError(
                f"prompt.options is {self.options!r}, which leaves the {min(missing)} out: write "
                f"{{{min(missing)}}} where it shall stand."
            )
        if self.cue and self.cue.count(ANSWER) != 1:
            raise ModelError(
                f"prompt.cue is {self.cue!r}; write {ANSWER} where the answer shall stand in it, once, as in "
                f"{ANSWER_LINE!r}."
            )
        for reply in self.reply.values() if isinstance(self.reply, Mapping) else [self.reply]:
            if reply.count(ANSWER) != 1:
                raise ModelError(
                    f"prompt.reply is {reply!r}; write {ANSWER} where the answer of an example shall stand, "
                    f"once, as in {ANSWER_LINE!r}."
                )
        forms = [*AnswerType, OTHER]
        for name, words in (("ending", self.ending), ("reply", self.reply)):
            if isinstance(words, Mapping) and (unknown := sorted(words.keys() - set(forms))):
                raise ModelError(
                    f"prompt.{name} names the form of answer {unknown[0]!r}; known are {', '.join(forms)}."
                )
        # Read once, so that the words stay the same in all of a run's processes.
        object.__setattr__(self, "_words", self.question if self.file is None else _read(self.file))

    @property
    def origin(self) -> str | None:
        """The file that the words were taken from, and the digest of its content; None without one."""
        if self.file is None:
            return None
        return f"{self.file} {hashlib.sha256(self.words.encode()).hexdigest()[:12]}"

    @property
    def words(self) -> str:
        """The words of a question, with places for what differs between questions."""
        words: str = self._words  # type: ignore[attr-defined]
        return words if _PLACES.search(words) else f"{words}\n\n{{question}}"

    def text(
        self,
        question: str,
        choices: tuple[tuple[str, str], ...] = (),
        form: AnswerType | None = None,
        own: str = "",
    ) -> str:
        """A question in these words.

        Args:
            question: the question itself.
            choices: letter and text of each choice.
            form: the form of its answer.
            own: the benchmark's own words for question and choices, where its data hold them.
        """
        options = "\n".join(_filled(_OPTION_PLACES, self.options, letter=a, choice=b) for a, b in choices)
        both = f"{question}\n{options}" if options else question
        lines = [_filled(_PLACES, self.words, question=question, options=options, prompt=own or both)]
        if options and not {"options", "prompt"} & set(_PLACES.findall(self.words)):
            lines.append(options)
        if ending := self.ending_of(form):
            lines.append(ending)
        return "\n".join(lines)

    def ending_of(self, form: AnswerType | None) -> str:
        """The last line where answers have this form; "" for none."""
        if self.file is not None:
            return ""
        return _of_form(self.ending, form, "")

    def reply_to(self, form: AnswerType | None, answer: str) -> str:
        """How an answer of a solved example is written whose answers have this form."""
        return _of_form(self.reply, form, ANSWER).replace(ANSWER, answer)


BARE = Prompt()
"""The question, its choices, and what form the answer has."""

REASONED = Prompt(
    ending={**{form: f"{ending} {REASONING}" for form, ending in ENDINGS.items()}, OTHER: REASONING},
    cue=ANSWER_BLOCK,
)
"""The same, and that reasoning comes first."""


def default_prompt(rationale: bool) -> Prompt:
    """The words where an experiment names none: those that ask for what is learnt, or is to be written."""
    return REASONED if rationale else BARE


def _of_form(words: str | Mapping[str, str], form: AnswerType | None, default: str) -> str:
    """The words for a form of answer, or those for all others."""
    if isinstance(words, str):
        return words
    return words.get(form or OTHER, words.get(OTHER, default))


def _filled(places: re.Pattern[str], template: str, **values: str) -> str:
    """A template with its places filled in one go, so that what is filled in is not looked through."""
    return places.sub(lambda place: values[place[1]], template)


def _read(file: str) -> str:
    path = Path(file)
    try:
        # Newlines as they stand: a benchmark's words are taken to the letter.
        words = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = why_not_readable(path) if path.is_file() else "There is no such file."
        raise ModelError(
            f"prompt.file: {file} cannot be read. {why or error} Put the words of a benchmark's repository "
            "into a text file of your own, in UTF-8."
        ) from error
    if not words.strip():
        raise ModelError(f"prompt.file: {file} is empty. Put the words into it, or leave `file` out.")
    return words
