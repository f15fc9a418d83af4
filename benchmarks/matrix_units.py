"""How much of a GPU's matrix units a step of distillation uses."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch import nn

from lightning_modules.distillation.decoder_pass import head_of

_LARGE = 8192
"""Edge of the matrices whose product shows the peak."""


class Work(NamedTuple):
    """Floating-point operations of a step.

    Attributes:
        needed: of the models' forward passes and the student's backward pass.
        recomputed: of the student's layers, once more for the backward pass.
    """

    needed: float
    recomputed: float


def work_of(student: Any, teacher: Any, tokens: int, positions: int) -> Work:
    """What the models' matrix products take; what the losses compute beyond the heads is not counted.

    Each weight takes 2 operations a token forward and 2 backward, for the gradient of what went in; a trained
    one 2 more, for its own gradient. Attention takes 4 for each pair of tokens, channel and layer, of which
    causality leaves half, and backward twice that.

    Args:
        student: a language model of transformers, perhaps wrapped by peft; its head is frozen.
        teacher: another one.
        tokens: of the sequence.
        positions: how many of them go through the heads.
    """
    forward = 2 * tokens * _weights(student) + _attention(student, tokens)
    backward = forward + _attention(student, tokens) + 2 * tokens * _weights(student, trained=True)
    taught = 2 * tokens * _weights(teacher) + _attention(teacher, tokens)
    heads = 2 * positions * (2 * _head(student) + _head(teacher))
    return Work(forward + backward + taught + heads, forward)


def peak_operations() -> float:
    """Operations a second of the GPU's matrix units in the product of two large matrices of bfloat16."""
    left, right = (torch.randn(_LARGE, _LARGE, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    seconds = []
    for _ in range(20):
        torch.cuda.synchronize()
        began = time.perf_counter()
        torch.mm(left, right)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * _LARGE**3 / min(seconds)


def _weights(model: Any, trained: bool = False) -> int:
    """Weights of the linear layers without the head; or those of them that are trained."""
    layers = {module for module in model.modules() if isinstance(module, nn.Linear)} - {head_of(model)}
    return sum(layer.weight.numel() for layer in layers if layer.weight.requires_grad or not trained)


def _attention(model: Any, tokens: int) -> float:
    return 4 * tokens**2 / 2 * model.config.hidden_size * model.config.num_hidden_layers


def _head(model: Any) -> int:
    weight: Any = head_of(model).weight
    return int(weight.numel())
