"""Logit distillation: `alpha * CE + (1 - alpha) * T^2 * divergence`, without the logits of a whole batch.

Logits are the largest tensors of a training step: positions times vocabulary, for two models, in several
copies. Here the hidden states of the positions that are learnt from are selected before the head, and logits
live for one chunk of positions only: they are made, compared, forgotten, and made again for the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lightning_modules.base import ModelError
from lightning_modules.distillation.logits.divergences import Divergence, divergence_named
from lightning_modules.distillation.logits.teacher_signal import TeacherLogits, TopKLogits, logits_of
from lightning_modules.distillation.weights import Weight, weight_at
from lightning_modules.vlm.collator import IGNORED


class LogitLossError(ModelError):
    """The logits' loss cannot be computed as asked."""


@dataclass(frozen=True)
class LogitDistillation:
    """How a student learns from its teacher's logits.

    Args:
        alpha: weight of the cross-entropy with the right answer, 0 to 1, perhaps changing in the course of
            the training; the rest goes to the divergence.
        temperature: by which the logits of both are divided before they are compared.
        divergence: `forward_kl` as published, `reverse_kl`, or `jsd`, the generalised Jensen-Shannon one.
        beta: `jsd`: weight of the teacher in the mixture, between 0 and 1.
        chunk: positions whose logits are in memory at once; the result does not depend on it.

    Raises:
        LogitLossError: a figure is out of range.
    """

    alpha: Weight = 0.5
    temperature: float = 2.0
    divergence: Divergence = "forward_kl"
    beta: float = 0.5
    chunk: int = 128

    def __post_init__(self) -> None:
        for share in (weight_at(self.alpha, progress) for progress in (0.0, 1.0)):
            if not 0 <= share <= 1:
                raise LogitLossError(f"alpha is {share}; it is a share, so give a number from 0 to 1.")
        if not self.temperature > 0:
            raise LogitLossError(
                f"temperature is {self.temperature}; logits are divided by it, so give a number above 0."
            )
        if not 0 < self.beta < 1:
            raise LogitLossError(
                f"beta is {self.beta}; give a number between 0 and 1. For the limits of the "
                "JSD set divergence to forward_kl or reverse_kl."
            )
        if self.chunk < 1:
            raise LogitLossError(f"chunk is {self.chunk}; give the number of positions, at least 1.")


class Supervised(NamedTuple):
    """The positions of a batch that a next token is learnt at, row by row; `[positions]` each.

    Attributes:
        rows: the sample.
        positions: the token from which the next one is predicted.
        targets: that next token.
    """

    rows: Tensor
    positions: Tensor
    targets: Tensor


def supervised_positions(labels: Tensor) -> Supervised:
    """Where the next token is one that is learnt.

    The first token of an answer is predicted at the last one of the prompt, so an answer of one token
    selects exactly that position.

    Args:
        labels: `[batch, tokens]`, each at its own token's place, -100 where nothing is learnt.
    """
    rows, positions = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    return Supervised(rows, positions, labels[rows, positions + 1])


def distil_logits(
    student_hidden: Tensor,
    student_head: nn.Module,
    targets: Tensor,
    teacher: TeacherLogits | TopKLogits | None,
    config: LogitDistillation,
    *,
    student_softcap: float | None = None,
) -> dict[str, Tensor]:
    """The terms of the loss, unweighted: `cross_entropy` and, with a teacher, `divergence`.

    Without a teacher this is the cross-entropy of supervised fine-tuning, in chunks. The cross-entropy is
    over the student's whole vocabulary and at temperature 1.

    Args:
        student_hidden: last hidden states at the supervised positions, `[positions, width]`.
        student_head: from hidden states to logits; frozen or trained.
        targets: the next tokens, `[positions]`.
        teacher: what the teacher says of the same positions.
        config: which divergence, at what temperature, in which chunks.
        student_softcap: the student's logits are squashed into `(-softcap, softcap)`.

    Raises:
        LogitLossError: there is no position, or the teacher speaks of another number of them.
        TeacherSignalError: the vocabularies cannot be compared.
    """
    positions = len(targets)
    if positions == 0:
        raise LogitLossError(
            "Nothing is learnt in this batch: all labels are -100. Check that its samples have "
            "answers and that the window is long enough for them."
        )
    if teacher is not None and len(teacher) != positions:
        raise LogitLossError(
            f"The student has {positions} supervised positions, but its teacher speaks of "
            f"{len(teacher)}. Select both by the same labels."
        )

    def sums(hidden: Tensor, target: Tensor, signal: TeacherLogits | TopKLogits | None) -> Tensor:
        logits = logits_of(student_head, hidden, student_softcap)
        terms = [nn.functional.cross_entropy(logits, target, reduction="sum")]
        if signal is not None:
            terms.append(divergence(*signal.compare(logits, config.temperature)).sum())
        return torch.stack(terms)

    divergence = divergence_named(config.divergence, config.beta)
    total = torch.zeros((), device=student_hidden.device)
    for start in range(0, positions, config.chunk):
        part = slice(start, start + config.chunk)
        signal = None if teacher is None else teacher[part]
        # Making the gradients of each term on the way forward instead takes 0.7 to 0.9 of the time, but with
        # a trained head half as much memory again, for a second gradient of it (measured).
        total = total + checkpoint(sums, student_hidden[part], targets[part], signal, use_reentrant=False)
    means = total / positions
    return dict(zip(("cross_entropy", "divergence"), means, strict=False))


def weighted(terms: dict[str, Tensor], config: LogitDistillation, progress: float = 0.0) -> dict[str, Tensor]:
    """The terms as they are added up: `alpha * CE` and `(1 - alpha) * T^2 * divergence`.

    T^2 keeps the size of the gradient when the temperature changes. Without a divergence the cross-entropy
    stays as it is.

    Args:
        terms: what `distil_logits` has found.
        config: the weights.
        progress: the share of the training that is done, 0 to 1.
    """
    if "divergence" not in terms:
        return terms
    alpha = weight_at(config.alpha, progress)
    return {
        "cross_entropy": alpha * terms["cross_entropy"],
        "divergence": (1 - alpha) * config.temperature**2 * terms["divergence"],
    }
