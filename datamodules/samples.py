"""The vocabulary of the project: the record every dataset yields, and the answer every module gives.

This is the only file of `datamodules` that `lightning_modules` may import.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

# Named here for `lightning_modules`, so that models and data sets are refused in the same words.
from datamodules.errors.file_contents import why_not_readable as why_not_readable
from datamodules.errors.hub_errors import why_not_fetched as why_not_fetched
from datamodules.errors.nearest_names import did_you_mean as did_you_mean
from datamodules.images.pixels import as_depth, as_rgb
from datamodules.images.run_lengths import why_not_a_mask
from datamodules.images.upright import as_stored

MASK_PLACEHOLDER = "<mask>"
"""Stands in a question where a region is named; the i-th placeholder names the i-th region."""


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The letters of choices, in order."""

DRAWN_LETTERS = "ABCD"
"""The letters of choices that are drawn in the image and not written in the record."""


Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a thing in an image, in pixels."""


class SmallSpatialError(Exception):
    """Base of every error this project raises on purpose; its message is a sentence for the user."""


class DataError(SmallSpatialError):
    """A file, record or image of a dataset cannot be used as it is."""


class UnreadableImage(DataError):
    """An image file cannot be decoded: it is truncated or not an image (or missing, see `MissingImage`)."""


UNDECODABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, MemoryError)
"""What Pillow raises where it cannot decode an image; the last where a size is said that no memory holds."""


class MissingImage(UnreadableImage):
    """An image file does not exist."""


class AnswerType(StrEnum):
    """What form the answer to a question has."""

    LETTER = "letter"
    REGION = "region"
    SIDE = "side"
    COUNT = "count"
    DISTANCE = "distance"
    TEXT = "text"


class ImageSource(Protocol):
    """An image that is opened only where it is needed: in a data-loading worker."""

    @property
    def name(self) -> str:
        """What to call this image in messages."""
        ...

    def open(self) -> Image.Image:
        """Decode the image fully; raises `UnreadableImage`."""
        ...


@runtime_checkable
class HasContent(Protocol):
    """An image that is told by the bytes it is read from."""

    def content(self) -> bytes | None:
        """What decides on the pixels; None where it cannot be read."""
        ...


class SceneMasks(Protocol):
    """The masks of all things that an image shows, whether its questions name them or not."""

    def masks(self, kind: str) -> np.ndarray:
        """Those of a kind ("pallet"), boolean, `[things, height, width]`; raises `DataError`."""
        ...

    def content(self) -> bytes | None:
        """What decides on the masks; None where it cannot be read."""
        ...


@dataclass(frozen=True)
class ImageFile:
    """An image in a file: of colour in RGB, of depth in grey, each upright and in 8 bits.

    How it is read does not make it another image: files are equal where their paths are.

    Attributes:
        path: the file.
        stored: whether all that is said of the image (masks, depth, sides) is said of its pixels as they
            are stored, so that an EXIF orientation must not turn it.
        depth: whether it holds depth; a record's `depth` always does.
    """

    path: Path
    stored: bool = field(default=False, compare=False)
    depth: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def open(self) -> Image.Image:
        """Decode the whole file; raises `MissingImage` or, where it is damaged, `UnreadableImage`."""
        try:
            with Image.open(self.path) as image:
                image.load()
        except FileNotFoundError as error:
            raise MissingImage(
                f"The image {self.path} does not exist: the data set is incomplete. Fetch or unpack it again."
            ) from error
        except UNDECODABLE as error:
            why = str(error) or "there is no memory for its size"
            raise UnreadableImage(f"The image {self.path} cannot be read: {why}.") from error
        seen = as_stored(image) if self.stored else image
        return depth_of(seen, self.name) if self.depth else rgb_of(seen, self.name)

    def content(self) -> bytes | None:
        """What decides on the pixels: the file's bytes and how they are read; None where there are none."""
        try:
            return bytes([self.stored, self.depth]) + self.path.read_bytes()
        except OSError:
            return None


