"""What a test set gives away before anyone looks: a ladder of answers that need no picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.samples import Answer, AnswerType, SpatialSample
from datamodules.scoring.metrics import Judgement
from datamodules.scoring.words_baseline import WordsAlone
from datamodules.statistics.intervals import score_with_intervals

FOLD_SEEDS = range(5)
"""The split into folds alone moves the result: it is made anew so many times."""


@dataclass(frozen=True)
class Rung:
    """What one way of answering without a picture reaches.

    Attributes:
        name: the way.
        accuracy: in percent.
        interval: of 95 %, over pictures (and fold seeds); None where there is nothing to be unsure of.
        by_seed: the accuracy with each fold seed, where there are folds.
    """

    name: str
    accuracy: float
    interval: tuple[float, float] | None = None
    by_seed: tuple[float, ...] = ()


def ladder(samples: Sequence[SpatialSample], judge: Callable[[Answer], Judgement]) -> list[Rung]:
    """From chance to what words alone answer; the fixed answers are the best ones of this very test set.

    Args:
        samples: all of a test set, with their true answers; free answers are left out.
        judge: says of an answer whether it is right, as the benchmark's metric does.

    Raises:
        DataError: a question has no known answer.
        TooFewQuestions: there are too few to learn from some and ask the others.
    """
    words = WordsAlone(samples, judge)
    everything = words.answers(FOLD_SEEDS, grouped=False), words.answers(FOLD_SEEDS)
    chance = 100 * float(np.mean([right.mean() for right in words.right]))
    names = "words alone, folds of questions", "words alone, folds of pictures"
    learnt = []
    for name, found in zip(names, everything, strict=True):
        mean, by_seed = words.accuracy(found)
        learnt.append(Rung(name, mean.mean, mean.interval, tuple(by_seed)))
    return [Rung("chance", chance), *_constants(words), _per_task(words), *learnt]


def right_letters(samples: Sequence[SpatialSample]) -> Counter[str]:
    """How often each letter is right."""
    return Counter(
        sample.answer for sample in samples if sample.answer and sample.answer_type is AnswerType.LETTER
    )


def _constants(words: WordsAlone) -> list[Rung]:
    """Every letter that is always answered, where there are letters."""
    letters = sorted({letter for sample in words.samples for letter in sample.letters})
    rungs = []
    for letter in letters:
        right = [
            letter in sample.letters and bool(of_one[sample.letters.index(letter)])
            for sample, of_one in zip(words.samples, words.right, strict=True)
        ]
        rungs.append(_rung(f"always {letter}", np.array(right), words.images))
    return rungs


def _per_task(words: WordsAlone) -> Rung:
    """The best answer of each task, which this very test set tells."""
    tasks = [(sample.task, sample.answer_type) for sample in words.samples]
    hits: dict[tuple[str, AnswerType | None], Counter[str]] = {}
    for answers, of_one, task in zip(words.possible, words.right, tasks, strict=True):
        hits.setdefault(task, Counter()).update(answers[place] for place in np.flatnonzero(of_one))
    best = {task: max(sorted(of_task), key=of_task.__getitem__) for task, of_task in hits.items() if of_task}
    right = [
        best.get(task) in answers and bool(of_one[answers.index(best[task])])
        for answers, of_one, task in zip(words.possible, words.right, tasks, strict=True)
    ]
    return _rung("the best answer of each task", np.array(right), words.images)


def _rung(name: str, right: np.ndarray, images: np.ndarray) -> Rung:
    score, _ = score_with_intervals(right, np.zeros(len(right), int), images, 1)
    return Rung(name, score.score, score.interval)
