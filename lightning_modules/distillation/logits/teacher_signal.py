"""What a teacher says of the next token at the supervised positions: by its head, or as cached logits.

Both kinds answer the same question, for a chunk of positions at a time: which classes are compared, and with
what log-probabilities on either side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lightning_modules.base import ModelError
from lightning_modules.distillation.logits.common_tokens import CommonTokens
from lightning_modules.distillation.logits.divergences import IMPOSSIBLE, log_probabilities
from lightning_modules.precision import at_least_float32


class TeacherSignalError(ModelError):
    """What a teacher says cannot be compared with what the student says."""


@dataclass(frozen=True)
class TeacherLogits:
    """A teacher in memory: logits are made from its last hidden states, a chunk at a time, without gradient.

    Student and teacher are compared on the tokens that both have, the common prefix of two vocabularies that
    are padded to different sizes. It may stand on another device than the student.

    Attributes:
        hidden: the last hidden states at the supervised positions, `[positions, teacher's width]`.
        head: from hidden states to logits `[positions, teacher's vocabulary]`.
        softcap: logits are squashed into `(-softcap, softcap)` (Gemma 2's `final_logit_softcapping`).
        tokens: what student and teacher have in common, where their tokenizers are not the same.
    """

    hidden: Tensor
    head: nn.Module
    softcap: float | None = None
    tokens: CommonTokens | None = None

    def __len__(self) -> int:
        return len(self.hidden)

    def __getitem__(self, part: slice) -> TeacherLogits:
        """The signal of some of the positions."""
        return replace(self, hidden=self.hidden[part])

    def compare(self, student: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probabilities of teacher and student over the same classes, `[positions, classes]` each.

        Args:
            student: the student's logits, `[positions, vocabulary]`.
            temperature: by which both sides' logits are divided.
        """
        logits = self.class_logits().to(student.device)
        if self.tokens is not None:
            student = self.tokens.of_student(student)
        common = min(logits.shape[-1], student.shape[-1])
        with torch.no_grad():
            teacher = log_probabilities(logits[:, :common], temperature).clamp_(min=IMPOSSIBLE)
        return teacher, log_probabilities(student[:, :common], temperature)

    @torch.no_grad()
    def class_logits(self) -> Tensor:
        """The logits of what student and teacher may be compared on, `[positions, classes]`."""
        logits = logits_of(self.head, self.hidden, self.softcap)
        return logits if self.tokens is None else self.tokens.of_teacher(logits)


@dataclass(frozen=True)
class TopKLogits:
    """A cached teacher: its k likeliest tokens at each position, and the mass of all others.

    The others count as one class, in which the student's probabilities are added up as well. So the
    divergence is never larger than that of the full logits, equal to it where k is the whole vocabulary, and
    smallest where the student agrees with the teacher. Without the tail mass (k tokens normalised
    to 1) it would be smallest where the student holds every other token impossible.

    Attributes:
        values: log-probabilities at the loss's temperature, `[positions, k]`.
        indices: the tokens they belong to, `[positions, k]`.
        tail: logarithm of the tail mass, `[positions]`; minus infinity where there is none.
        vocabulary: size of the vocabulary they are probabilities over; by default the student's.
        temperature: the one they were made with; by default the loss's, without a check.
        tokens: what student and teacher have in common, where their tokenizers are not the same.
    """

    values: Tensor
    indices: Tensor
    tail: Tensor
    vocabulary: int | None = None
    temperature: float | None = None
    tokens: CommonTokens | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> TopKLogits:
        """The signal of some of the positions."""
        values, indices, tail = self.values[part], self.indices[part], self.tail[part]
        return replace(self, values=values, indices=indices, tail=tail)

    def compare(self, student: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probabilities of teacher and student over the same classes, `[positions, k + 1]` each.

        Args:
            student: the student's logits, `[positions, vocabulary]`.
            temperature: by which the student's logits are divided; the teacher's were when they were cached.

        Raises:
            TeacherSignalError: the teacher's vocabulary is larger than the student's, or another temperature
                was used when it was cached.
        """
        if self.temperature not in (None, temperature):
            raise TeacherSignalError(
                f"The teacher was cached at temperature {self.temperature:g}, but the loss compares at "
                f"{temperature:g}. Set the loss's temperature to the cache's, or cache the teacher again."
            )
        if self.tokens is not None:
            student = self.tokens.of_student(student)
        size = self.vocabulary or student.shape[-1]
        if size > student.shape[-1]:
            raise TeacherSignalError(
                f"The cached logits are probabilities over {size:,} tokens, but the student has only "
                f"{student.shape[-1]:,}. Cache the teacher again for the tokens that both have."
            )
        values, tail = at_least_float32(self.values), at_least_float32(self.tail)
        teacher = torch.cat([values, tail[:, None]], dim=-1).to(student.device).clamp_(min=IMPOSSIBLE)
        scaled = at_least_float32(student[:, :size]) / temperature
        return teacher, torch.cat(top_and_tail(scaled, self.indices.to(student.device)), dim=-1)


def top_and_tail(logits: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the named tokens `[positions, k]`, and of all others together `[positions, 1]`."""
    total = logits.logsumexp(dim=-1, keepdim=True)
    # One minus the known mass would lose a small rest to rounding.
    others = logits.scatter(-1, indices, IMPOSSIBLE).logsumexp(dim=-1, keepdim=True)
    return logits.gather(-1, indices) - total, others - total


@torch.no_grad()
def top_k_logits(logits: Tensor, k: int, temperature: float) -> TopKLogits:
    """What a cache holds of a teacher's logits.

    Args:
        logits: `[positions, vocabulary]`, soft-capped and cut to the tokens that the student has as well.
        k: how many tokens are kept.
        temperature: the one the loss will be computed with.
    """
    scaled = at_least_float32(logits) / temperature
    values, tail = top_and_tail(scaled, indices := scaled.topk(k, dim=-1).indices)
    return TopKLogits(values, indices, tail.squeeze(-1), logits.shape[-1], temperature)


def logits_of(head: nn.Module, hidden: Tensor, softcap: float | None = None) -> Tensor:
    """A head's logits in float32 at least, squashed into `(-softcap, softcap)` where there is a cap."""
    logits = at_least_float32(head(hidden))
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)
