"""Answering by generation: what a model writes, taking the likeliest token or drawing one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.no_numbers import refuse_no_numbers


@dataclass(frozen=True)
class Sampling:
    """Tokens are drawn from all that the model holds possible, with torch's own random numbers.

    Args:
        temperature: by which logits are divided before.
        never: tokens that are not drawn.
    """

    temperature: float = 1.0
    never: tuple[int, ...] = ()


def generate_texts(
    model: Any,
    processor: Any,
    prompt: Mapping[str, Tensor],
    maximum_new_tokens: int,
    stop_strings: Sequence[str] = (),
    names: Sequence[str] = (),
) -> list[str]:
    """What a model answers to each prompt of a batch, the same as one by one: always the likeliest token.

    Args:
        model: a vision-language model of transformers, with or without an adapter around it; in evaluation
            mode.
        processor: its processor, or its tokenizer.
        prompt: its inputs, padded on the left.
        maximum_new_tokens: how much is written at most.
        stop_strings: texts behind which nothing more is wanted; the first one found stays at the end.
        names: the questions' ids, for messages.

    Returns:
        the texts without special tokens and without blanks around them.

    Raises:
        ModelError: the prompts are padded on the right, or a likelihood is no number.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    tokens = generate_tokens(model, tokenizer, prompt, maximum_new_tokens, stop_strings, names=names)
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [_until_stop(text, stop_strings).strip() for text in texts]


@torch.no_grad()
def generate_tokens(
    model: Any,
    tokenizer: Any,
    prompt: Mapping[str, Tensor],
    maximum_new_tokens: int,
    stop_strings: Sequence[str] = (),
    sampling: Sampling | None = None,
    names: Sequence[str] = (),
) -> list[list[int]]:
    """The tokens that a model writes behind each prompt of a batch.

    Writing stops at the tokens that end an answer in the model's own configuration, at the tokenizer's end of
    text, behind the first stop string, or at the limit.

    Args:
        model: a vision-language model of transformers, with or without an adapter around it; in evaluation
            mode.
        tokenizer: its tokenizer.
        prompt: its inputs, padded on the left.
        maximum_new_tokens: how much is written at most.
        stop_strings: texts behind which nothing more is wanted.
        sampling: how tokens are drawn; the likeliest is taken when left out.
        names: the questions' ids, for messages.

    Returns:
        at least one token for each prompt, without padding: the last one ends the answer, completes a stop
        string, or is the one at the limit.

    Raises:
        ModelError: the prompts are padded on the right, or a likelihood is no number.
    """
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    if not bool(prompt["attention_mask"][:, -1].all()):
        raise ModelError(
            "The prompts are padded on the right: give the collator's `prompt`, not its `inputs`."
        )
    settings = _settings(model, tokenizer, maximum_new_tokens, sampling)
    ends: list[int] = settings["eos_token_id"]
    start = prompt["input_ids"].shape[1]
    stop = _StopStrings(tokenizer, stop_strings, start)
    stopping = StoppingCriteriaList([stop] if stop_strings else [])
    numbers = _NoNumbers()
    output = model.generate(
        **prompt,
        generation_config=GenerationConfig(**settings),
        stopping_criteria=stopping,
        logits_processor=LogitsProcessorList([numbers]),
    )
    # In one copy from the device.
    rows = torch.cat([numbers.seen[:, None].long(), output[:, start:]], dim=1).tolist()
    refuse_no_numbers([row for row, (seen, *_) in enumerate(rows) if seen], names)
    written = [tokens[: stop.length.get(row)] for row, (_, *tokens) in enumerate(rows)]
    return [_until_end(tokens, ends) for tokens in written]


def answering_config(model: Any, tokenizer: Any, maximum_new_tokens: int) -> Any:
    """The `GenerationConfig` with which plain `generate` answers as `generate_texts` does.

    Stop strings are not in it: with them `generate` wants to be given the tokenizer.

    Args:
        model: a vision-language model of transformers, with or without an adapter around it.
        tokenizer: its tokenizer.
        maximum_new_tokens: how much is written at most.
    """
    config = copy.deepcopy(model.generation_config)
    config.update(**_settings(model, tokenizer, maximum_new_tokens, None))
    config._from_model_config = False  # it is no longer what transformers made of the model's own
    return config


def _settings(
    model: Any, tokenizer: Any, maximum_new_tokens: int, sampling: Sampling | None
) -> dict[str, Any]:
    """Everything that a model's own generation_config.json might say otherwise.

    Qwen2.5-VL samples, and punishes repetitions, by which a letter that stands in the question would be
    avoided.
    """
    ends = _end_tokens(model, tokenizer)
    return {
        "max_new_tokens": maximum_new_tokens,
        "num_beams": 1,
        "repetition_penalty": 1.0,
        "eos_token_id": ends,
        "pad_token_id": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0],
        "use_cache": True,
        **_choice_of_tokens(model, sampling),
    }


def _choice_of_tokens(model: Any, sampling: Sampling | None) -> dict[str, Any]:
    """The part of a generation's configuration that says which token is taken."""
    if sampling is None:
        return {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0}
    return {
        "do_sample": True,
        "temperature": float(sampling.temperature),
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "suppress_tokens": sorted({*(model.generation_config.suppress_tokens or ()), *sampling.never}),
    }


class _NoNumbers:
    """Notes on the device which rows had a logit of NaN or infinity, and lets generation go on.

    Attributes:
        seen: whether each row had one, `[rows]`.
    """

    seen: Tensor

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The same logits, `[rows, vocabulary]`, with numbers in the place of what is none."""
        # What is suppressed is minus infinity on purpose.
        found = (scores.isnan() | scores.isposinf()).any(-1)
        self.seen = found if not hasattr(self, "seen") else self.seen | found
        return torch.where(found[:, None], torch.zeros_like(scores), scores)


class _StopStrings:
    """Says of each row whether it has written a stop string, and remembers when.

    transformers has such a criterion, but it goes through the whole vocabulary at every call of `generate`.

    Attributes:
        length: how many tokens the rows that have one had written by then. What follows is padding, which
            cannot be told by its number: in SmolVLM it is a token that may be written as well.
    """

    def __init__(self, tokenizer: Any, stop_strings: Sequence[str], start: int) -> None:
        self.tokenizer = tokenizer
        self.stop_strings = stop_strings
        self.start = start
        self.length: dict[int, int] = {}

    def __call__(self, input_ids: Tensor, scores: Any, **arguments: Any) -> Tensor:
        """Whether each row is finished, `[rows]`."""
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        done = [any(stop in text for stop in self.stop_strings) for text in texts]
        for row in (row for row, found in enumerate(done) if found):
            self.length.setdefault(row, input_ids.shape[1] - self.start)
        return torch.tensor(done, device=input_ids.device)


def _until_stop(text: str, stop_strings: Sequence[str]) -> str:
    """The text up to the end of the stop string that is found first."""
    ends = [text.index(stop) + len(stop) for stop in stop_strings if stop in text]
    return text[: min(ends)] if ends else text


def _until_end(tokens: list[int], ends: Sequence[int]) -> list[int]:
    """The tokens up to the first one that ends an answer, all of them where there is none."""
    length = next((at for at, token in enumerate(tokens, start=1) if token in ends), len(tokens))
    return tokens[:length]


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the model's own, and the tokenizer's end of text."""
    own = model.generation_config.eos_token_id
    own = own if isinstance(own, list) else [own]
    return sorted({token for token in (*own, tokenizer.eos_token_id) if token is not None})
