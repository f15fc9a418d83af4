"""How much of a device's matrix units a step of training uses, with a teacher or without."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch import nn

from lightning_modules.distillation.decoder_pass import head_of

_EDGE = {"cuda": 8192, "cpu": 1024}
"""Edge of the matrices whose product shows the peak."""

_PRECISION = {"cuda": torch.bfloat16, "cpu": torch.float32}


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
    causality leaves half, and backward twice that. Of a vision-language model its language model is counted.

    Args:
        student: a model of transformers, perhaps wrapped by peft; its head is frozen.
        teacher: another one, or None.
        tokens: of the sequence.
        positions: how many of them go through the heads.
    """
    forward = 2 * tokens * _weights(student) + _attention(student, tokens)
    backward = forward + _attention(student, tokens) + 2 * tokens * _weights(student, trained=True)
    heads = 2 * positions * 2 * _head(student)
    needed = forward + backward + heads
    if teacher is not None:
        needed += (
            2 * tokens * _weights(teacher) + _attention(teacher, tokens) + 2 * positions * _head(teacher)
        )
    return Work(needed, forward)


def work_of_tower(tower: Any, patches: int) -> float:
    """What a frozen vision tower of Qwen2.5-VL takes for an image.

    Args:
        tower: its layers see windows, or the whole image; then neighbouring patches are merged.
        patches: of the image.
    """
    config = tower.config
    merged = config.spatial_merge_size**2
    after = _linear_weights(tower.merger)
    window = min(patches, (config.window_size // config.patch_size) ** 2)
    whole = len(config.fullatt_block_indexes)
    seen = whole * patches + (config.depth - whole) * window
    weights = tower.patch_embed.proj.weight.numel() + _linear_weights(tower) - after + after / merged
    return float(2 * patches * weights + 4 * patches * seen * config.hidden_size)


def peak_operations(device: str = "cuda") -> float:
    """Operations a second in the product of two large matrices: bfloat16 on a GPU, float32 on a CPU."""
    edge = _EDGE[device]
    left, right = (torch.randn(edge, edge, dtype=_PRECISION[device], device=device) for _ in range(2))
    seconds = []
    for _ in range(20):
        _wait(device)
        began = time.perf_counter()
        torch.mm(left, right)
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * edge**3 / min(seconds)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _decoder(model: Any) -> Any:
    """The layers of a language model, without its head."""
    return (model.get_base_model() if hasattr(model, "get_base_model") else model).get_decoder()


def _weights(model: Any, trained: bool = False) -> int:
    """Weights of the linear layers without the head; or those of them that are trained."""
    return _linear_weights(_decoder(model), trained)


def _linear_weights(module: nn.Module, trained: bool = False) -> int:
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]
    return sum(weight.numel() for weight in weights if weight.requires_grad or not trained)


def _attention(model: Any, tokens: int) -> float:
    config = _decoder(model).config
    return 4 * tokens**2 / 2 * config.hidden_size * config.num_hidden_layers


def _head(model: Any) -> int:
    weight: Any = head_of(model).weight
    return int(weight.numel())
