"""Answering by generation: what a model writes, always taking the likeliest token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import ModelError


@torch.no_grad()
def generate_texts(
    model: Any,
    processor: Any,
    prompt: Mapping[str, Tensor],
    maximum_new_tokens: int,
    stop_strings: Sequence[str] = (),
) -> list[str]:
    """What a model answers to each prompt of a batch, the same as one by one.

    Writing stops at the tokens that end an answer in the model's own configuration, at the tokenizer's end of
    text, behind the first stop string, or at the limit.

    Args:
        model: a vision-language model of transformers, with or without an adapter around it; in evaluation
            mode.
        processor: its processor, or its tokenizer.
        prompt: its inputs, padded on the left.
        maximum_new_tokens: how much is written at most.
        stop_strings: texts behind which nothing more is wanted; the first one found stays at the end.

    Returns:
        the texts without special tokens and without blanks around them.

    Raises:
        ModelError: the prompts are padded on the right.
    """
    from transformers import GenerationConfig, StoppingCriteriaList

    if not bool(prompt["attention_mask"][:, -1].all()):
        raise ModelError(
            "The prompts are padded on the right: give the collator's `prompt`, not its `inputs`."
        )
    tokenizer = getattr(processor, "tokenizer", processor)
    ends = _end_tokens(model, tokenizer)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
    # Everything that a model's own generation_config.json might say otherwise: Qwen2.5-VL samples, and
    # punishes repetitions, by which a letter that stands in the question would be avoided.
    config = GenerationConfig(
        max_new_tokens=maximum_new_tokens,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        eos_token_id=ends,
        pad_token_id=padding,
        use_cache=True,
    )
    start = prompt["input_ids"].shape[1]
    stopping = StoppingCriteriaList()
    if stop_strings:
        stopping.append(_StopStrings(tokenizer, stop_strings, start))
    output = model.generate(**prompt, generation_config=config, stopping_criteria=stopping)
    texts = tokenizer.batch_decode(output[:, start:], skip_special_tokens=True)
    return [_until_stop(text, stop_strings).strip() for text in texts]


class _StopStrings:
    """Says of each row whether it has written a stop string.

    transformers has such a criterion, but it goes through the whole vocabulary at every call of `generate`.
    """

    def __init__(self, tokenizer: Any, stop_strings: Sequence[str], start: int) -> None:
        self.tokenizer = tokenizer
        self.stop_strings = stop_strings
        self.start = start

    def __call__(self, input_ids: Tensor, scores: Any, **arguments: Any) -> Tensor:
        """Whether each row is finished, `[rows]`."""
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        done = [any(stop in text for stop in self.stop_strings) for text in texts]
        return torch.tensor(done, device=input_ids.device)


def _until_stop(text: str, stop_strings: Sequence[str]) -> str:
    """The text up to the end of the stop string that is found first."""
    ends = [text.index(stop) + len(stop) for stop in stop_strings if stop in text]
    return text[: min(ends)] if ends else text


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the model's own, and the tokenizer's end of text."""
    own = model.generation_config.eos_token_id
    own = own if isinstance(own, list) else [own]
    return sorted({token for token in (*own, tokenizer.eos_token_id) if token is not None})
