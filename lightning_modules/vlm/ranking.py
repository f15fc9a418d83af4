"""Answering by ranking: how likely a model finds each of the answers that a question allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.no_numbers import refuse_no_numbers
from lightning_modules.vlm.prefill import read_prompts


@torch.no_grad()
def rank_candidates(
    model: Any,
    prompt: Mapping[str, Tensor],
    candidates: Sequence[Sequence[Sequence[int]]],
    names: Sequence[str] = (),
) -> list[list[float]]:
    """The log-likelihood of every candidate answer: the sum of its tokens' log-probabilities.

    The prompts are read once. That is all where candidates are single tokens, such as letters; the tokens of
    longer ones are read on from the cache, and what candidates of a question begin with in common, once.

    The sum is not divided by the number of tokens: it is the probability that the model writes this answer,
    by which `generate` goes as well. The mean would prefer long candidates, whose later tokens follow from
    the first ones, and the two ways of answering would disagree.

    Args:
        model: a vision-language model of transformers, with or without an adapter around it; in evaluation
            mode.
        prompt: its inputs, padded on the left.
        candidates: for each question, the tokens of each candidate.
        names: the questions' ids, for messages.

    Returns:
        for each question, one number for each of its candidates.

    Raises:
        ModelError: the numbers of questions differ, a candidate has no tokens, the prompts are not of a
            form that can be read, or a likelihood is no finite number.
    """
    if len(candidates) != len(prompt["input_ids"]):
        raise ModelError(
            f"There are candidates for {len(candidates)} questions, but {len(prompt['input_ids'])} prompts."
        )
    if any(not tokens for several in candidates for tokens in several):
        raise ModelError("A candidate answer has no tokens, so its likelihood means nothing: leave it out.")
    contexts = [
        (question, context) for question, several in enumerate(candidates) for context in _contexts(several)
    ]
    read = read_prompts(model, prompt, keep_cache=bool(contexts))
    first = read.log_probabilities
    later = (
        read.go_on([question for question, _ in contexts], [context for _, context in contexts])
        if contexts
        else first[:, None]
    )
    picks: list[Tensor] = []
    for question, several in enumerate(candidates):
        for tokens in several:
            total = first[question, tokens[0]]
            if len(tokens) > 1:
                row = _row_of(contexts, question, tokens)
                steps = torch.arange(len(tokens) - 1, device=later.device)
                total = total + later[row, steps, torch.tensor(tokens[1:], device=later.device)].sum()
            picks.append(total)
    flat = iter(torch.stack(picks).tolist() if picks else [])
    scores = [[next(flat) for _ in several] for several in candidates]
    refuse_no_numbers(
        [row for row, several in enumerate(scores) if not all(map(math.isfinite, several))], names
    )
    return scores


def _contexts(several: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The token sequences that have to be read to know what follows, without those that begin another one."""
    needed = {tuple(tokens[:-1]) for tokens in several if len(tokens) > 1}
    return sorted(
        context
        for context in needed
        if not any(other != context and other[: len(context)] == context for other in needed)
    )


def _row_of(contexts: list[tuple[int, tuple[int, ...]]], question: int, tokens: Sequence[int]) -> int:
    """Which of the contexts read goes through all tokens of a candidate but the last."""
    before = tuple(tokens[:-1])
    return next(
        row
        for row, (asked, context) in enumerate(contexts)
        if asked == question and context[: len(before)] == before
    )
