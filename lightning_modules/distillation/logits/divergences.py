"""How far a student's distribution over the next token is from its teacher's, one figure per position.

Every divergence takes log-probabilities of both over the same classes, `[positions, classes]`, and gives
`[positions]` in nats. With P the teacher and Q the student, after Agarwal et al., "On-Policy Distillation of
Language Models: Learning from Self-Generated Mistakes" (GKD, ICLR 2024), section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lightning_modules.precision import at_least_float32

Divergence = Literal["forward_kl", "reverse_kl", "jsd"]

PerPosition = Callable[[Tensor, Tensor], Tensor]
"""From the teacher's and the student's log-probabilities to one figure per position."""

IMPOSSIBLE = -1e30
"""Stands for the logarithm of zero: zero times it is zero, where zero times infinity is not a number."""


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """`log softmax(logits / temperature)` over the last dimension, in float32 at least."""
    return torch.log_softmax(at_least_float32(logits) / temperature, dim=-1)


def forward_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """`KL(P || Q) = sum P (log P - log Q)`: the student spreads over all that the teacher holds possible.

    The divergence of Hinton et al., "Distilling the Knowledge in a Neural Network" (2015).
    """
    return (teacher.exp() * (teacher - student)).sum(dim=-1)


def reverse_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """`KL(Q || P) = sum Q (log Q - log P)`: the student keeps to what the teacher holds likely.

    The divergence of Gu et al., "MiniLLM: Knowledge Distillation of Large Language Models" (ICLR 2024).
    """
    return (student.exp() * (student - teacher)).sum(dim=-1)


def generalised_jsd(teacher: Tensor, student: Tensor, beta: float) -> Tensor:
    """`beta KL(P || M) + (1 - beta) KL(Q || M)` with `M = beta P + (1 - beta) Q`, and beta between 0 and 1.

    GKD's equation 2. It is bounded; divided by beta, it becomes the forward KL as beta goes to 0.
    """
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return beta * forward_kl(teacher, mixture) + (1 - beta) * forward_kl(student, mixture)


def divergence_named(name: Divergence, beta: float = 0.5) -> PerPosition:
    """The divergence of this name; `beta` matters to the generalised JSD alone."""
    named: dict[Divergence, PerPosition] = {
        "forward_kl": forward_kl,
        "reverse_kl": reverse_kl,
        "jsd": partial(generalised_jsd, beta=beta),
    }
    return named[name]
