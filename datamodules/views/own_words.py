"""A benchmark's own words for a question, where question or choices become others."""

from __future__ import annotations

from collections.abc import Sequence

from datamodules.samples import SpatialSample


def own_words(sample: SpatialSample, question: str, choices: Sequence[str]) -> str:
    """The benchmark's own words with another question in them; "" where they do not hold the old one once.

    They are lost where choices change, since nobody knows how the benchmark would write these.
    """
    if tuple(choices) != sample.choices:
        return ""
    if question == sample.question:
        return sample.prompt
    if sample.prompt.count(sample.question) != 1:
        return ""
    return sample.prompt.replace(sample.question, question)


def around(sample: SpatialSample) -> str:
    """What a benchmark's own words say beside the question and its choices."""
    rest = sample.prompt.replace(sample.question, "", 1)
    for choice in sorted(sample.choices, key=len, reverse=True):
        rest = rest.replace(choice, "", 1)
    return rest
