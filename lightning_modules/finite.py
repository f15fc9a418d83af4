"""A training stops where its numbers are none any more."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from datamodules.samples import SmallSpatialError


class NotFinite(SmallSpatialError):
    """The loss of a step, or what was trained, is not finite.

    Attributes:
        spoilt: whether the weights are not finite either, so that there is no state before the step.
    """

    def __init__(self, message: str, spoilt: bool) -> None:
        super().__init__(message)
        self.spoilt = spoilt


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers of some tensors are finite; a device is waited for once."""
    finite = [torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point()]
    return not finite or bool(torch.stack(finite).all())
