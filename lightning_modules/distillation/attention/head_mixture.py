"""The two sums that attention maps of two models are compared by, over any of their rows and columns."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Similarity = Literal["sum", "mean"]
"""Of two attention maps: the sum of the inner products of their rows, or the mean of them."""


def inner_products(student: Tensor, teacher: Tensor) -> Tensor:
    """Inner products of all pairs of heads, [samples, teacher's heads, student's heads].

    Args:
        student: the student's, [samples, student's heads, rows, columns].
        teacher: the teacher's, [samples, teacher's heads, rows, columns]; rows of 0 do not count.
    """
    return teacher.flatten(2) @ student.flatten(2).mT


def head_weights(products: Tensor, rows: Tensor, temperature: float, similarity: Similarity) -> Tensor:
    """How much of each of the student's heads is in the mixture for each of the teacher's, of its shape.

    Args:
        products: inner products, summed over rows, [samples, teacher's heads, student's heads].
        rows: how many rows they are summed over, [samples].
        temperature: what similarities are divided by.
        similarity: sum or mean.
    """
    if similarity == "mean":
        products = products / rows[:, None, None]
    return (products / temperature).softmax(-1)


def divergence_of_mixture(student: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """KL divergence of the teacher's heads from mixtures of the student's, summed over all rows, [samples].

    Args:
        student: the student's, [samples, student's heads, rows, columns].
        teacher: the teacher's, [samples, teacher's heads, rows, columns]; rows of 0 do not count.
        weights: of the student's heads, [samples, teacher's heads, student's heads].
    """
    mixture = (weights @ student.flatten(2)).view_as(teacher)
    # Shares that have underflowed to 0 count as the smallest number, which keeps the divergence finite.
    smallest = torch.finfo(mixture.dtype).tiny
    surprise = teacher.clamp_min(smallest).log() - mixture.clamp_min(smallest).log()
    return (teacher * surprise).sum((1, 2, 3))
