"""The view that turns the choices of a question round."""

from __future__ import annotations

import re
from dataclasses import dataclass

from datamodules.samples import SpatialSample
from datamodules.views.moved_letters import names_letters
from datamodules.views.view import View

_OF_THE_ABOVE = re.compile(r"\b(?:above|both|neither|these)\b|\b(?:all|none) of\b", re.IGNORECASE)


@dataclass(frozen=True)
class RotatedChoices(View):
    """The choices moved up by `shift` places, and the letter of the answer with them.

    A model that knows the answer gives the same choice at every shift. Questions whose choices (or reasoning)
    speak of letters or of other choices ("A and C", "none of the above") stay as they are, as do questions
    whose choices are drawn in the image.
    """

    shift: int

    moves_truth = True

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with its choices rotated."""
        count = len(sample.choices)
        if count < 2 or mentions_choices(sample):
            return sample
        shift = self.shift % count
        answer = sample.answer
        if answer is not None:
            answer = sample.letters[(sample.letters.index(answer) - shift) % count]
        return sample.replace(choices=sample.choices[shift:] + sample.choices[:shift], answer=answer)


def mentions_choices(sample: SpatialSample) -> bool:
    """Whether a choice, or the reasoning, names letters of choices or other choices."""
    letters = sample.letters
    choices_do = any(
        names_letters(letters, choice) or _OF_THE_ABOVE.search(choice) for choice in sample.choices
    )
    return choices_do or names_letters(letters, sample.rationale)
