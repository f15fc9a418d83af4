"""Asks one question after the other, as a test does, and notes how long each stage of it takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning import Trainer
from PIL import Image
from torch import Tensor

from datamodules.base import SpatialDataModule
from datamodules.loading.batching import BatchRequest, ImageRequest
from datamodules.loading.image_loading import CollateLoaded, ImageLoading, LoadedBatch
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import ImageSource, OpenedImage, SpatialSample
from experiments.latency.stages import DECODE, PREPROCESS, AnswerClock, now
from experiments.lightning_internals import to_device
from lightning_modules.answering_parts import PromptTokens
from lightning_modules.base import Batch, SpatialModule

ONLY = BatchRequest((ImageRequest(0, (0,)),))
"""The only question of a split of one."""

Shape = tuple[tuple[str, tuple[int, ...]], ...]
"""The shapes of all tensors of a batch, by their places in it."""


@dataclass(frozen=True)
class Timing:
    """One question that was answered.

    Attributes:
        question: its id.
        seconds: of each stage.
        end_to_end: from taking up the record to the answer, in seconds.
        tokens_in: those of its prompt; None where that is not known.
        tokens_out: how many were written; None where that is not known.
        examples: how many solved examples it was asked with.
    """

    question: str
    seconds: Mapping[str, float]
    end_to_end: float
    tokens_in: PromptTokens | None
    tokens_out: int | None
    examples: int


class OneByOne:
    """Asks a module that a Trainer has taken up, each question by itself.

    What loads and what answers is the run's own: the data's views and loading, the module's collator,
    Lightning's way to the device and into the run's precision, the module's `answer`. Images that a collator
    has prepared before, and keeps on disk, are not used: a question that is asked for the first time has
    none.

    Args:
        trainer: the Trainer, within its test.
        module: the module.
        data: the data that the module has given its collator.
    """

    def __init__(self, trainer: Trainer, module: SpatialModule, data: SpatialDataModule) -> None:
        self.trainer, self.module, self.data = trainer, module, data
        self.clock = AnswerClock(module.answering_parts(), module.device)
        self.collate = CollateLoaded(data.collator)

    def shape(self, sample: SpatialSample) -> Shape:
        """The shapes of what the model is given of a question; nothing is answered."""
        return tuple(_shapes(self.collate(self._loading(sample)[ONLY])))

    def ask(self, sample: SpatialSample) -> Timing:
        """Ask one question, as the data have it before their views.

        Raises:
            SmallSpatialError: its image cannot be read, or the model not be asked it.
        """
        device = self.module.device
        loading = self._loading(sample)
        opened: list[float] = []
        self.clock.begin()
        began = now(device)
        loaded = _with_timed_examples(loading[ONLY], opened)
        decoded = time.perf_counter()
        batch: Batch = to_device(self.trainer, self.collate(loaded))
        there = now(device)
        with self.trainer.precision_plugin.test_step_context():
            self.module.answer(batch)
        ended = now(device)
        late = sum(opened)
        return Timing(
            sample.id,
            {
                DECODE: decoded - began + late,
                PREPROCESS: there - decoded - late,
                **self.clock.divided(there, ended),
            },
            ended - began,
            self.module.prompt_tokens(batch),
            self.module.written_tokens(batch, self.clock.reads),
            len(loaded.light[0].examples),
        )

    def _loading(self, sample: SpatialSample) -> ImageLoading:
        return ImageLoading(ListedQuestions(((sample,),)), self.data.views, self.data.on_bad_image)


@dataclass(frozen=True)
class TimedImage:
    """An image that a collator opens itself, and how long that takes.

    Attributes:
        source: the image.
        opened: takes the seconds of each opening.
    """

    source: ImageSource
    opened: list[float] = field(compare=False)

    @property
    def name(self) -> str:
        """That of the image."""
        return self.source.name

    def open(self) -> Image.Image:
        """Decode the image; raises `UnreadableImage`."""
        began = time.perf_counter()
        try:
            return self.source.open()
        finally:
            self.opened.append(time.perf_counter() - began)


def _with_timed_examples(loaded: LoadedBatch, opened: list[float]) -> LoadedBatch:
    """The same batch; images of solved examples that loading leaves to the collator are timed there."""

    def timed(source: ImageSource | None) -> ImageSource | None:
        return source if source is None or isinstance(source, OpenedImage) else TimedImage(source, opened)

    def watched(example: SpatialSample) -> SpatialSample:
        further = tuple(timed(each) for each in example.further_images)
        return example.replace(image=timed(example.image), depth=timed(example.depth), further_images=further)

    samples = [
        sample.replace(examples=tuple(map(watched, sample.examples))) if sample.examples else sample
        for sample in loaded.opened
    ]
    return dataclasses.replace(loaded, opened=samples)


def _shapes(value: Any, place: str = "") -> list[tuple[str, tuple[int, ...]]]:
    if isinstance(value, Tensor):
        return [(place, tuple(value.shape))]
    if isinstance(value, Mapping):
        inner = [(str(name), each) for name, each in value.items()]
    elif isinstance(value, list | tuple):
        inner = [(str(number), each) for number, each in enumerate(value)]
    else:
        return []
    return [found for name, each in inner for found in _shapes(each, f"{place}/{name}")]
