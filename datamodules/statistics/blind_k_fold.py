"""How much of a test set is answered by learning from the rest of it, without any picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.samples import SmallSpatialError
from datamodules.statistics.blind_predictors import (
    NaiveBayes,
    Neighbours,
    Predictor,
    Regression,
    TextQuestion,
    Texts,
)

PREDICTORS: dict[str, Predictor] = {
    "naive Bayes": NaiveBayes(),
    "logistic regression": Regression(),
    "vote of neighbours": Neighbours(),
}

FOLDS, INNER_FOLDS = 5, 3

LEAST_GROUPS = FOLDS * INNER_FOLDS
"""With fewer pictures some folds would be empty."""


class TooFewQuestions(SmallSpatialError):
    """There are too few questions, or too few pictures, to learn from some and ask the others."""


@dataclass(frozen=True)
class BlindAnswers:
    """What was answered of a test set by words alone.

    Attributes:
        chosen: the choice of each question with each fold seed, `[seeds, questions]`.
        by: how often each predictor was taken, over all folds and seeds.
    """

    chosen: np.ndarray
    by: dict[str, int]


def blind_k_fold(
    questions: Sequence[TextQuestion], answers: np.ndarray, groups: np.ndarray, seeds: Sequence[int]
) -> BlindAnswers:
    """Answer each question by the best of three predictors, learnt from the other folds.

    Which predictor is the best is decided by folds inside of those. Neither features nor folds know any
    answer: other answers of a fold change nothing of what is answered there.

    Args:
        questions: all of a test set.
        answers: the right choice of each, `[questions]`.
        groups: any integer that tells apart what must not be split, `[questions]`: pictures, or each question
            by itself.
        seeds: each divides the questions into folds anew.

    Raises:
        TooFewQuestions: there are fewer groups than folds inside and outside need.
    """
    texts, count = Texts(questions), len(np.unique(groups))
    if count < LEAST_GROUPS:
        raise TooFewQuestions(
            f"{len(questions)} questions about {count} pictures are too few to learn from some and ask the "
            f"others; it takes {LEAST_GROUPS} pictures at least."
        )
    chosen, by = np.zeros((len(seeds), len(questions)), int), dict.fromkeys(PREDICTORS, 0)
    for row, seed in enumerate(seeds):
        fold = _folds(groups, FOLDS, seed)
        for held_out in range(FOLDS):
            known, asked = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
            name = _best(texts, known, answers[known], groups[known], seed)
            chosen[row, asked] = PREDICTORS[name].predict(texts, known, answers[known], asked)
            by[name] += 1
    return BlindAnswers(chosen, by)


def _best(texts: Texts, known: np.ndarray, answers: np.ndarray, groups: np.ndarray, seed: int) -> str:
    """The predictor that answers most of the known questions, each learnt from the others."""
    fold = _folds(groups, INNER_FOLDS, seed)
    right = dict.fromkeys(PREDICTORS, 0)
    for held_out in range(INNER_FOLDS):
        inside, outside = fold != held_out, fold == held_out
        for name, predictor in PREDICTORS.items():
            predicted = predictor.predict(texts, known[inside], answers[inside], known[outside])
            right[name] += int((predicted == answers[outside]).sum())
    return max(right, key=right.__getitem__)


def _folds(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each question, `[questions]`; groups are dealt out whole, about as many to each."""
    names, group = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)
    fold: np.ndarray = dealt[group]
    return fold
