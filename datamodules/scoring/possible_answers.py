"""What may be answered to a question, by what everybody knows who has not looked."""

from __future__ import annotations

from datamodules.samples import AnswerType, SpatialSample

DISTANCES = tuple(f"{0.3 * 1.2**step:.3g}" for step in range(28))
"""Metres from which one is answered: each true distance from 0.3 to 40 m is within a tenth of one of them."""

SIDES, COUNTS = ("left", "right"), tuple(map(str, range(10)))


def possible_answers(sample: SpatialSample) -> tuple[str, ...]:
    """What a question may be answered with, known without its answer; nothing for a free text."""
    match sample.answer_type:
        case AnswerType.LETTER:
            return tuple(sample.letters)
        case AnswerType.REGION:
            return tuple(map(str, range(len(sample.regions))))
        case AnswerType.SIDE:
            return SIDES
        case AnswerType.COUNT:
            return COUNTS
        case AnswerType.DISTANCE:
            return DISTANCES
        case _:
            return ()
