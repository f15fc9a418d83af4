"""The sum of tensors."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def sum_of(tensors: Iterable[Tensor]) -> Tensor:
    """A tensor also where there is none to add, and so for type checkers, which `sum` leaves the number 0."""
    return sum(tensors, torch.zeros(()))
