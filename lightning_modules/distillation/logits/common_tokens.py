"""Which tokens two models have in common, so that their logits can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.distillation.logits.divergences import IMPOSSIBLE


@dataclass(frozen=True)
class CommonTokens:
    """The classes on which student and teacher are compared, where their tokenizers are not the same.

    These are the tokens of text, which have the same numbers, and behind them one more: the end of the
    answer, whatever each of the two calls it.

    Attributes:
        text: the tokens below this number are the same for both.
        student_end: the token that ends the student's answers.
        teacher_end: the token that ends the teacher's answers.
    """

    text: int
    student_end: int
    teacher_end: int

    def of_student(self, logits: Tensor) -> Tensor:
        """The student's logits of the classes, `[positions, text + 1]`, from those of all its tokens."""
        return self._outcomes(logits, self.student_end)

    def of_teacher(self, logits: Tensor) -> Tensor:
        """The teacher's logits of the classes, `[positions, text + 1]`, from those of all its tokens."""
        return self._outcomes(logits, self.teacher_end)

    def _outcomes(self, logits: Tensor, end: int) -> Tensor:
        text = logits[:, : self.text]
        # An end among the tokens of text is one class, not two.
        token = torch.arange(text.shape[-1], device=logits.device)
        is_end = (token == self.student_end) | (token == self.teacher_end)
        text = text.masked_fill(is_end, IMPOSSIBLE)
        return torch.cat([text, logits[:, end : end + 1]], dim=-1)


def common_tokens(student: Any, teacher: Any, student_end: int, teacher_end: int) -> CommonTokens | None:
    """What two tokenizers share; None where they are the same.

    All tokens of text must have the same numbers. Special tokens that stand behind them (an image's
    placeholder, the end of a turn) may differ.

    Args:
        student: the student's tokenizer.
        teacher: the teacher's tokenizer.
        student_end: the token that ends the student's answers.
        teacher_end: the token that ends the teacher's answers.

    Raises:
        ModelError: a token of text has another number; the message names the first token that differs.
    """
    student_tokens, teacher_tokens = (
        {number: token for token, number in t.get_vocab().items()} for t in (student, teacher)
    )
    different = [
        number
        for number in sorted(student_tokens.keys() & teacher_tokens.keys())
        if student_tokens[number] != teacher_tokens[number]
    ]
    if not different and student_end == teacher_end:
        return None
    special = set(student.get_added_vocab().values()) | set(teacher.get_added_vocab().values())
    if different and different[0] < max((student_tokens.keys() | teacher_tokens.keys()) - special, default=0):
        raise ModelError(
            f"Student and teacher have different tokenizers: token {different[0]} is "
            f"{student_tokens[different[0]]!r} for the student and {teacher_tokens[different[0]]!r} for the "
            "teacher, so their logits cannot be compared. Take a teacher whose language model is of the "
            "student's family."
        )
    shared = different[0] if different else min(len(student_tokens), len(teacher_tokens))
    return CommonTokens(shared, student_end, teacher_end)
