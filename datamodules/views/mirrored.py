"""The view that shows a question in a mirror: left becomes right in the image and in all that is said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from datamodules.samples import (
    AnswerType,
    DataError,
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
from datamodules.views.mirrored_texts import UnknownDirection, mirrored_text
from datamodules.views.view import DerivedImage, View

_STAY = (AnswerType.LETTER, AnswerType.REGION, AnswerType.COUNT, AnswerType.DISTANCE)
"""Answers that are the same in a mirror."""


@dataclass(frozen=True)
class Mirrored(View):
    """Images, depth and regions mirrored, and the sides in question, choices, rationale and answer with them.

    A model that knows the answer gives the mirrored one. Counts, distances, letters and the numbers of
    regions stay. It is made for questions about warehouses: what is written in an image cannot be read in a
    mirror. What becomes of words stands in `mirrored_words.yaml`; mirrored twice, a sample is what it was.

    Raises, of a sample:
        DataError: a text has a word about direction of which that file does not say what becomes of it, or
            `Marked` has written numbers into the image before this one.
    """

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample in a mirror."""
        if isinstance(sample.image, MarkedImage):
            raise DataError(
                f"The image of question {sample.id!r} has numbers that nobody could read in a mirror: name "
                "the view `Mirrored` before `Marked`."
            )
        try:
            seen = _with_mirrored_texts(sample)
        except UnknownDirection as error:
            raise DataError(
                f"Question {sample.id!r} cannot be mirrored: it says {error.word!r}, and nobody has said "
                "what becomes of that. Leave the question out, or say it in "
                "datamodules/views/mirrored_words.yaml."
            ) from error
        return seen.replace(
            image=None if sample.image is None else _mirrored(sample.image, MirroredImage),
            depth=None if sample.depth is None else _mirrored(sample.depth, MirroredDepthImage),
            further_images=tuple(_mirrored(image, MirroredImage) for image in sample.further_images),
            regions=tuple(map(mirrored_region, sample.regions)),
            examples=tuple(map(self, sample.examples)),
            shown=None if sample.shown is None else _mirrored_masks(sample.shown),
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


def mirrored_answer(answer: str, answer_type: AnswerType | None) -> str:
    """What is true of the mirror image where an answer is true of the image, or the other way round.

    Raises:
        UnknownDirection: the answer has a word of which nobody has said what becomes of it in a mirror.
    """
    return answer if answer_type in _STAY else mirrored_text(answer)


def _with_mirrored_texts(sample: SpatialSample) -> SpatialSample:
    """The sample with its texts mirrored; a benchmark's own words go where they name sides."""
    prompt = sample.prompt if mirrored_text(sample.prompt) == sample.prompt else ""
    return sample.replace(prompt=prompt).replace(
        question=with_mirrored_boxes(mirrored_text(sample.question)),
        choices=tuple(map(mirrored_text, sample.choices)),
        rationale=mirrored_text(sample.rationale),
        answer=None if sample.answer is None else mirrored_answer(sample.answer, sample.answer_type),
    )


def _mirrored_masks(shown: SceneMasks) -> SceneMasks:
    """The masks in a mirror; of masks in a mirror, the masks."""
    return shown.source if isinstance(shown, MirroredMasks) else MirroredMasks(shown)


def _mirrored(source: ImageSource, made: type[MirroredImage]) -> ImageSource:
    """The mirror image; of a mirror image, the image."""
    return source.source if type(source) is made else made(source)
