"""What may be written when a chain is: regions, the word behind them, and one answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.tiny_giant.chains import ANSWER, FILLER, FILLERS, MOST_REGIONS, Chain
from lightning_modules.tiny_giant.vocabulary import END, NUMBER, Vocabulary

LONGEST_CHAIN = MOST_REGIONS + 4
"""Most tokens of a chain: its regions, the word behind them, an answer of at most two, the end."""


@dataclass(frozen=True)
class ChainGrammar:
    """Which tokens may follow on what has been written.

    First regions of the question, each at most once, until the word `<answer>`; behind it one region, one
    number, one or two digits, or a side, and then the end. Which of these the model chooses is its own.

    Attributes:
        vocabulary: knows the words' numbers.
        chain: how chains are written.
    """

    vocabulary: Vocabulary
    chain: Chain

    def allowed(self, written: Tensor, named: Tensor) -> Tensor:
        """Whether each token may come next, `[questions, vocabulary + regions]`.

        Args:
            written: tokens from the start token on, `[questions, written]`.
            named: which regions exist, `[questions, regions]`.
        """
        size = self.vocabulary.size
        answer = self.vocabulary.number_of(ANSWER)
        digits = [self.vocabulary.number_of(digit) for digit in "0123456789"]
        kinds = [NUMBER, *digits, *(self.vocabulary.number_of(side) for side in ("left", "right"))]
        allowed = torch.zeros(len(written), size + named.shape[1], dtype=torch.bool, device=written.device)
        behind = (written == answer).long().cumsum(1).sum(1)  # 0 before the word, 1 with it, ...
        before = behind == 0

        if self.chain.control == "filler":
            count = written.shape[1] - 1
            allowed[before, self.vocabulary.number_of(FILLER) if count < FILLERS else answer] = True
        else:
            used = torch.zeros_like(named)
            for column in written.T:
                is_region = column >= size
                used[is_region, column[is_region] - size] = True
            more = used.sum(1) < MOST_REGIONS
            allowed[:, size:] = named & ~used & (before & more)[:, None]
            allowed[before, answer] = True

        first = behind == 1
        allowed[:, kinds] |= first[:, None]
        allowed[:, size:] |= named & first[:, None]
        if self.chain.counts == "set":
            allowed[first, END] = True
        last = written[:, -1]
        one_digit = (behind == 2) & torch.isin(last, torch.tensor(digits, device=last.device))
        allowed[:, digits] |= one_digit[:, None]
        allowed[:, END] |= behind >= 2
        return allowed
