"""Likelihoods that are no numbers: whatever is taken from them is no answer."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_modules.base import ModelError


def refuse_no_numbers(questions: Sequence[int], names: Sequence[str] = ()) -> None:
    """Raise `ModelError` where the likelihoods of some questions' answers are NaN or infinite.

    Args:
        questions: which questions of a batch these are, none where all is well.
        names: the ids of all questions of the batch; their numbers, from 0, when left out.
    """
    if not questions:
        return
    first = repr(names[questions[0]]) if names else f"number {questions[0]} of the batch"
    others = f" and {len(questions) - 1} more of its batch" if len(questions) > 1 else ""
    raise ModelError(
        f"The model's likelihoods of the answers to question {first}{others} are no finite numbers (NaN or "
        "infinity), so that no answer follows from them. Its weights are broken, as after a training that "
        "diverged, or its precision is too small: test an earlier checkpoint, or set trainer.precision to "
        "32-true or bf16-mixed."
    )
