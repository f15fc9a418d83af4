"""What solved examples before a question give away by themselves: their vote, the last one's answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from datamodules.answers.choice_texts import words_of
from datamodules.samples import LETTERS, Answer, SpatialSample
from datamodules.scoring.metrics import Judgement, SpatialMetric

Words = tuple[str, ...]


def examples_before(answer: Answer) -> tuple[SpatialSample, ...]:
    """The examples that a question was asked with: the last ones, as many as there was room for."""
    examples = answer.sample.examples
    return examples if answer.examples is None else examples[len(examples) - answer.examples :]


def vote_of(sample: SpatialSample, examples: Sequence[SpatialSample]) -> str:
    """What most of the examples answer, as an answer to a question; "" where none of it is one.

    Of a multiple-choice question that is the letter of the choice that most of them say in words; where none
    says any of the choices, the letter that most of them answer with. Elsewhere a letter stands for the words
    of its choice. Of equally many the last one counts.
    """
    if not sample.letters:
        return _most([words for example in examples if (words := said_by(sample, example))])
    said = [letter for example in examples if (letter := _letter_saying(sample, words_said(example)))]
    return _most(
        said or [str(each.answer) for each in examples if each.letters and str(each.answer) in sample.letters]
    )


def says_the_same(sample: SpatialSample, answer: str | None, example: SpatialSample) -> bool:
    """Whether an answer to a question is that of an example: the same letter, or the same words."""
    if answer is None:
        return False
    if sample.letters and example.letters:
        return answer == example.answer
    return words_said(sample.replace(answer=answer)) == words_said(example)


def said_by(sample: SpatialSample, example: SpatialSample) -> str:
    """What an example's answer is as an answer to a question; "" where it is none."""
    answer = example.answer or ""
    if sample.letters:
        return answer if example.letters else _letter_saying(sample, words_said(example)) or ""
    if not example.letters:
        return answer
    return example.choices[LETTERS.index(answer)] if example.choices and answer in example.letters else ""


def words_said(sample: SpatialSample) -> Words:
    """What the answer to a question says: the words of the choice, or its own."""
    answer = sample.answer or ""
    if sample.letters and sample.choices and answer in sample.letters:
        return words_of(sample.choices[LETTERS.index(answer)])
    return words_of(answer)


def note_of_examples(
    answer: Answer, judgement: Judgement | None, metric: SpatialMetric | None
) -> dict[str, Any]:
    """What stands beside an answer in the predictions, where its question was asked behind examples.

    Args:
        answer: the answer.
        judgement: what the metric made of it; None where the truth is not known.
        metric: judges the vote.

    Returns:
        `examples`: their ids, the nearest last; `example_answers`; `vote` and `vote_correct`; `copied`:
        whether the answer is that of the last example; `last_correct`: whether that would be right.
    """
    sample = answer.sample
    if not sample.examples:
        return {}
    examples = examples_before(answer)
    vote = vote_of(sample, examples)
    note: dict[str, Any] = {
        "examples": [example.id for example in examples],
        "example_answers": [example.answer for example in examples],
        "vote": vote,
    }
    if judgement is None or metric is None:
        return note
    said = said_by(sample, examples[-1]) if examples else ""
    # Read as the answer was: "2 feet" of an example is copied where 0.6096 m is read out of an answer.
    last = metric.judge(Answer(sample, said)) if said else Judgement(None, False)
    given = judgement.prediction
    return {
        **note,
        "vote_correct": metric.judge(Answer(sample, vote)).correct,
        "copied": given is not None
        and bool(examples)
        and (given == last.prediction or says_the_same(sample, given, examples[-1])),
        "last_correct": last.correct,
    }


def _letter_saying(sample: SpatialSample, words: Words) -> str | None:
    letters = zip(sample.letters, sample.choices, strict=False)
    return next((letter for letter, choice in letters if words and words_of(choice) == words), None)


def _most(answers: Sequence[str]) -> str:
    counted = Counter(answers)
    latest = {answer: place for place, answer in enumerate(answers)}
    return max(counted, key=lambda answer: (counted[answer], latest[answer]), default="")
