"""The batches whose gradients make one optimizer step, known before the first of its backward passes.

A term of the loss is a mean over something of its own: tokens, numbers, positions, questions. Where several
batches or processes make a step, each figure counts alike in it, wherever it stands: the step is that of one
process with the joined batch. Dividing every batch by its own count instead, as trainers do by themselves,
lets a token of a short answer weigh many times one of a long answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from lightning_modules.distributed import all_reduce_mean, is_shared
from lightning_modules.lightning_internals import data_fetcher

QUESTIONS = "questions"
"""What a term is a mean over that says nothing else."""

Counts = Mapping[str, int]
"""Of how many figures each term of a batch's loss is the mean; `QUESTIONS` among them."""


class OptimizerStep:
    """How much each batch of a step counts in it.

    With N figures of a term in all batches of all processes, a batch that has n of them enters with n / N
    times its mean. The trainer divides by `divided_by`, and the gradients of processes are averaged: both are
    taken back here.

    Args:
        counts: of each batch of this process.
        divided_by: what the trainer divides each batch's loss by (`accumulate_grad_batches`).
        device: where processes add up their counts.
    """

    def __init__(self, counts: Sequence[Counts], divided_by: int = 1, device: Any = "cpu") -> None:
        self.counts = list(counts)
        self.divided_by = divided_by
        self.position = 0
        names = sorted(set().union(*counts))
        totals = torch.tensor(
            [sum(one.get(name, 0) for one in counts) for name in names], dtype=torch.float64
        )
        if is_shared():
            # Whole numbers, which float32 holds as they are up to 16 million; not all devices know float64.
            totals = all_reduce_mean(totals.to(device, torch.float32)).to(totals.dtype)
        # Plain numbers: a tensor of the host would be copied to the device for every term.
        self.totals = dict(zip(names, totals.tolist(), strict=True))

    def weighed(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms of the batch at `position`, as their sum is handed to the trainer."""
        counts = self.counts[self.position]
        found = {}
        for name, term in terms.items():
            of = name if name in counts else QUESTIONS
            found[name] = term * (counts[of] * self.divided_by / (self.totals[of] or 1.0))
        return found

    @property
    def is_last(self) -> bool:
        """Whether the batch at `position` is the last one of the step."""
        return self.position + 1 == len(self.counts)


def batches_of_step(trainer: Trainer, batch: Any, batch_idx: int) -> list[Any]:
    """A batch and those that follow it in the same optimizer step, as the loader has made them.

    Args:
        trainer: the trainer, which is about to train on the batch.
        batch: the batch.
        batch_idx: its number in the epoch.
    """
    until_step = trainer.accumulate_grad_batches - batch_idx % trainer.accumulate_grad_batches
    following = min(until_step, trainer.num_training_batches - batch_idx) - 1
    return [batch, *_look_ahead(trainer, int(following))] if following > 0 else [batch]


class LookAhead(Iterator[Any]):
    """An iterator of which some elements can be seen before it is their turn.

    Args:
        elements: the iterator.
    """

    def __init__(self, elements: Iterator[Any]) -> None:
        self.elements = elements
        self.seen: list[Any] = []

    def __next__(self) -> Any:
        return self.seen.pop(0) if self.seen else next(self.elements)

    def ahead(self, number: int) -> list[Any]:
        """The next elements, at most so many; fewer where there are no more."""
        while len(self.seen) < number:
            try:
                self.seen.append(next(self.elements))
            except StopIteration:
                break
        return self.seen[:number]


def _look_ahead(trainer: Trainer, number: int) -> list[Any]:
    # Lightning has no public place between its loaders and its loop.
    fetcher = data_fetcher(trainer)
    if not isinstance(fetcher.iterator, LookAhead):
        fetcher.iterator = LookAhead(fetcher.iterator)
    # Of loaders without a length, Lightning has fetched some itself, to know which is the last one.
    fetched = fetcher.batches[:number]
    elements = [*fetched, *fetcher.iterator.ahead(number - len(fetched))]
    return [batch for batch, _, _ in elements]
