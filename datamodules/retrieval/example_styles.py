"""How an example is solved: with its reasoning, by the bare answer, or by a letter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from datamodules.answers.choice_texts import words_of
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
    taken = {words_of(sample.answer or "")}
    found: list[str] = []
    for other in others:
        answer = other.answer or ""
        if answer and (words := words_of(answer)) not in taken:
            taken.add(words)
            found.append(answer)
        if len(found) == CHOICES - 1:
            break
    return found
