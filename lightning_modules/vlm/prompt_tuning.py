"""Prompt tuning: added tokens at the start of every prompt, of which the embeddings alone are trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.vlm.tied_tables import say_whether_tied

COMMON_TOKENS = 5000
"""Start values are taken from so many tokens; a byte-pair vocabulary lists the frequent ones first."""


def virtual_names(count: int) -> list[str]:
    """What the added tokens are called in the tokenizer."""
    return [f"<virtual_{number}>" for number in range(count)]


def add_virtual_tokens(model: Any, tokenizer: Any, count: int) -> list[int]:
    """Add the tokens to the tokenizer, make room for them in the model, and keep them out of its answers.

    Args:
        model: a transformers model with an output head.
        tokenizer: its tokenizer.
        count: number of tokens.

    Returns:
        Their token ids.
    """
    from transformers import AddedToken

    names = virtual_names(count)
    added = [AddedToken(name, special=True, normalized=False) for name in names]
    tokenizer.add_tokens(added, special_tokens=True)
    ids = tokenizer.convert_tokens_to_ids(names)
    make_room(model, max(ids) + 1)
    suppress(model, ids)
    return ids


def make_room(model: Any, tokens: int) -> None:
    """Give the token tables as many rows as there are tokens; new rows hold the mean of the old ones.

    With the mean, a new token is as likely an answer as the average one, and the same rows are made again
    wherever the model is loaded.
    """
    before = model.get_input_embeddings().weight.shape[0]
    if tokens <= before:
        return
    say_whether_tied(model)
    # Values are written below: transformers would draw them.
    with torch.random.fork_rng(devices=[]):
        model.resize_token_embeddings(tokens, mean_resizing=False)
    with torch.no_grad():
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            table.weight[before:] = table.weight[:before].float().mean(0).to(table.weight.dtype)
            table.weight.requires_grad_(False)


def suppress(model: Any, ids: list[int]) -> None:
    """Never generate these tokens: with tied tables their embeddings are also rows of the output head."""
    suppressed = model.generation_config.suppress_tokens or []
    model.generation_config.suppress_tokens = sorted({*suppressed, *ids})


@contextmanager
def tied_tables_are_fine() -> Iterator[None]:
    """Silence peft's warning about tied token tables, which its trainable tokens do keep tied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        yield


def start_values(model: Any, tokenizer: Any, count: int) -> Tensor:
    """Embeddings of frequent tokens [count, size], which train better than random ones (Lester et al., 2021).

    Raises:
        ModelError: more tokens are asked for than the vocabulary can give start values to.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    ordinary = [token for token in range(len(tokenizer)) if token not in special][:COMMON_TOKENS]
    if count > len(ordinary):
        raise ModelError(
            f"virtual_tokens is {count}, more than the {len(ordinary)} ordinary tokens of the vocabulary."
        )
    drawn = torch.randperm(len(ordinary), generator=torch.Generator().manual_seed(0))[:count]
    table = model.get_input_embeddings().weight.detach()
    return table[torch.tensor(ordinary)[drawn].to(table.device)].clone()
