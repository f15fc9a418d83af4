"""Whether chains and the answers behind them are right, and those behind true chains would be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from datamodules.samples import Answer, SpatialSample
from lightning_modules.distributed import joined_sums
from lightning_modules.tiny_giant.chains import ANSWER, Chain, regions_of, steps_of
from lightning_modules.tiny_giant.vocabulary import Vocabulary

GO_ON = -1


def true_regions(sample: SpatialSample, chain: Chain) -> list[int]:
    """The regions that lead to a question's answer, as its rationale names them."""
    return regions_of(steps_of(sample, chain.counts))


def true_chains(samples: Sequence[SpatialSample], chain: Chain, vocabulary: Vocabulary) -> Tensor:
    """Tokens of the true chains up to the word before the answer, `[questions, longest]`, then -1."""
    rows = [
        [*(vocabulary.size + region for region in true_regions(sample, chain)), vocabulary.number_of(ANSWER)]
        if sample.rationale
        else []
        for sample in samples
    ]
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[GO_ON] * (longest - len(row))] for row in rows])


class ChainScores:
    """Shares of the questions with a rationale, summed over batches."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def update(
        self, own: Sequence[Answer], led: Sequence[Answer], chain: Chain, judge: Callable[[Answer], Any]
    ) -> None:
        """Add the answers to some questions.

        Args:
            own: answers behind the model's own chains.
            led: answers behind the true ones, in the same order.
            chain: how chains are written.
            judge: says of an answer whether it is `correct`.
        """
        for answer, answer_led in zip(own, led, strict=True):
            sample = answer.sample
            if not sample.rationale or sample.answer is None:
                continue
            right = bool(judge(answer).correct)
            chain_right = answer.reasoning == written(true_regions(sample, chain))
            figures = {
                "chain": chain_right,
                "answer": right,
                "both": chain_right and right,
                "answer_behind_true_chain": bool(judge(answer_led).correct),
            }
            for name, value in figures.items():
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = total + value, count + 1

    def compute(self) -> dict[str, float]:
        """The percentages over all processes, after which counting begins anew."""
        sums, self._sums = joined_sums(self._sums), {}
        return {name: 100 * total / count for name, (total, count) in sums.items() if count}


def written(regions: Sequence[int]) -> str:
    """Regions as a chain is shown."""
    return " ".join(f"[Region {region}]" for region in regions)
