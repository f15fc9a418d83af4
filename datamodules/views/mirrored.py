"""The view that shows a question in a mirror: left becomes right in the image and in all that is said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from datamodules.samples import (
    MASK_PLACEHOLDER,
    AnswerType,
    HasContent,
    ImageReading,
    ImageSource,
    Region,
    SceneMasks,
    SpatialSample,
    depth_of,
)
from datamodules.views.boxes import with_mirrored_boxes
from datamodules.views.marks import MarkedImage
from datamodules.views.mirrored_texts import UnknownDirection, mirrored_text, word_against_the_clock
from datamodules.views.moved_letters import moved_letter, names_letters
from datamodules.views.own_words import around, own_words
from datamodules.views.view import DerivedImage, NotApplicable, View
from datamodules.views.written_words import number_as_name, written_word

_STAY = (AnswerType.LETTER, AnswerType.REGION, AnswerType.COUNT, AnswerType.DISTANCE)
"""Answers that are the same in a mirror."""


@dataclass(frozen=True)
class Mirrored(View):
    """Images, depth and regions mirrored, and the sides in question, choices, rationale and answer with them.

    A model that knows the answer gives the mirrored one. Counts, distances and the numbers of regions stay.
    Where the mirrored choices are the same ones in another order ("left", "right"), they stay where they are
    and the letter of the answer moves; otherwise their texts change and the letter stays. What becomes of
    words stands in `mirrored_words.yaml`, what speaks of writing in `written_words.yaml`; mirrored twice, a
    sample is what it was, but for its `boxes`, which go.

    Raises, of a sample:
        NotApplicable: a text has a word about direction of which nobody has said what becomes of it; the
            choices are drawn in the image, or the question names no regions and speaks of what is written
            there; the letter would move under a reasoning that names letters; or `Marked` has written numbers
            into the image before.
    """

    moves_truth = True

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample in a mirror."""
        _require_no_marks(sample)
        try:
            seen = _with_mirrored_texts(sample)
        except UnknownDirection as error:
            raise NotApplicable(
                f"Question {sample.id!r} cannot be mirrored: it says {error.word!r}, and nobody has said "
                "what becomes of that. Leave the question out, or say it in "
                "datamodules/views/mirrored_words.yaml.",
                "a word about direction is not known",
            ) from error
        _require_no_writing(sample)
        return seen.replace(
            image=None if sample.image is None else _mirrored(sample.image, MirroredImage),
            depth=None if sample.depth is None else _mirrored(sample.depth, MirroredDepthImage),
            further_images=tuple(_mirrored(image, MirroredImage) for image in sample.further_images),
            regions=tuple(map(mirrored_region, sample.regions)),
            examples=tuple(map(self, sample.examples)),
            shown=None if sample.shown is None else _mirrored_masks(sample.shown),
            # Where they are in the mirror depends on the image's width, and no image is opened here.
            boxes=(),
        )


@dataclass(frozen=True)
class MirroredImage(DerivedImage):
    """Another image with left and right exchanged."""

    def content(self) -> bytes | None:
        """What decides on the pixels; None where its source cannot tell."""
        content = self.source.content() if isinstance(self.source, HasContent) else None
        return None if content is None else b"mirrored " + content

    def change(self, image: Image.Image) -> Image.Image:
        """The mirror image."""
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


@dataclass(frozen=True)
class MirroredDepthImage(MirroredImage):
    """A depth image with left and right exchanged."""

    @property
    def reading(self) -> ImageReading:
        """Its source is depth."""
        return depth_of


@dataclass(frozen=True)
class MirroredMasks:
    """The masks of other things with left and right exchanged."""

    source: SceneMasks

    def masks(self, kind: str) -> np.ndarray:
        """Those of a kind, `[things, height, width]`, boolean."""
        return self.source.masks(kind)[..., ::-1]

    def content(self) -> bytes | None:
        """What decides on the masks; None where it cannot be read."""
        content = self.source.content()
        return None if content is None else b"mirrored " + content


