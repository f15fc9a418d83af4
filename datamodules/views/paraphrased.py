"""The view that asks the same in other words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from datamodules.samples import SpatialSample
from datamodules.views.mirrored_texts import DIRECTIONS
from datamodules.views.moved_letters import answer_text
from datamodules.views.own_words import own_words
from datamodules.views.region_names import labelled, unlabelled
from datamodules.views.view import NotApplicable, View, require_seed
from datamodules.views.wordings import (
    BEHIND_OPENINGS,
    GROUPS,
    PICTURE_OPENINGS,
    Wording,
    splits,
)

MOST_MORE_WORDS = 4
"""By how many words a question may become longer."""

_GROUPS = tuple(tuple(map(Wording, texts)) for texts in GROUPS.values())
_WORD = re.compile(r"[^\W\d_]+")
_NUMBERS_AND_LETTERS = re.compile(r"\d+(?:\.\d+)?|\b[B-HJ-Z]\b")  # those of labelled placeholders as well
_UNITS = re.compile(r"\b(?:(?:centi|kilo)?met(?:er|re)s?|feet|foot|inch(?:es)?|yards?)\b")


@dataclass(frozen=True)
class Paraphrased(View):
    """The question in another wording that asks the same; choices, answer, regions and reasoning stay.

    Where `wordings.yaml` knows several wordings of the question, another one of these takes its place;
    elsewhere an opening ("In this image, ") is put before it or becomes another one. Words for sides,
    numbers, letters, units and regions stay as they are and in their order, and the question becomes at most
    `MOST_MORE_WORDS` words longer. Which wording it is follows from the seed and the question's id.

    Args:
        seed: another seed draws other wordings.

    Raises, of a sample:
        NotApplicable: no other wording of its question is known that keeps all that has to stay.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no seed."""
        require_seed(self.seed, "Paraphrased")

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample in other words."""
        asked = labelled(sample.question)
        others = _known_others(sample, asked) or list(_with_other_openings(sample, asked))
        kept = [other for other in others if other != asked and _keeps(asked, other)]
        if not kept:
            raise NotApplicable.to(sample, "asked in other words", "no other wording of it is known")
        random = Random(f"wording {self.seed} of {sample.id}")
        question, _ = unlabelled(random.choice(kept))
        return sample.replace(question=question, prompt=own_words(sample, question, sample.choices))


def _known_others(sample: SpatialSample, asked: str) -> list[str]:
    """The question in every wording of its group; none where no group has its wording."""
    for wordings in _GROUPS:
        for split in splits(asked):
            for wording in wordings:
                if slots := wording.asks(split.body, answer_text(sample)):
                    return [
                        split.with_body(each.write(slots)) for each in wordings if each.slots <= slots.keys()
                    ]
    return []


def _with_other_openings(sample: SpatialSample, asked: str) -> Iterator[str]:
    """The question behind other openings; none where it is about several images, or none may stand there."""
    if sample.further_images:
        return
    for group in PICTURE_OPENINGS:
        for opening in group:
            if asked.startswith(opening):
                yield from (other + asked[len(opening) :] for other in group)
                return
    first = asked.split(maxsplit=1)[0].lower() if asked.strip() else ""
    if first in BEHIND_OPENINGS and not asked.lower().startswith(("in the image", "in the picture")):
        yield from (opening + asked[0].lower() + asked[1:] for opening in PICTURE_OPENINGS[0])


def _keeps(asked: str, other: str) -> bool:
    """Whether sides, numbers, letters, units and regions are the same in both, in the same order."""
    longer = len(other.split()) - len(asked.split())
    return longer <= MOST_MORE_WORDS and all(
        read(asked) == read(other) for read in (_sides_in, _NUMBERS_AND_LETTERS.findall, _UNITS.findall)
    )


def _sides_in(text: str) -> list[str]:
    return [word for word in map(str.lower, _WORD.findall(text)) if word in DIRECTIONS]
