"""Training on several benchmarks at once, or on one and being tested on another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torchmetrics

from datamodules.base import DataArguments, Role, SpatialDataModule
from datamodules.layouts import OfficialLayout
from datamodules.loading.epoch_sampler import EpochSampler, EveryImage, WeightedParts
from datamodules.loading.grouped import GroupedQuestions, ImageSubset, Split
from datamodules.samples import DataError, SpatialSample, metric_of
from datamodules.scoring.joined_metric import JoinedMetric
from datamodules.views import View


class Mixture(SpatialDataModule):
    """Trains on one or several benchmarks, and is validated and tested on one.

    With `val_fraction`, of the mixture or of one of its parts, it is validated on that part of the training
    images instead, each judged by the score of its own benchmark.

    An epoch has about as many images as all training parts together, of which each part has the share that
    its weight says: with `weights: [3, 1]`, three of four images come from the first part, however large the
    parts are. A small part with a large weight comes round several times in an epoch, a large one with a
    small weight goes on in the next epoch where it stopped. Without weights every image comes once in an
    epoch.

    The parts' own `views`, `training_fraction` and `val_fraction` hold for their own samples. What decides
    about batches (`batch_size`, `seed`, `num_workers` and so on) is that of the mixture, as are the `views`
    given to it, which come after those of the parts.

    Args:
        train: the benchmarks to train on; their train split is used.
        evaluation: the benchmark to validate and test on, and whose metric is the score.
        weights: how much of each epoch comes from each part of `train`, in any unit.
        root: for the benchmarks that do not say it themselves: "rendered", "hub", or a folder that holds one
            for each benchmark, such as `space_thinker`.
        scenes: the same for how many scenes to render.
        size: the same for the size of rendered images.
        shared: the arguments of every datamodule, see `SpatialDataModule`.
    """

    def __init__(
        self,
        train: list[SpatialDataModule],
        evaluation: SpatialDataModule,
        weights: list[float] | None = None,
        root: str | None = None,
        scenes: dict[str, int] | None = None,
        size: tuple[int, int] | None = None,
        **shared: Unpack[DataArguments],
    ) -> None:
        super().__init__(**shared)
        if not train:
            raise DataError("`train` of the mixture is empty: name at least one benchmark to train on.")
        if weights is not None:
            WeightedParts.of([1] * len(train), weights)
        self.parts = tuple(train)
        self.evaluation = evaluation
        self.weights = weights
        # The parts see all views, so that they know which images nobody will ask for.
        for part in dict.fromkeys((*train, evaluation)):
            part.views = (*part.views, *self.views)
            if part in train:
                part.val_fraction = part.val_fraction or self.val_fraction
            if isinstance(part, OfficialLayout):
                part.inherit(root, scenes, size)
                if part.curriculum:
                    raise DataError(
                        "A part of a mixture cannot have a `curriculum`: give it `weights` instead."
                    )
        self.views = ()
        self.val_fraction = 0.0  # the parts hold back theirs

    def require_split(self, role: Role) -> None:
        """Raise `DataError` where a benchmark that has a share in a split does not have it."""
        for part in self._parts(role):
            part.require_split(part.taken_from(role))

    @property
    def shows_examples(self) -> bool:
        """Whether solved examples stand before the questions of the evaluated benchmark."""
        return self.evaluation.shows_examples

    def require_examples(self) -> None:
        """Raise `DataError` where a benchmark's view shows examples of data without a training split."""
        for part in (*self.parts, self.evaluation):
            part.require_examples()

    def has_split(self, role: Role) -> bool:
        """Whether every benchmark that has a share in the split has it."""
        return all(part.has_split(part.taken_from(role)) for part in self._parts(role))

    @property
    def has_validation(self) -> bool:
        """Whether there is something to validate on."""
        return self.has_split("val")

    @property
    def holds_back(self) -> bool:
        """Whether it is validated on training images of some parts."""
        return any(part.holds_back for part in self.parts)

    @property
    def validates_on_test(self) -> bool:
        """Whether validation and test ask the same questions."""
        return not self.holds_back and self.evaluation.validates_on_test

    def require_answers(self, role: Role) -> None:
        """Raise `DataError` where questions of a role cannot be scored by their own benchmark."""
        for part in self._parts(role):
            part.require_answers(role)

    def require_fields(self, module: object) -> None:
        """Raise `DataError` where questions of the evaluated benchmark lack what a module needs."""
        self.evaluation.require_fields(module)

    @property
    def scored(self) -> Role:
        """The split that a test scores, as the evaluated benchmark has it."""
        return self.evaluation.scored

    def prepare_split(self, role: Role) -> None:
        """Prepare the split of every benchmark that has a share in it."""
        for part in self._parts(role):
            part.prepare_split(part.taken_from(role))

    def prepare_views(self, role: Role) -> None:
        """Let the views of every benchmark that has a share in the split see its questions."""
        for part in self._parts(role):
            part.prepare_views(part.taken_from(role))

    def open_split(self, role: Role) -> JoinedQuestions:
        """Open the split of every benchmark that has a share in it, seen through its views.

        Raises:
            DataError: training images are to be validated on, where the test needs the val split.
        """
        if role == "val" and self.scored == "val" and self.holds_back:
            raise DataError(
                "`val_fraction` is given, but the test is scored on the val split, which can be validated on "
                "as well: leave it out."
            )
        return JoinedQuestions(
            tuple(
                ViewedQuestions(part.split(role), part.views, number)
                for number, part in enumerate(self._parts(role))
            )
        )

    def training_images(self) -> tuple[GroupedQuestions, EpochSampler]:
        """The images of all parts, and which of them each epoch draws."""
        subsets: list[GroupedQuestions] = []
        self.prepare_views("train")
        split = self.split("train")
        assert isinstance(split, JoinedQuestions)
        for part, questions in zip(self.parts, split.parts, strict=True):
            fraction = part.training_fraction * self.training_fraction
            subsets.append(
                questions if fraction == 1 else ImageSubset.fraction(questions, fraction, self.seed)
            )
        joined = JoinedImages(subsets)
        if self.weights is None:
            return joined, EveryImage(len(joined))
        return joined, WeightedParts.of([len(questions) for questions in subsets], self.weights)

    def metric(self, stage: str = "test") -> torchmetrics.Metric:
        """The official score of the benchmark that a stage's questions come from; of several, the mean."""
        parts = self._parts("test" if stage == "test" else "val")
        if len(parts) == 1:
            return metric_of(parts[0], stage)
        return JoinedMetric([(_name(part), metric_of(part, stage)) for part in parts])

    def origin(self) -> str:
        """The benchmarks with their origins, those that are trained on first."""
        origins: dict[str, None] = {}
        for part in (*self.parts, self.evaluation):
            origins[f"{_name(part)} {part.origin()}"] = None
        return " + ".join(origins)

    def _parts(self, role: Role) -> tuple[SpatialDataModule, ...]:
        if role == "val":
            return tuple(part for part in self.parts if part.holds_back) or (self.evaluation,)
        return self.parts if role == "train" else (self.evaluation,)


