"""What a sample is in words: a conversation that ends in its question, and the answer to learn."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.samples import MASK_PLACEHOLDER, AnswerType, ImageSource, SpatialSample
from lightning_modules.vlm.prompt_template import ANSWER, ANSWER_BLOCK, Prompt, default_prompt

THOUGHT, END_OF_THOUGHT = "<think>", "</think>"
"""What stands before a reasoning and behind it, on lines of their own."""

LARGEST_COUNT = 20
"""The largest count that is weighed against others."""

# Of answers too: a model that learnt to write one within its reasoning would be stopped behind it.
_REASONING_TAGS = re.compile(r"</?(?:think|answer)>")


@dataclass(frozen=True)
class Turn:
    """Some images and a text, and what is replied to them; the last turn of a prompt has no reply."""

    images: tuple[ImageSource, ...]
    text: str
    reply: str | None = None


def images_of(sample: SpatialSample) -> tuple[ImageSource, ...]:
    """The images of a sample, in the order in which they are shown."""
    return (() if sample.image is None else (sample.image,)) + sample.further_images


def region_count(sample: SpatialSample) -> int:
    """How many regions the question names, whether or not their masks are there to be seen."""
    return max(len(sample.regions), sample.question.count(MASK_PLACEHOLDER))


def question_text(sample: SpatialSample, rationale: bool = False, prompt: Prompt | None = None) -> str:
    """The question with numbered regions in the words of a prompt; nothing of its answer shows.

    Args:
        sample: the sample.
        rationale: ask for reasoning before the answer, where no prompt says what is asked for.
        prompt: the words; by default the usual ones: lettered choices, and what form the answer has.
    """
    numbers = itertools.count()
    question = re.sub(re.escape(MASK_PLACEHOLDER), lambda _: f"[Region {next(numbers)}]", sample.question)
    choices = tuple(zip(sample.letters, sample.choices, strict=False))
    return (prompt or default_prompt(rationale)).text(question, choices, sample.answer_type, sample.prompt)


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
    thought = f"{THOUGHT}\n{rationale}\n{END_OF_THOUGHT}\n" if rationale else ""
    return thought + ANSWER_BLOCK.replace(ANSWER, answer)


def rationale_of(sample: SpatialSample) -> str:
    """A sample's reasoning without tags around it."""
    return _REASONING_TAGS.sub("", sample.rationale).strip()


def reply_text(example: SpatialSample, rationale: bool = False, prompt: Prompt | None = None) -> str:
    """What stands as the answer to a solved example: its reasoning, where it has one, and its answer.

    Args:
        example: the solved example.
        rationale: whether the model learns reasoning, and then the form that its answers have.
        prompt: says in which words the answer is written elsewhere.
    """
    reasoning = rationale_of(example)
    if rationale:
        return answer_text(example, reasoning)
    reply = (prompt or default_prompt(rationale)).reply_to(example.answer_type, example.answer or "")
    return f"{reasoning}\n{reply}" if reasoning else reply


def turns_of(
    sample: SpatialSample,
    examples: Sequence[SpatialSample],
    rationale: bool = False,
    prompt: Prompt | None = None,
) -> list[Turn]:
    """The conversation before the answer: solved examples as earlier turns, then the question.

    Args:
        sample: the sample.
        examples: solved examples.
        rationale: whether the model learns reasoning before its answers.
        prompt: the words of the questions, see `question_text`.
    """
    earlier = [
        Turn(
            images_of(example),
            question_text(example, rationale, prompt),
            reply_text(example, rationale, prompt),
        )
        for example in examples
    ]
    return [*earlier, Turn(images_of(sample), question_text(sample, rationale, prompt))]


def candidates_of(sample: SpatialSample, counts: bool = False) -> list[str]:
    """The answers among which the right one must be; empty where there is no closed set of them.

    Letters for multiple choice, left and right for sides, the numbers of the regions that the question names.

    Args:
        sample: the sample.
        counts: also those of a count, 0 to `LARGEST_COUNT`; a larger one is not among them.
    """
    match sample.answer_type:
        case AnswerType.LETTER:
            return list(sample.letters)
        case AnswerType.SIDE:
            return ["left", "right"]
        case AnswerType.REGION:
            return [str(number) for number in range(region_count(sample))]
        case AnswerType.COUNT if counts:
            return [str(number) for number in range(LARGEST_COUNT + 1)]
        case _:
            return []
