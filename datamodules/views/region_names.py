"""How texts name regions, and what becomes of a text where the regions of a question change places."""

from __future__ import annotations

import re
from collections.abc import Sequence

from datamodules.samples import MASK_PLACEHOLDER
from datamodules.views.boxes import region_name

_NAMED = re.compile(r"\[Region (\d+)\]")
_LABEL = "<mask {}>"
_LABELLED = re.compile(r"<mask (\d+)>")


def labelled(question: str) -> str:
    """The question with a number in each of its placeholders, counted from 0."""
    first, *others = question.split(MASK_PLACEHOLDER)
    return first + "".join(_LABEL.format(index) + text for index, text in enumerate(others))


def unlabelled(question: str) -> tuple[str, tuple[int, ...]]:
    """The question with plain placeholders, and the numbers that stood in them, in order."""
    order = tuple(int(label) for label in _LABELLED.findall(question))
    return _LABELLED.sub(MASK_PLACEHOLDER, question), order


def labels_in(text: str) -> tuple[int, ...]:
    """The numbers in the labelled placeholders of a text."""
    return tuple(int(label) for label in _LABELLED.findall(text))


def renamed(text: str, order: Sequence[int]) -> str:
    """The text where region `order[i]` has become the i-th; other numbers stay."""
    places = {before: after for after, before in enumerate(order)}
    return _NAMED.sub(lambda name: region_name(places.get(int(name[1]), int(name[1]))), text)