@lru_cache(maxsize=1 << 16)
def mirrored_region(region: Region) -> Region:
    """The region with left and right exchanged."""
    return Region.from_mask(np.ascontiguousarray(region.mask()[:, ::-1]))


def mirrored_answer(answer: str, answer_type: AnswerType | None, against_the_clock: str | None = None) -> str:
    """What is true of the mirror image where an answer is true of the image, or the other way round.

    Args:
        answer: a normalised answer that is no letter of choices in another order.
        answer_type: its form.
        against_the_clock: see `mirrored_text`.

    Raises:
        UnknownDirection: the answer has a word of which nobody has said what becomes of it in a mirror.
    """
    return answer if answer_type in _STAY else mirrored_text(answer, against_the_clock)


def _with_mirrored_texts(sample: SpatialSample) -> SpatialSample:
    """The sample with its texts mirrored; a benchmark's own words go where they name sides beside these."""
    against = word_against_the_clock(
        [sample.question, *sample.choices, sample.rationale, sample.answer or ""]
    )
    question = with_mirrored_boxes(mirrored_text(sample.question, against))
    choices, answer = _choices_and_answer(sample, against)
    beside = around(sample)
    return sample.replace(
        question=question,
        prompt=own_words(sample, question, choices) if mirrored_text(beside) == beside else "",
        choices=choices,
        rationale=mirrored_text(sample.rationale, against),
        answer=answer,
    )


def _choices_and_answer(sample: SpatialSample, against: str) -> tuple[tuple[str, ...], str | None]:
    """The choices as they are, with the letter that is right in the mirror, or mirrored in their places."""
    if {"right", "wrong"} <= {choice.strip(" .").lower() for choice in sample.choices}:
        raise UnknownDirection("right")
    mirrored = tuple(mirrored_text(choice, against) for choice in sample.choices)
    reordered = sorted(mirrored) == sorted(sample.choices)
    choices = sample.choices if reordered else mirrored
    if sample.answer is None:
        return choices, None
    if sample.answer_type is not AnswerType.LETTER or not reordered:
        return choices, mirrored_answer(sample.answer, sample.answer_type, against)
    answer = moved_letter(sample.answer, mirrored, choices) if choices else sample.answer
    if answer != sample.answer and names_letters(sample.letters, "\n".join((sample.rationale, *choices))):
        raise NotApplicable.to(
            sample,
            "mirrored",
            "its answer moves to another letter, and its choices or reasoning name letters",
        )
    return choices, answer


def _require_no_marks(sample: SpatialSample) -> None:
    """Raise `NotApplicable` where `Marked` has written numbers into the image."""
    if isinstance(sample.image, MarkedImage):
        raise NotApplicable(
            f"The image of question {sample.id!r} has numbers that nobody could read in a mirror: name "
            "the view `Mirrored` before `Marked`.",
            "numbers are drawn into its image",
        )


def _require_no_writing(sample: SpatialSample) -> None:
    """Raise `NotApplicable` where a question is about what nobody can read in a mirror."""
    if sample.regions or MASK_PLACEHOLDER in sample.question:
        return  # what is asked about is named by regions, and not by what is written on it
    if sample.answer_type is AnswerType.LETTER and not sample.choices:
        raise NotApplicable.to(sample, "mirrored", "its choices are drawn in the image")
    words = (written_word(text) for text in (sample.question, *sample.choices))
    word = next((word for word in words if word), None) or number_as_name(sample.question, sample.choices)
    if word is not None:
        raise NotApplicable(
            f"Question {sample.id!r} cannot be mirrored: by {word!r} it speaks of what is written in the "
            "image, which nobody can read in a mirror. Leave the question out, or say in "
            "datamodules/views/written_words.yaml that this is none.",
            "it speaks of what is written in the image",
        )


def _mirrored_masks(shown: SceneMasks) -> SceneMasks:
    """The masks in a mirror; of masks in a mirror, the masks."""
    return shown.source if isinstance(shown, MirroredMasks) else MirroredMasks(shown)


def _mirrored(source: ImageSource, made: type[MirroredImage]) -> ImageSource:
    """The mirror image; of a mirror image, the image."""
    return source.source if type(source) is made else made(source)
