"""Optimizers: tried when a module is made, and made so that only what weight decay is meant for decays.

A rate below 0 would otherwise be found late, at the fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from datamodules.samples import SmallSpatialError

Decay = Literal["matrices", "all"]
"""Which weights decay, where the optimizer's `weight_decay` is above 0.

`matrices` spares biases, norms and scales (those of IA3 and DoRA): 0 is no neutral value of theirs.
"""


class OptimizerError(SmallSpatialError):
    """An optimizer does not take its settings."""


def require_optimizer(make: Callable[..., Any]) -> None:
    """Raise `OptimizerError` where an optimizer cannot be made of a parameter.

    Args:
        make: makes the optimizer from parameters.
    """
    try:
        make([nn.Parameter(torch.zeros(1, 1))])
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise OptimizerError(f"The optimizer does not take its settings: {reason}.") from error


def optimizer_of(make: Callable[..., Any], module: nn.Module, decay: Decay) -> torch.optim.Optimizer:
    """The optimizer of a module's parameters that require a gradient.

    Args:
        make: makes the optimizer from parameters, or from groups of them.
        module: the module.
        decay: which weights decay.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer = make(trained)
    if decay == "all" or not optimizer.defaults.get("weight_decay"):
        return optimizer
    spared = _spared(module)
    decaying = [parameter for parameter in trained if id(parameter) not in spared]
    others = [parameter for parameter in trained if id(parameter) in spared]
    if not others:
        return optimizer
    groups = [{"params": decaying}] if decaying else []
    remade: torch.optim.Optimizer = make([*groups, {"params": others, "weight_decay": 0.0}])
    return remade


def _spared(module: nn.Module) -> set[int]:
    """The identities of biases, of what norms are made of, and of vectors."""
    spared = set()
    for layer in module.modules():
        is_norm = "norm" in type(layer).__name__.lower()
        for name, parameter in layer.named_parameters(recurse=False):
            is_vector = parameter.numel() == max(parameter.shape, default=1)
            if is_norm or is_vector or name.endswith("bias"):
                spared.add(id(parameter))
    return spared
