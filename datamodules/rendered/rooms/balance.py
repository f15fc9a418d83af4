"""Which of many possible questions are asked, so that no answer can be guessed from the words alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

SLACK = 2
"""By default, an answer is right at most this many times more often than the rarest one of its group."""


@dataclass(frozen=True)
class Tally:
    """A question counts as one of several answers that should be equally frequent.

    Attributes:
        group: what the answers belong to, such as the class of the object asked about.
        answer: the answer of this question, or what stands for it.
        answers: all answers of the group.
        slack: how many times more often than the rarest answer of the group this one may be right.
    """

    group: Hashable
    answer: Hashable
    answers: tuple[Hashable, ...]
    slack: int = SLACK


Candidate = TypeVar("Candidate")


class Balance(Generic[Candidate]):
    """Chooses questions one after another and remembers how often every answer was right."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Hashable, Hashable]] = Counter()

    def choose(
        self, offered: Sequence[tuple[Candidate, Sequence[Tally]]], random: Random
    ) -> tuple[Candidate, Sequence[Tally]] | None:
        """Take the question that keeps the answers most even, or None where each would tip the scales.

        Args:
            offered: questions with the tallies that they count towards.
            random: breaks ties.
        """
        allowed = [offer for offer in offered if all(self._lead(tally) < tally.slack for tally in offer[1])]
        if not allowed:
            return None
        costs = [sum(self._lead(tally) for tally in offer[1]) for offer in allowed]
        least = min(costs)
        chosen = random.choice([offer for offer, cost in zip(allowed, costs, strict=True) if cost == least])
        self.count(chosen[1])
        return chosen

    def count(self, tallies: Iterable[Tally]) -> None:
        """Remember a question that is asked."""
        for tally in tallies:
            self._counts[tally.group, tally.answer] += 1

    def _lead(self, tally: Tally) -> int:
        """How many more questions have this answer than the rarest one of its group."""
        rarest = min(self._counts[tally.group, answer] for answer in tally.answers)
        return self._counts[tally.group, tally.answer] - rarest
