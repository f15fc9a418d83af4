"""Reading prompts with a language model, once: what comes next, and a cache to go on from."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.vlm.distinct_images import embed_prompts
from lightning_modules.vlm.shared_prefixes import SharedPrefixes, shared_prefixes_of

ROWS_AT_ONCE = 64
"""How many continuations are read in one pass: each has all of its prompt's keys and values for itself."""


@dataclass
class ReadPrompts:
    """Prompts after the model has read them.

    Attributes:
        model: the model.
        log_probabilities: of each token to come next, `[questions, vocabulary]`.
        cache: keys and values of all tokens read, or None where none were asked for.
        mask: which tokens of the cache are no padding, `[questions, cached tokens]`.
        next_position: the position of the token that comes next, `[questions]`.
    """

    model: Any
    log_probabilities: Tensor
    cache: Any
    mask: Tensor
    next_position: Tensor

    def go_on(self, questions: Sequence[int], tokens: Sequence[Sequence[int]]) -> Tensor:
        """Read on, and say what comes next after each further token; the cache is used up by it.

        Args:
            questions: which prompts to go on from; one may be named several times.
            tokens: the tokens to read after each of them, of any lengths above 0.

        Returns:
            logarithms of probabilities `[len(questions), longest, vocabulary]`.
        """
        longest = max(len(row) for row in tokens)
        starts = range(0, len(questions), ROWS_AT_ONCE)
        parts = []
        for start in starts:
            part = slice(start, start + ROWS_AT_ONCE)
            cache = self.cache if start == starts[-1] else copy.deepcopy(self.cache)
            parts.append(self._read_on(list(questions[part]), tokens[part], longest, cache))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _read_on(
        self, questions: list[int], tokens: Sequence[Sequence[int]], longest: int, cache: Any
    ) -> Tensor:
        """Read on in one pass, with a cache that is used up."""
        device = self.mask.device
        rows = torch.tensor(questions, device=device)
        # Padding on the right: nothing real sees it.
        padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in tokens], device=device)
        lengths = torch.tensor([len(row) for row in tokens], device=device)
        steps = torch.arange(longest, device=device)
        if questions != list(range(len(self.mask))):
            cache.batch_select_indices(rows)
        output = self.model(
            input_ids=padded,
            attention_mask=torch.cat([self.mask[rows], (steps < lengths[:, None]).to(self.mask)], 1),
            position_ids=self.next_position[rows, None] + steps,
            past_key_values=cache,
            use_cache=True,
        )
        return output.logits.float().log_softmax(-1)


def read_prompts(model: Any, prompt: Mapping[str, Tensor], keep_cache: bool) -> ReadPrompts:
    """Read prompts; images are encoded once, and so are beginnings that prompts share.

    Args:
        model: a vision-language model of transformers, with or without an adapter around it.
        prompt: its inputs, padded on the left.
        keep_cache: whether anything is to be read after the prompts.

    Raises:
        ModelError: the prompts are padded on the right, or placeholders and images do not match.
    """
    mask = prompt["attention_mask"]
    if not bool(mask[:, -1].all()):
        raise ModelError(
            "The prompts are padded on the right: give the collator's `prompt`, not its `inputs`."
        )
    network = model.get_base_model() if hasattr(model, "get_base_model") else model
    embedded = embed_prompts(network, prompt)
    positions = _positions(network, prompt)
    prefixes = None
    # With token types a prompt sees itself in both directions: its beginning depends on its end.
    if "token_type_ids" not in prompt:
        placeholders = prompt["input_ids"] == network.config.image_token_id
        prefixes = shared_prefixes_of(prompt["input_ids"], mask, placeholders, embedded.images)
    if prefixes is not None and _fits_window(network, mask):
        logits, cache, mask = _read_in_two(model, embedded.embeddings, mask, positions, prefixes)
    else:
        types = {name: prompt[name] for name in ("token_type_ids",) if name in prompt}
        output = model(
            inputs_embeds=embedded.embeddings,
            attention_mask=mask,
            position_ids=positions,
            use_cache=keep_cache,
            logits_to_keep=1,
            **types,
        )
        logits, cache = output.logits, output.past_key_values if keep_cache else None
    highest = positions.amax(-1) if positions.ndim == 2 else positions.amax((0, -1))
    return ReadPrompts(model, logits[:, -1].float().log_softmax(-1), cache, mask, highest + 1)


def _positions(network: Any, prompt: Mapping[str, Tensor]) -> Tensor:
    """Each token's position: `[questions, tokens]`, or `[3, questions, tokens]` for time, row, column."""
    mask = prompt["attention_mask"]
    inner = getattr(network, "model", None)
    if "image_grid_thw" in prompt and inner is not None and hasattr(inner, "get_rope_index"):
        positions, _ = inner.get_rope_index(
            prompt["input_ids"],
            mm_token_type_ids=prompt["mm_token_type_ids"],
            image_grid_thw=prompt["image_grid_thw"],
            attention_mask=mask,
        )
        return positions
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def _fits_window(network: Any, mask: Tensor) -> bool:
    """Whether no sliding window of attention is shorter than a prompt: it would count padding in between."""
    window = getattr(network.config.get_text_config(), "sliding_window", None)
    return window is None or 2 * mask.shape[1] <= window


def _read_in_two(
    model: Any, embeddings: Tensor, mask: Tensor, positions: Tensor, prefixes: SharedPrefixes
) -> tuple[Tensor, Any, Tensor]:
    """Read each beginning once, then the rest of every prompt: logits, cache, and mask of the cache."""
    starts = mask.shape[1] - mask.sum(1)
    ends = starts + torch.tensor(prefixes.length, device=mask.device)
    first = torch.tensor(prefixes.first, device=mask.device)
    group = torch.tensor(prefixes.group, device=mask.device)

    places, prefix_mask = _left_padded(starts[first], ends[first])
    output = model(
        inputs_embeds=_taken(embeddings[first], places),
        attention_mask=prefix_mask.to(mask),
        position_ids=_taken_positions(positions[..., first, :], places),
        use_cache=True,
        logits_to_keep=1,
    )
    cache = output.past_key_values
    cache.batch_select_indices(group)

    places, rest_mask = _left_padded(ends, torch.full_like(ends, mask.shape[1]))
    whole_mask = torch.cat([prefix_mask[group], rest_mask], 1).to(mask)
    output = model(
        inputs_embeds=_taken(embeddings, places),
        attention_mask=whole_mask,
        position_ids=_taken_positions(positions, places),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits, cache, whole_mask


def _left_padded(starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """The places from start to end of each row, aligned on the right, `[rows, longest]`; which are real."""
    longest = int((ends - starts).max())
    places = ends[:, None] - longest + torch.arange(longest, device=ends.device)
    return places.clamp(min=0), places >= starts[:, None]


def _taken(embeddings: Tensor, places: Tensor) -> Tensor:
    return embeddings.gather(1, places[..., None].expand(-1, -1, embeddings.shape[-1]))


def _taken_positions(positions: Tensor, places: Tensor) -> Tensor:
    return positions.gather(-1, places.expand(*positions.shape[:-1], -1))
