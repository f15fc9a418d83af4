"""On-policy distillation: a student that learns from its own answers what its teacher thinks of them.

A student that only sees true answers is never told how to go on from its own mistakes, which are what it has
before it when it answers. After Agarwal et al., "On-Policy Distillation of Language Models: Learning from
Self-Generated Mistakes" (GKD, ICLR 2024), algorithm 1: with a given probability, a step's answers are drawn
from the student, and the divergence from the teacher's next-token distributions is learnt on their tokens.
The answers count as given: no gradient goes through the drawing of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.base import ModelError
from lightning_modules.vlm.collator import TOKEN_INPUTS, VlmCollator, unpadded
from lightning_modules.vlm.generation import Sampling, generate_tokens


@dataclass(frozen=True)
class OnPolicy:
    """How often a student learns from its own answers, and how it writes them.

    Args:
        share: of the training steps, 0 to 1; the others learn from true answers.
        temperature: by which the student's logits are divided before a token is drawn.
        maximum_new_tokens: how much is written at most.

    Raises:
        ModelError: a figure is out of range.
    """

    share: float = 0.5
    temperature: float = 1.0
    maximum_new_tokens: int = 128

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ModelError(
                f"The share of steps on on-policy answers is {self.share}; give a number from 0 to 1 as "
                "on_policy.share."
            )
        if not self.temperature > 0:
            raise ModelError(
                f"The temperature of on-policy answers is {self.temperature}; logits are divided by it, so "
                "give a number above 0 as on_policy.temperature."
            )
        if self.maximum_new_tokens < 1:
            raise ModelError(
                f"On-policy answers of at most {self.maximum_new_tokens} tokens hold nothing to learn; give "
                "a number of at least 1 as on_policy.maximum_new_tokens."
            )

    def sampled(self, seed: int, step: int) -> bool:
        """Whether a step learns from own answers: the same in all processes and in a resumed run.

        Args:
            seed: of the run.
            step: number of the training step.
        """
        return Random(f"{seed} {step}").random() < self.share


def on_policy_answers(
    network: Any,
    tokenizer: Any,
    prompt: Mapping[str, Tensor],
    config: OnPolicy,
    stop_strings: Sequence[str] = (),
) -> list[list[int]]:
    """What a student writes behind each prompt, drawn token by token with torch's own random numbers.

    It writes without dropout, in evaluation mode, and every layer is then put back into the mode it was in.

    Args:
        network: the student, with or without an adapter around it.
        tokenizer: its tokenizer.
        prompt: its inputs, padded on the left.
        config: how it writes.
        stop_strings: texts behind which nothing more is wanted.

    Returns:
        at least one token for each prompt, without padding; the end token is the last one where it was
        written.

    Raises:
        ModelError: the prompts are padded on the right.
    """
    sampling = Sampling(config.temperature, _unusable(network, tokenizer))
    with _evaluating(network):
        answers = generate_tokens(
            network, tokenizer, prompt, config.maximum_new_tokens, stop_strings, sampling
        )
    # Older torch would learn with the copies of half precision that autocast made here, without gradient.
    torch.clear_autocast_cache()
    return answers


def as_taught(
    collator: VlmCollator, prompt: Mapping[str, Tensor], answers: Sequence[list[int]]
) -> tuple[dict[str, Tensor], Tensor]:
    """A batch as it is learnt from, with other answers in the place of the true ones.

    An answer that goes beyond the collator's window loses its end.

    Args:
        collator: the one that made the batch, for learning.
        prompt: the batch's prompts, padded on the left.
        answers: the tokens of an answer to each prompt.

    Returns:
        inputs and labels as in the collator's batches, on the device of the prompts.
    """
    device = prompt["input_ids"].device
    prompts = unpadded(prompt)
    if (window := collator.maximum_tokens) is not None:
        answers = [answer[: window - len(row)] for row, answer in zip(prompts, answers, strict=True)]
    images = {name: tensor for name, tensor in prompt.items() if name not in TOKEN_INPUTS}
    inputs, labels = collator.with_answers(prompts, answers, images)
    return {name: tensor.to(device) for name, tensor in inputs.items()}, labels.to(device)


def _unusable(network: Any, tokenizer: Any) -> tuple[int, ...]:
    """Tokens with which an answer could not be read again.

    A placeholder without its image is refused by the models; numbers that fill up the vocabulary are no
    tokens, and a teacher with a smaller vocabulary has no embeddings for them.
    """
    vocabulary = network.config.get_text_config().vocab_size
    return (network.config.image_token_id, *range(len(tokenizer), vocabulary))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; frozen and trained layers may have been in different modes before."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