# Typed for editors; the parser looks up the defaults in the parent, which it does for untyped ones alone.
del Mixture.__init__.__annotations__["shared"]


def _name(part: SpatialDataModule) -> str:
    return part.benchmark if isinstance(part, OfficialLayout) else type(part).__name__


@dataclass(frozen=True)
class ViewedQuestions:
    """A split whose samples have gone through some views; labels, texts and lengths are those before.

    Attributes:
        whole: the split.
        views: the views.
        part: which data set of the mixture it is.
    """

    whole: Split
    views: tuple[View, ...]
    part: int = 0

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.whole)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return self.whole.group_sizes()

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, `[images]`."""
        return self.whole.lengths()

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image as the views show them; no image is opened."""
        samples = self.whole.samples(group, questions)
        for view in self.views:
            samples = [view(sample) for sample in samples]
        return [sample.replace(part=self.part) for sample in samples] if self.part else samples

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question."""
        return self.whole.labels()

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """Question, rationale, answer and choices of at most `limit` questions, spread over the split."""
        return self.whole.texts(limit)


@dataclass(frozen=True)
class JoinedImages:
    """The images of several sets, one set after the other."""

    parts: Sequence[GroupedQuestions]

    def __len__(self) -> int:
        """How many images there are."""
        return sum(len(part) for part in self.parts)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return np.concatenate([part.group_sizes() for part in self.parts])

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, `[images]`."""
        return np.concatenate([part.lengths() for part in self.parts])

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened."""
        for part in self.parts:
            if group < len(part):
                return part.samples(group, questions)
            group -= len(part)
        raise IndexError(f"there are only {len(self)} images")


@dataclass(frozen=True)
class JoinedQuestions(JoinedImages):
    """Several whole splits, one after the other."""

    parts: Sequence[ViewedQuestions]

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question."""
        for part in self.parts:
            yield from part.labels()

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """Question, rationale, answer and choices of at most `limit` questions, as many of each part."""
        for part in self.parts:
            yield from part.texts(max(1, limit // len(self.parts)))
