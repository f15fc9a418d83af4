"""Chains: the regions that lead to an answer, read out of the free-form answer that comes with a question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from datamodules.samples import AnswerType, SpatialSample

CountForm = Literal["container", "set_and_container", "set"]
"""What is written before a count: what is counted in, that and what is counted, or what is counted alone."""

Control = Literal["none", "shuffled", "other_record", "filler"]
"""What takes a chain's place to see what it is good for: its regions in a random order, regions that another
question's chain would name, or words that say nothing and are not learnt."""

ANSWER, FILLER = CHAIN_WORDS = ("<answer>", "<filler>")
"""The word between chain and answer, and the one that says nothing."""

MOST_REGIONS = 12
"""So many regions a chain has at most; what comes first in the sentence is left out."""

FILLERS = 2
"""So many words that say nothing stand before an answer: about as many as a chain has regions."""

_REGION = re.compile(r"\[region\s+(\d+)\]", re.IGNORECASE)
_COUNTED = re.compile(r"\bpallets?\b[\s:,]*\[region\s+(\d+)\]", re.IGNORECASE)
_BETWEEN = re.compile(r"(?:[\s,]|\band\b)*", re.IGNORECASE)

Step = tuple[int, ...]
"""The regions that are named together, by their place in the question, in ascending order."""


@dataclass
class Chain:
    """How chains are written.

    Args:
        counts: what stands before a count.
        control: what takes the chain's place.
    """

    counts: CountForm = "container"
    control: Control = "none"


def steps_of(sample: SpatialSample, counts: CountForm = "container") -> tuple[Step, ...]:
    """The steps that lead to a question's answer, in the order of their last mention in its rationale.

    So each stands behind what it is found by: "[Region 4] is the closest to [Region 7]" finds 4 by 7, and the
    sentence behind it speaks of 4 again. Marks with nothing but blanks, commas or "and" between them are one
    step. The answer's own region is left out. Of a count, what is counted is the step before the last, where
    it has as many regions as the answer says; the last is what they are counted in.

    Args:
        sample: a question with a rationale; without one there are no steps.
        counts: which steps of a count are kept.
    """
    mentioned = _mentioned(sample.rationale, len(sample.regions))
    if counts != "set_and_container" and _counts_a_set(sample, mentioned):
        mentioned = [mentioned[-2]] if counts == "set" else [*mentioned[:-2], mentioned[-1]]
    answer = {int(sample.answer or "")} if _is_region(sample) else set()
    left = MOST_REGIONS
    seen: set[int] = set()
    steps: list[Step] = []
    for group in reversed(mentioned):
        step = tuple(sorted(set(group) - answer - seen))[:left]
        seen.update(step)
        left -= len(step)
        if step:
            steps.append(step)
    return tuple(reversed(steps))


def counted_regions(sample: SpatialSample) -> Step | None:
    """The regions that are counted, as a count's rationale names them: none for 0, None where it does not.

    What is named as pallets is counted. Other regions may be as many: "Of the buffers [Region 0] [Region 1]
    the leftmost is [Region 0]. It holds two pallets."
    """
    if sample.answer_type is AnswerType.COUNT and sample.answer == "0":
        return ()
    mentioned = _mentioned(sample.rationale, len(sample.regions))
    if not _counts_a_set(sample, mentioned):
        return None
    named = {int(found[1]) for found in _COUNTED.finditer(sample.rationale)}
    return tuple(sorted(set(mentioned[-2]))) if mentioned[-2][0] in named else None


def regions_of(steps: Sequence[Step]) -> list[int]:
    """The regions of steps, one after the other."""
    return [region for step in steps for region in step]


def mentioned_regions(sample: SpatialSample) -> list[int]:
    """All regions that a question's rationale names, in the order of the text, some of them repeatedly."""
    return [region for group in _mentioned(sample.rationale, len(sample.regions)) for region in group]


def written_regions(sample: SpatialSample, chain: Chain, other: SpatialSample) -> list[int]:
    """The regions that a model is taught to write before an answer.

    Args:
        sample: the question.
        chain: how chains are written.
        other: another question, for the control that takes its chain.
    """
    regions = regions_of(steps_of(sample, chain.counts))
    if chain.control == "shuffled":
        Random(sample.id).shuffle(regions)
    if chain.control == "other_record":
        # The other question may have more regions than this one.
        count = max(len(sample.regions), 1)
        others = (region % count for region in regions_of(steps_of(other, chain.counts)))
        return list(dict.fromkeys(others)) if sample.regions else []
    return regions


def is_counted(sample: SpatialSample, chain: Chain) -> bool:
    """Whether the answer is how many regions a chain has, and is not written behind it."""
    alone = chain.counts == "set" and chain.control == "none"
    return alone and _counts_a_set(sample, _mentioned(sample.rationale, len(sample.regions)))


def _counts_a_set(sample: SpatialSample, mentioned: Sequence[Sequence[int]]) -> bool:
    """Whether all that is counted is named, before what it is counted in."""
    is_count = sample.answer_type is AnswerType.COUNT and len(mentioned) > 1
    return is_count and str(len(set(mentioned[-2]))) == sample.answer


def _mentioned(text: str, count: int) -> list[list[int]]:
    """The regions that a text names, those with nothing between them together."""
    groups: list[list[int]] = []
    end = -1
    for found in _REGION.finditer(text):
        region = int(found[1])
        if groups and _BETWEEN.fullmatch(text, end, found.start()):
            groups[-1].append(region)
        else:
            groups.append([region])
        end = found.end()
    return [kept for group in groups if (kept := [region for region in group if region < count])]


def _is_region(sample: SpatialSample) -> bool:
    return sample.answer_type is AnswerType.REGION and (sample.answer or "").isdigit()
