"""Predictors that never see a picture: how far a test set's own questions give their answers away.

They learn from some of a test set's questions and answer the others ("train on the test set", arXiv
2511.04655), so that what they reach above chance is no understanding of space. It is a lower bound: another
predictor may find more. The first version of that work read held-out answers (its 75.5 on CV-Bench is
withdrawn); here nothing of a question that is predicted but its words and choices is known to anything.
"""

from __future__ import annotations

import re
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

SLOTS = 2**18
"""So many slots features are hashed into: no table of names is learnt, of which a label could leak."""

NEIGHBOURS = 15
"""So many questions vote."""

SMOOTHING = 0.5
"""What is added to every count of the naive Bayes predictor."""

PENALTY = 2e-3
"""Weight of the squared weights in the regression's mean loss."""

_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?")


@dataclass(frozen=True)
class TextQuestion:
    """What is known of a question without its picture.

    Attributes:
        text: the question.
        choices: what may be answered.
        task: its kind.
    """

    text: str
    choices: tuple[str, ...]
    task: str


class Texts:
    """The features of some questions and of each of their choices; labels play no part.

    Args:
        questions: each with at least one choice.

    Attributes:
        first: the row of each question's first choice, and one more at the end, `[questions + 1]`.
        of_choices: features of all choices, one after the other, `[choices, slots]`.
        of_questions: how often each word occurs in a question, `[questions, slots]`.
        of_answers: the same in a choice, `[choices, slots]`.
    """

    def __init__(self, questions: Sequence[TextQuestion]) -> None:
        self.first = np.cumsum([0, *(len(question.choices) for question in questions)])
        self.of_choices = _hashed([each for question in questions for each in _choice_features(question)])
        self.of_questions = _hashed([_words(question.text) for question in questions])
        self.of_answers = _hashed([_words(text) for question in questions for text in question.choices])

    def rows(self, chosen: np.ndarray) -> np.ndarray:
        """The rows of the choices of chosen questions, one question after the other."""
        return np.concatenate([np.arange(self.first[q], self.first[q + 1]) for q in chosen])

    def best(self, scores: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The best choice of each chosen question, of scores of all their choices; the first among equals."""
        sizes = self.first[chosen + 1] - self.first[chosen]
        return np.array([part.argmax() for part in np.split(scores, np.cumsum(sizes)[:-1])])


class Predictor(Protocol):
    """Learns from questions with known answers, and answers others."""

    @abstractmethod
    def predict(self, texts: Texts, known: np.ndarray, answers: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """The choice for each question that is asked, `[asked]`.

        Args:
            texts: of all questions.
            known: numbers of the questions to learn from.
            answers: their right choices, `[known]`.
            asked: numbers of the questions to answer.
        """


class NaiveBayes:
    """Which features right choices have more often than wrong ones, each taken by itself."""

    def predict(self, texts: Texts, known: np.ndarray, answers: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """As `Predictor.predict` has it."""
        seen = texts.of_choices[texts.rows(known)]
        right = np.zeros(seen.shape[0], bool)
        right[_right_rows(texts, known, answers)] = True
        of_right = np.asarray(seen[right].sum(0)).ravel() + SMOOTHING
        of_wrong = np.asarray(seen[~right].sum(0)).ravel() + SMOOTHING
        sums = right.sum() + 2 * SMOOTHING, (~right).sum() + 2 * SMOOTHING
        weights = np.log(of_right / sums[0]) - np.log(of_wrong / sums[1])
        scores: np.ndarray = texts.of_choices[texts.rows(asked)] @ weights
        return texts.best(scores, asked)


class Regression:
    """Logistic regression over a question's choices: features are weighed together."""

    def predict(self, texts: Texts, known: np.ndarray, answers: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """As `Predictor.predict` has it."""
        seen = texts.of_choices[texts.rows(known)]
        # Slots that no choice fills need no weight.
        used = np.unique(seen.indices)
        seen = seen[:, used]
        sizes = texts.first[known + 1] - texts.first[known]
        starts = np.cumsum([0, *sizes[:-1]])
        right = _right_rows(texts, known, answers)

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            scores = seen @ weights
            top = np.maximum.reduceat(scores, starts)
            raised = np.exp(scores - np.repeat(top, sizes))
            sums = np.add.reduceat(raised, starts)
            chances = raised / np.repeat(sums, sizes)
            chances[right] -= 1
            total = (top + np.log(sums) - scores[right]).mean() + PENALTY * weights @ weights / 2
            return float(total), seen.T @ chances / len(known) + PENALTY * weights

        found = minimize(loss, np.zeros(len(used)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        scores: np.ndarray = texts.of_choices[texts.rows(asked)][:, used] @ found.x
        return texts.best(scores, asked)


class Neighbours:
    """The vote of the questions that are most alike: the choice most like their right ones."""

    def predict(self, texts: Texts, known: np.ndarray, answers: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """As `Predictor.predict` has it."""
        seen = texts.of_questions[known]
        # Rare words count for more; how rare they are is learnt from the known questions alone.
        rarity = np.log((1 + len(known)) / (1 + np.bincount(seen.indices, minlength=SLOTS)))
        alike = (_unit(texts.of_questions[asked].multiply(rarity)) @ _unit(seen.multiply(rarity)).T).toarray()
        nearest = np.argsort(-alike, axis=1, kind="stable")[:, :NEIGHBOURS]
        row = np.repeat(np.arange(len(asked)), nearest.shape[1])
        weights = csr_matrix((alike[row, nearest.ravel()], (row, nearest.ravel())), shape=alike.shape)
        voted = weights @ _unit(texts.of_answers[texts.rows(known)[_right_rows(texts, known, answers)]])
        sizes = texts.first[asked + 1] - texts.first[asked]
        mine = _unit(texts.of_answers[texts.rows(asked)])
        scores = mine.multiply(voted[np.repeat(np.arange(len(asked)), sizes)]).sum(1)
        return texts.best(np.asarray(scores).ravel(), asked)


def _right_rows(texts: Texts, known: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Where the right choices stand among the rows of known questions."""
    sizes = texts.first[known + 1] - texts.first[known]
    return np.cumsum([0, *sizes[:-1]]) + answers


def _choice_features(question: TextQuestion) -> list[list[str]]:
    """Of each choice: its place, its words and text, its rank among the lengths and numbers of all."""
    numbers = [_number(text) for text in question.choices]
    lengths = [float(len(text)) for text in question.choices]
    asked = set(_words(question.text))
    features = []
    for place, text in enumerate(question.choices):
        own = [f"place {place}", f"text {text.lower()}", f"length {_rank(lengths, place)}"]
        if None not in numbers:
            own.append(f"number {_rank([number or 0.0 for number in numbers], place)}")
        words = set(_words(text))
        own += [f"word {word}" for word in words]
        own.append(f"shares {min(len(words & asked), 3)} words")
        own += [f"{question.task}: {each}" for each in own]
        features.append(own)
    return features


def _rank(values: Sequence[float], place: int) -> str:
    """Whether a value is the smallest, the largest, alone in that, or between."""
    if values[place] == min(values):
        return "smallest" if values.count(values[place]) == 1 else "one of the smallest"
    if values[place] == max(values):
        return "largest" if values.count(values[place]) == 1 else "one of the largest"
    return "between"


def _number(text: str) -> float | None:
    found = re.search(r"-?\d+(?:\.\d+)?", text)
    return float(found[0]) if found else None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _hashed(features: Sequence[Sequence[str]]) -> csr_matrix:
    """How often each feature occurs, `[rows, slots]`; by a hash that is the same in every process."""
    rows = [row for row, own in enumerate(features) for _ in own]
    slots = [zlib.crc32(feature.encode()) % SLOTS for own in features for feature in own]
    return csr_matrix((np.ones(len(rows)), (rows, slots)), shape=(len(features), SLOTS))


def _unit(vectors: csr_matrix) -> csr_matrix:
    """Rows of length 1; zeros stay zeros."""
    vectors = csr_matrix(vectors)
    lengths = np.sqrt(np.asarray(vectors.multiply(vectors).sum(1)).ravel())
    return csr_matrix(vectors.multiply(1 / np.maximum(lengths, 1e-12)[:, None]))
