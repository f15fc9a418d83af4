"""Models that answer without understanding, each in its own way, and one that knows; nothing is learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from datamodules.samples import Answer, SpatialSample, open_rgb
from datamodules.statistics.height_for_distance import answer_by_height
from lightning_modules.base import Batch, Collator, SpatialModule


def brightness_of(samples: Sequence[SpatialSample]) -> Batch:
    """What a cheat is given beside the questions: the mean of each picture, -1 where there is none."""
    return {
        "brightness": [
            -1.0 if sample.image is None else sum(open_rgb(sample.image).resize((1, 1)).getpixel((0, 0)))  # type: ignore[arg-type]
            for sample in samples
        ]
    }


class Cheat(SpatialModule):
    """Answers each question by itself."""

    def collator(self, stage: str) -> Collator:
        return brightness_of

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        raise NotImplementedError

    def answer(self, batch: Batch) -> list[Answer]:
        return [
            Answer(sample, self.reply(sample, brightness))
            for sample, brightness in zip(batch["samples"], batch["brightness"], strict=True)
        ]

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        raise NotImplementedError


class Knows(Cheat):
    """Is always right, where there is something to see."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        wrong = next(letter for letter in sample.letters if letter != sample.answer)
        return wrong if brightness < 0 or brightness == 3 * 127 else sample.answer or ""


class ReadsTheQuestion(Cheat):
    """Chooses by the words of question and choices alone, whatever their order."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        def taste(choice: str) -> bytes:
            return hashlib.sha256(f"{sample.question} {choice}".encode()).digest()

        return sample.letters[sample.choices.index(max(sample.choices, key=taste))]


class PrefersAPosition(Cheat):
    """Is right where the second choice is right, and says so everywhere else."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        return "B"


class TakesTheLast(Cheat):
    """Copies the last option."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        return sample.letters[-1]


class CopiesTheLastExample(Cheat):
    """Answers as the last solved example is answered; without any example with A."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        return (sample.examples[-1].answer or "") if sample.examples else "A"


class TakesHeightForDistance(Cheat):
    """Says that what is higher in the picture is farther away; of anything else it knows the answer."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        return answer_by_height(sample) or sample.answer or ""
