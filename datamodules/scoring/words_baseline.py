"""What a test set's own words give away: a baseline that learns from the rest of it and sees no picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from datamodules.base import SpatialDataModule
from datamodules.loading.grouped import every_sample
from datamodules.samples import Answer, SpatialSample
from datamodules.scoring.metrics import Judgement, SpatialMetric
from datamodules.scoring.possible_answers import possible_answers
from datamodules.statistics.blind_k_fold import LEAST_GROUPS, BlindAnswers, blind_k_fold
from datamodules.statistics.blind_predictors import TextQuestion
from datamodules.statistics.over_seeds import MeanOverSeeds, bootstrap_over_seeds

MOST_QUESTIONS = 5_000
"""Larger test sets are left out: it would take minutes."""


class WordsAlone:
    """The questions of a test set without their pictures, and what may be answered to each.

    Args:
        samples: all of the test set, with their true answers.
        judge: says of an answer whether it is right, as the benchmark's metric does.

    Attributes:
        samples: those that have possible answers.
        possible: what each of them may be answered with.
        left_out: how many have none.
        right: which possible answers are right, for each of the samples.

    Raises:
        DataError: a question has no known answer.
    """

    def __init__(self, samples: Sequence[SpatialSample], judge: Callable[[Answer], Judgement]) -> None:
        found = [(sample, possible_answers(sample)) for sample in samples]
        asked = [(sample, texts) for sample, texts in found if len(texts) > 1]
        self.samples = [sample for sample, _ in asked]
        self.possible = [texts for _, texts in asked]
        self.left_out = len(samples) - len(asked)
        self.right = [np.array([judge(Answer(one, text)).correct for text in texts]) for one, texts in asked]

    def answers(self, seeds: Sequence[int], grouped: bool = True) -> BlindAnswers:
        """What the words alone answer; `grouped` keeps the questions of a picture in one fold.

        Raises:
            TooFewQuestions: there are too few to learn from some and ask the others.
        """
        truths = np.array([of_one.argmax() for of_one in self.right])
        groups = self.images if grouped else np.arange(len(self.samples))
        return blind_k_fold([_without_picture(sample) for sample in self.samples], truths, groups, seeds)

    @property
    def images(self) -> np.ndarray:
        """A number that tells the questions' pictures apart, `[questions]`."""
        names = [sample.group or sample.id for sample in self.samples]
        found: np.ndarray = np.unique(names, return_inverse=True)[1]
        return found

    def accuracy(self, found: BlindAnswers) -> tuple[MeanOverSeeds, list[float]]:
        """The accuracy in percent over fold seeds and pictures with its interval, and that of each seed."""
        correct = np.array(
            [
                [right[choice] for right, choice in zip(self.right, row, strict=True)]
                for row in found.chosen.tolist()
            ]
        )
        (mean,) = bootstrap_over_seeds(correct[None].astype(float), self.images, lowest=0)
        return mean, (100 * correct.mean(1)).tolist()


def words_baseline(datamodule: SpatialDataModule, metric: SpatialMetric) -> dict[str, Any] | None:
    """The score of the best of three predictors that see words alone, learnt from the rest of the test.

    Questions about one picture are learnt from or asked, never both. A question with a free answer is wrong;
    a test set with nothing else, or with too many or too few questions, has no such score.

    Args:
        datamodule: the data.
        metric: judges the answers and returns a summary.

    Raises:
        DataError: the split that is scored is missing or has no answers.
    """
    samples = list(every_sample(datamodule.split(datamodule.scored)))
    words = WordsAlone(samples, metric.judge)
    if len(samples) > MOST_QUESTIONS or len(np.unique(words.images)) < LEAST_GROUPS:
        return None
    (chosen,) = words.answers([0]).chosen.tolist()
    written = dict(zip((sample.id for sample in words.samples), chosen, strict=True))
    metric.update(
        [
            Answer(sample, possible_answers(sample)[written[sample.id]] if sample.id in written else "")
            for sample in samples
        ]
    )
    result = metric.compute()
    return {key: result[key] for key in ("score", "n", "interval", "tasks", "metric") if key in result}


def _without_picture(sample: SpatialSample) -> TextQuestion:
    choices = sample.choices if len(sample.choices) == len(possible_answers(sample)) else ()
    return TextQuestion(sample.question, tuple(choices) or possible_answers(sample), sample.task)
