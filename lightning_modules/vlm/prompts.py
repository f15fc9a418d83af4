"""What a sample is in words: a conversation that ends in its question, and the answer to learn."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.samples import MASK_PLACEHOLDER, AnswerType, ImageSource, SpatialSample

INSTRUCTIONS = {
    AnswerType.LETTER: "Answer with the option's letter.",
    AnswerType.REGION: "Answer with the number of the region.",
    AnswerType.SIDE: "Answer with left or right.",
    AnswerType.COUNT: "Answer with a number.",
    AnswerType.DISTANCE: "Answer with the distance.",
}
"""What is asked for beside the question, by the answer's form."""

RATIONALE_INSTRUCTION = "Think first, then write the answer between <answer> and </answer>."

# Of answers too: a model that learnt to write one within its reasoning would be stopped behind it.
_REASONING_TAGS = re.compile(r"</?(?:think|answer)>")


@dataclass(frozen=True)
class Turn:
    """Some pictures and a text, and what is replied to them; the last turn of a prompt has no reply."""

    images: tuple[ImageSource, ...]
    text: str
    reply: str | None = None


def images_of(sample: SpatialSample) -> tuple[ImageSource, ...]:
    """The pictures of a sample, in the order in which they are shown."""
    return (() if sample.image is None else (sample.image,)) + sample.further_images


def region_count(sample: SpatialSample) -> int:
    """How many regions the question names, whether or not their masks are there to be seen."""
    return max(len(sample.regions), sample.question.count(MASK_PLACEHOLDER))


def question_text(sample: SpatialSample, rationale: bool = False) -> str:
    """The question with numbered regions, lettered choices and an instruction, a line each.

    Args:
        sample: the sample; nothing of its answer shows in the text.
        rationale: ask for reasoning before the answer.
    """
    numbers = itertools.count()
    lines = [re.sub(re.escape(MASK_PLACEHOLDER), lambda _: f"[Region {next(numbers)}]", sample.question)]
    lines += [f"({letter}) {choice}" for letter, choice in zip(sample.letters, sample.choices, strict=False)]
    instructions = [INSTRUCTIONS[sample.answer_type]] if sample.answer_type in INSTRUCTIONS else []
    if rationale:
        instructions.append(RATIONALE_INSTRUCTION)
    return "\n".join([*lines, *([" ".join(instructions)] if instructions else [])])


def answer_text(sample: SpatialSample, rationale: str | None = None) -> str:
    """The text a model learns to write; "" where the answer is not known.

    Args:
        sample: the sample.
        rationale: None for the bare answer; else reasoning to put before it. An empty one leaves only the
            answer between its tags.
    """
    answer = sample.answer or ""
    if rationale is None:
        return answer
    thought = f"<think>\n{rationale}\n</think>\n" if rationale else ""
    return f"{thought}<answer>{answer}</answer>"


def rationale_of(sample: SpatialSample) -> str:
    """A sample's reasoning without tags around it."""
    return _REASONING_TAGS.sub("", sample.rationale).strip()


def turns_of(sample: SpatialSample, examples: Sequence[SpatialSample], rationale: bool = False) -> list[Turn]:
    """The conversation before the answer: solved examples as earlier turns, then the question."""
    earlier = [
        Turn(
            images_of(example),
            question_text(example, rationale),
            answer_text(example, rationale_of(example) if rationale else None),
        )
        for example in examples
    ]
    return [*earlier, Turn(images_of(sample), question_text(sample, rationale))]


def candidates_of(sample: SpatialSample) -> list[str]:
    """The answers among which the right one must be; empty where there is no closed set of them.

    Letters for multiple choice, left and right for sides, the numbers of the regions that the question names.
    """
    match sample.answer_type:
        case AnswerType.LETTER:
            return list(sample.letters)
        case AnswerType.SIDE:
            return ["left", "right"]
        case AnswerType.REGION:
            return [str(number) for number in range(region_count(sample))]
        case _:
            return []