ImageReading = Callable[[Image.Image, str], Image.Image]
"""What a decoded image is taken for, given its name for messages: `rgb_of` or `depth_of`."""


def rgb_of(image: Image.Image, name: str) -> Image.Image:
    """A decoded colour image as it is looked at, see `as_rgb`; raises `UnreadableImage` with its name."""
    try:
        return as_rgb(image)
    except ValueError as error:
        raise UnreadableImage(f"The image {name} cannot be looked at: {error}.") from error


def depth_of(image: Image.Image, name: str) -> Image.Image:
    """A decoded depth image as it is looked at, see `as_depth`; raises `UnreadableImage` with its name."""
    try:
        return as_depth(image)
    except ValueError as error:
        raise UnreadableImage(f"The depth {name} cannot be looked at: {error}.") from error


def open_rgb(source: ImageSource) -> Image.Image:
    """A colour image in RGB, whatever its source gives; raises `UnreadableImage`."""
    return rgb_of(source.open(), source.name)


def open_depth(source: ImageSource) -> Image.Image:
    """A depth image in grey, whatever its source gives; raises `UnreadableImage`."""
    return depth_of(source.open(), source.name)


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image that is already decoded; equal only to itself."""

    name: str
    image: Image.Image

    def open(self) -> Image.Image:
        """The image itself."""
        return self.image


@dataclass(frozen=True, eq=False)
class KeptImage:
    """An image of which a collator has the tensors already; equal only to itself.

    Attributes:
        source: the image.
        made: its tensors by name, with those of its regions.
        places: the place in them of each region that questions name.
    """

    source: ImageSource
    made: Mapping[str, Any]
    places: Mapping[Region, int]

    @property
    def name(self) -> str:
        """That of the image."""
        return self.source.name

    def open(self) -> Image.Image:
        """Decode the image; raises `UnreadableImage`."""
        return self.source.open()


@dataclass(frozen=True)
class Region:
    """A region of an image as a compressed COCO run-length mask, decoded on demand.

    `height` and `width` are those of the mask, in pixels; `counts` is the COCO string (column-major).
    """

    height: int
    width: int
    counts: str

    def mask(self) -> np.ndarray:
        """The region's pixels as booleans, `[height, width]`; raises `DataError` as `require_whole` does."""
        return coco_mask.decode(self._encoded()).astype(bool)

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height in pixels; raises `DataError` as `require_whole` does."""
        left, top, width, height = coco_mask.toBbox(self._encoded()).tolist()
        return left, top, width, height

    def require_whole(self, name: str = "A region") -> None:
        """Raise `DataError` where the run lengths are none, or not those of a mask of this size.

        Args:
            name: what to call the region in the message.
        """
        if why := why_not_a_mask(self.counts, self.height, self.width):
            raise DataError(
                f"{name} has `counts` that are no run lengths of a mask of {self.height}x{self.width} pixels "
                f"(height x width): they {why}. Encode the mask again."
            )

    def _encoded(self) -> dict[str, Any]:
        self.require_whole()
        return {"size": [self.height, self.width], "counts": self.counts.encode("ascii")}

    @staticmethod
    def from_mask(mask: np.ndarray) -> Region:
        """Encode a boolean mask `[height, width]`."""
        encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return Region(mask.shape[0], mask.shape[1], encoded["counts"].decode("ascii"))


@dataclass(frozen=True)
class SpatialSample:
    """One question about space: the record that every dataset yields and every module takes.

    Attributes:
        id: unique within its dataset and split.
        image: the RGB image, or None where the question stands alone.
        depth: the depth image (brighter is farther), or None.
        further_images: images shown after `image`, for models that look at several.
        regions: the regions named by the `<mask>` placeholders of the question, in order; of the image as
            its source opens it, which is upright unless the data say that pixels count as they are stored.
        question: the question's text, without any image placeholder.
        prompt: the benchmark's own words for question and choices, as its data hold them, or "".
        choices: the options of a multiple-choice question, without letters; empty where they are drawn in the
            image.
        answer: the normalised answer ("left", "2", "3.25", "B"), or None where it is not known.
        answer_type: the answer's form, or None where the dataset does not tell.
        rationale: a free-form answer or a reasoning that ends in the answer; may be empty.
        task: the benchmark's own name for the kind of question, or "" where it does not tell.
        source: where the image comes from.
        group: the image that this question shares with others; scores are clustered by it.
        examples: solved questions shown before this one (in-context learning).
        part: which data set of a mixture it comes from, counted from 0.
        shown: masks of all that the image shows, where the data have them, as rendered scenes do: to learn
            from beside the answers, and never to answer by.
        boxes: left, top, right and bottom, in pixels of the image, of the things that the question is about,
            in the order in which it names their boxes; empty where the data have none. No model is shown
            them.
    """

    id: str
    question: str
    image: ImageSource | None = None
    depth: ImageSource | None = None
    further_images: tuple[ImageSource, ...] = ()
    regions: tuple[Region, ...] = ()
    choices: tuple[str, ...] = ()
    answer: str | None = None
    answer_type: AnswerType | None = None
    rationale: str = ""
    task: str = ""
    source: str = ""
    group: str = ""
    examples: tuple[SpatialSample, ...] = ()
    part: int = 0
    prompt: str = ""
    shown: SceneMasks | None = None
    boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        """Read a file in `depth` as one that holds depth."""
        if isinstance(self.depth, ImageFile) and not self.depth.depth:
            object.__setattr__(self, "depth", dataclasses.replace(self.depth, depth=True))

    @property
    def letters(self) -> str:
        """The letters a multiple-choice question can be answered with; "" for other questions."""
        if self.answer_type is not AnswerType.LETTER:
            return ""
        return LETTERS[: len(self.choices)] if self.choices else DRAWN_LETTERS

    def replace(self, **changes: object) -> SpatialSample:
        """A copy of this sample with some fields changed.

        Where these are its question or its choices, the benchmark's own words hold no longer: they go.
        """
        worded = ("question", "choices")
        if any(name in changes and changes[name] != getattr(self, name) for name in worded):
            changes = {"prompt": "", **changes}
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def to(self, device: object) -> SpatialSample:
        """The sample itself: nothing of it lies on a device.

        Lightning moves batches and answers between devices; what has this method it does not take apart.
        """
        return self


@dataclass(frozen=True)
class Answer:
    """What a model wrote in reply to one sample, before anybody has read or judged it.

    Attributes:
        sample: the question.
        raw: the text, or the candidate that was taken.
        asked: the words that were replied to in writing; "" where none were, since candidates were weighed or
            nothing is read; None where nobody knows, as of another system's answers.
        reasoning: where a candidate was taken after the model's own text: that text with the cue behind it,
            after which the candidates were weighed; of a model that writes the regions which lead to its
            answer, these; "" elsewhere. Nothing is read out of it.
        examples: how many of the sample's solved examples, the last ones, there was room for; None where the
            model does not say.
    """

    sample: SpatialSample
    raw: str
    asked: str | None = ""
    reasoning: str = ""
    examples: int | None = None

    def to(self, device: object) -> Answer:
        """The answer itself: nothing of it lies on a device."""
        return self


class BatchSamples:
    """The light records of a batch (no open image), to be iterated, counted and indexed.

    Not a list on purpose: Lightning and torch walk through lists and dataclasses to move and pin tensors, and
    refuse frozen dataclasses there. What they do not know they leave alone.
    """

    def __init__(self, samples: Sequence[SpatialSample]) -> None:
        self._samples = tuple(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> SpatialSample:
        return self._samples[index]

    def __iter__(self) -> Iterator[SpatialSample]:
        return iter(self._samples)


def metric_of(data: Any, stage: str) -> Any:
    """The metric that data have for a stage; a `metric` of one's own that takes no stage is that of all."""
    return data.metric(stage) if inspect.signature(data.metric).parameters else data.metric()
