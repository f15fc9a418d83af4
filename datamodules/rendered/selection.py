"""Choosing questions so that a whole split is balanced.

Scenes offer more questions than are asked. They are chosen in the order of the scenes, always the one whose
category and answer are furthest behind their share, so the balance holds in every part of a split and does
not depend on how the work was divided among processes.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from random import Random

from datamodules.rendered.levels import DISTANCE_QUARTILES_M, Level
from datamodules.rendered.questions import Candidate

QUESTIONS_A_SCENE = (6, 8)
"""Fewest and most questions chosen for a scene that offers enough of them."""


class Balance:
    """What has been chosen for a split so far."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self._categories: Counter[str] = Counter()
        self._answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._depths: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def choose(self, offered: Sequence[Candidate], random: Random) -> list[Candidate]:
        """The questions to ask about one scene, in random order."""
        left = list(offered)
        chosen: list[Candidate] = []
        for _ in range(random.randint(*QUESTIONS_A_SCENE)):
            picked = self._next(left, random)
            if picked is None:
                break
            left.remove(picked)
            chosen.append(picked)
            self._categories[picked.category] += 1
            self._answers[picked.category][answer_class(picked)] += 1
            self._depths[picked.category][str(picked.depth)] += 1
        random.shuffle(chosen)
        return chosen

    def _next(self, left: Sequence[Candidate], random: Random) -> Candidate | None:
        """The question that helps the balance most, among those still left."""
        for category in _most_behind(self.level.categories, self._categories):
            pool = self._of_depth([candidate for candidate in left if candidate.category == category])
            shares = self.level.answers.get(category)
            if shares is not None:
                for answer in _most_behind(shares, self._answers[category]):
                    fitting = [candidate for candidate in pool if answer_class(candidate) == answer]
                    if fitting:
                        pool = fitting
                        break
                else:
                    continue
            if pool:
                chained = random.random() < self.level.chained
                pool = [candidate for candidate in pool if candidate.chained == chained] or pool
                family = random.choice(sorted({candidate.family for candidate in pool}))
                return random.choice([candidate for candidate in pool if candidate.family == family])
        return None

    def _of_depth(self, pool: Sequence[Candidate]) -> Sequence[Candidate]:
        """Those questions of one category whose depth is furthest behind; all where depth does not matter."""
        depths = {str(depth): 1 / len(self.level.depths) for depth in self.level.depths}
        for depth in _most_behind(depths, self._depths[pool[0].category]) if pool else ():
            fitting = [candidate for candidate in pool if str(candidate.depth) == depth]
            if fitting:
                return fitting
        return pool


def answer_class(candidate: Candidate) -> str:
    """The name under which an answer is counted: distances by the quartile of the real data they lie in."""
    if candidate.category == "distance":
        return str(bisect(DISTANCE_QUARTILES_M, candidate.answer))
    return str(candidate.answer)


def _most_behind(shares: Mapping[str, float], counts: Counter[str]) -> list[str]:
    """The names of the shares, those furthest behind first."""
    total = sum(counts.values()) + 1
    return sorted(shares, key=lambda name: counts[name] - shares[name] * total)
