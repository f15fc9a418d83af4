"""Which of many possible questions are asked, so that no answer can be guessed from the words alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, Protocol, TypeVar

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


class Question(Protocol):
    """What the balance must know about a question.

    `task` is its kind; `about` says what it is about: one image gets no two questions of one task about the
    same; `tallies` are what its answer counts towards.
    """

    @property
    def task(self) -> str:
        """The kind of question."""
        ...

    @property
    def about(self) -> frozenset[int | str]:
        """What the question is about."""
        ...

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """What its answer counts towards."""
        ...


AnyQuestion = TypeVar("AnyQuestion", bound=Question)


class Balance(Generic[AnyQuestion]):
    """Chooses questions, scene after scene, and remembers how often every answer was right."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Hashable, Hashable]] = Counter()

    def ask(
        self, offered: Sequence[AnyQuestion], numbers: Mapping[str, int], random: Random
    ) -> Iterator[AnyQuestion]:
        """Take questions about one scene, as many of every task as asked for where the balance allows it.

        Args:
            offered: all questions that the scene can be asked.
            numbers: how many of every task.
            random: breaks ties.
        """
        for task, number in numbers.items():
            left = [question for question in offered if question.task == task]
            for _ in range(number):
                chosen = self._choose(left, random)
                if chosen is None:
                    break
                yield chosen
                left = [question for question in left if question.about != chosen.about]

    def _choose(self, offered: Sequence[AnyQuestion], random: Random) -> AnyQuestion | None:
        """The question that keeps the answers most even, or None where each would tip the scales."""
        leads = [[self._lead(tally) for tally in question.tallies] for question in offered]
        costs = {
            number: sum(lead)
            for number, (question, lead) in enumerate(zip(offered, leads, strict=True))
            if all(ahead < tally.slack for ahead, tally in zip(lead, question.tallies, strict=True))
        }
        if not costs:
            return None
        least = min(costs.values())
        chosen = offered[random.choice([number for number, cost in costs.items() if cost == least])]
        for tally in chosen.tallies:
            self._counts[tally.group, tally.answer] += 1
        return chosen

    def _lead(self, tally: Tally) -> int:
        """How many more questions have this answer than the rarest one of its group."""
        rarest = min(self._counts[tally.group, answer] for answer in tally.answers)
        return self._counts[tally.group, tally.answer] - rarest
