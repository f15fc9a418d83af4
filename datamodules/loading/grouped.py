"""What a benchmark's split looks like to the datamodule: questions, grouped by the image they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from datamodules.samples import SpatialSample


class GroupedQuestions(Protocol):
    """Images, each with its questions, as data-loading workers need them; must pickle small.

    Images are numbered from 0, and the questions of one image from 0 again.
    """

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        ...

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened."""
        ...

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, as `text_length` counts, `[images]`."""
        ...


class Split(GroupedQuestions, Protocol):
    """A whole split of a benchmark, of which some things can be asked without building samples."""

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question."""
        ...

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """Question, rationale, answer and choices of at most `limit` questions, spread over the split."""
        ...


def text_length(sample: SpatialSample) -> int:
    """The characters of a question with all that is written to answer it: choices, rationale, answer."""
    written = (sample.question, *sample.choices, sample.rationale, sample.answer or "")
    return sum(len(text) for text in written)


def every_sample(questions: GroupedQuestions) -> Iterator[SpatialSample]:
    """All questions, image by image; no image is opened."""
    for group, size in enumerate(questions.group_sizes()):
        yield from questions.samples(group, range(int(size)))


def labels_of(questions: GroupedQuestions) -> Iterator[tuple[str, str]]:
    """Task and answer of every question, for splits that cannot tell them without building samples."""
    for sample in every_sample(questions):
        yield sample.task, sample.answer or ""


def texts_of(questions: GroupedQuestions, limit: int) -> Iterator[tuple[str, ...]]:
    """Question, rationale, answer and choices of at most `limit` questions, likewise, spread evenly."""
    total = int(questions.group_sizes().sum())
    chosen = set(np.linspace(0, total - 1, min(limit, total)).astype(int).tolist())
    for number, sample in enumerate(every_sample(questions)):
        if number in chosen:
            yield sample.question, sample.rationale, sample.answer or "", *sample.choices


@dataclass(frozen=True)
class ImageSubset:
    """Some of the images of a split, in a new order."""

    whole: GroupedQuestions
    chosen: np.ndarray

    @staticmethod
    def fraction(whole: GroupedQuestions, fraction: float, seed: int) -> ImageSubset:
        """The same `fraction` (0 to 1, at least one image) of the images for the same `seed`."""
        return ImageSubset.divided(whole, fraction, seed)[0]

    @staticmethod
    def divided(whole: GroupedQuestions, fraction: float, seed: int) -> tuple[ImageSubset, ImageSubset]:
        """The same `fraction` of the images for the same `seed`, at least one, and all others."""
        keep = max(1, round(fraction * len(whole)))
        order = np.random.default_rng(seed).permutation(len(whole))
        return ImageSubset(whole, np.sort(order[:keep])), ImageSubset(whole, np.sort(order[keep:]))

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.chosen)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return self.whole.group_sizes()[self.chosen]

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened."""
        return self.whole.samples(int(self.chosen[group]), questions)

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, `[images]`."""
        return self.whole.lengths()[self.chosen]

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question."""
        return labels_of(self)

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """Question, rationale, answer and choices of at most `limit` questions, spread over the split."""
        return texts_of(self, limit)
