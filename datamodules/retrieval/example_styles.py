"""How an example is solved: with its reasoning, by the bare answer, or by a letter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from datamodules.answers.choice_texts import words_of
from datamodules.answers.lengths import find_length
from datamodules.samples import SpatialSample
from datamodules.views.multiple_choice import CHOICES, as_multiple_choice

Style = Literal["naive", "reformatted", "multiple_choice"]
"""See `datamodules.in_context.InContext`."""


def styled(sample: SpatialSample, style: Style, others: Callable[[], Sequence[str]]) -> SpatialSample:
    """An example in a style.

    Args:
        sample: the example as the data have it.
        style: the style.
        others: wrong answers for its choices, asked for where none can be made out of the right one.
    """
    if style == "naive":
        return sample
    bare = sample.replace(rationale="")
    if style == "reformatted":
        return bare
    turned = as_multiple_choice(bare)
    return turned if turned.letters else as_multiple_choice(bare, others())


def other_answers(sample: SpatialSample, others: Iterable[SpatialSample]) -> list[str]:
    """The first answers of others that say something else than the right one and than each other."""
    taken = [sample.answer or ""]
    for other in others:
        if other.answer and not any(_may_mean_the_same(other.answer, one) for one in taken):
            taken.append(other.answer)
        if len(taken) == CHOICES:
            break
    return taken[1:]


def _may_mean_the_same(one: str, other: str) -> bool:
    """Whether the words of one answer stand in the other in one piece, or both are about the same length."""
    shorter, longer = sorted((words_of(one), words_of(other)), key=len)
    if any(longer[at : at + len(shorter)] == shorter for at in range(len(longer) - len(shorter) + 1)):
        return True
    lengths = [found.value.middle for text in (one, other) if (found := find_length(text))]
    return len(lengths) == 2 and math.isclose(*lengths, rel_tol=0.05)
