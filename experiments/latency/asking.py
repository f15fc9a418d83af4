"""Asks one question after the other, as a test does, and notes how long each stage of it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning import Trainer
from torch import Tensor

from datamodules.base import SpatialDataModule
from datamodules.loading.batching import BatchRequest, ImageRequest
from datamodules.loading.image_loading import CollateLoaded, ImageLoading
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import SpatialSample
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
        examples: how many solved examples it was asked with, as far as they fit.
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
        self.clock.begin()
        began = now(device)
        loaded = loading[ONLY]
        decoded = time.perf_counter()
        batch: Batch = to_device(self.trainer, self.collate(loaded))
        there = now(device)
        with self.trainer.precision_plugin.test_step_context():
            self.module.answer(batch)
        ended = now(device)
        return Timing(
            sample.id,
            {
                DECODE: decoded - began,
                PREPROCESS: there - decoded,
                **self.clock.divided(there, ended),
            },
            ended - began,
            self.module.prompt_tokens(batch),
            self.module.written_tokens(batch, self.clock.reads),
            # Those that a collator has left out, since they did not fit, were not asked with.
            batch.get("examples", [len(loaded.light[0].examples)])[0],
        )

    def _loading(self, sample: SpatialSample) -> ImageLoading:
        return ImageLoading(ListedQuestions(((sample,),)), self.data.views, self.data.on_bad_image)


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
