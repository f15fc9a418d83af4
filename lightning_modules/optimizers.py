"""Optimizers are tried when a module is made: a rate below 0 would otherwise be found late, at the fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from datamodules.samples import SmallSpatialError


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
