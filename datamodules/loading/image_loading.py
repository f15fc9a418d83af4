"""Opening the images of a batch in a data-loading worker, each once, and the loader that can resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from lightning.fabric.utilities.apply_func import apply_to_collection
from torch.utils.data import DataLoader, Dataset, get_worker_info

from datamodules.loading.batching import BatchRequest, ImageRequest, TrainingBatches, training_request
from datamodules.loading.being_read import NOTHING, BeingRead
from datamodules.loading.grouped import GroupedQuestions
from datamodules.loading.kept_images import KeptImages
from datamodules.samples import (
    BatchSamples,
    DataError,
    ImageReading,
    ImageSource,
    MissingImage,
    OpenedImage,
    SpatialSample,
    UnreadableImage,
    depth_of,
    rgb_of,
)
from datamodules.views import Blind, DerivedImage, View

Collator = Callable[[list[SpatialSample]], dict[str, Any]]
"""Turns samples whose images are open into a batch of tensors; given by the module, runs in the workers."""

BadImagePolicy = Literal["error", "answer_blind", "next_image"]
"""What happens to an unreadable image: raise, drop it but keep its questions, or take the next image."""


def samples_only(samples: list[SpatialSample]) -> dict[str, Any]:
    """The collator of a datamodule that no module has given one: the batch holds the samples alone.

    Beside them stand their places in it, a tensor `[samples]` by which Lightning sees how many there are.
    """
    return {"places": torch.arange(len(samples))}


@dataclass(frozen=True)
class LoadedBatch:
    """The samples of a batch, once as light records and once with their images open.

    `skipped` maps the names of unreadable images to what was wrong.
    """

    light: list[SpatialSample]
    opened: list[SpatialSample]
    skipped: dict[str, str]


@dataclass(frozen=True)
class ImageLoading(Dataset[LoadedBatch]):
    """Answers batch requests: applies the views, then opens every image of the batch once.

    Attributes:
        questions: the split.
        views: applied to each sample in order, before its image is opened.
        on_bad_image: what to do with an image that cannot be decoded.
        questions_per_image: the training limit, for images that step in for unreadable ones.
        seed: the training seed, for the same purpose.
        being_read: where a worker says which image it reads.
        kept: images that are prepared already; None where each is opened anew.
    """

    questions: GroupedQuestions
    views: tuple[View, ...] = ()
    on_bad_image: BadImagePolicy = "error"
    questions_per_image: int = 16
    seed: int = 0
    being_read: BeingRead = field(default_factory=BeingRead, compare=False)
    kept: KeptImages | None = field(default=None, compare=False)

    def __getitem__(self, request: BatchRequest) -> LoadedBatch:
        """Load one batch.

        Raises:
            UnreadableImage: an image cannot be decoded and the policy is to raise, or none can be decoded.
            MissingImage: a file does not exist (in training even where undecodable images are passed over,
                since it means that the data set is incomplete).
            DataError: the masks of a record do not have the size of its image.
        """
        batch = LoadedBatch([], [], {})
        for image in request.images:
            self._add(image, request.epoch or 0, batch)
        return batch

    def _add(self, image: ImageRequest, epoch: int, batch: LoadedBatch) -> None:
        """Add the questions of one image to the batch, or of what stands in for it."""
        for _ in range(len(self.questions)):
            self.being_read.note(image.group)
            samples = self._viewed(image)
            try:
                opened = self._opened(image.group, samples, batch.skipped)
            except UnreadableImage as error:
                batch.skipped[samples[0].group] = str(error)
                incomplete = self.on_bad_image == "next_image" and isinstance(error, MissingImage)
                if self.on_bad_image == "error" or incomplete:
                    raise
                if self.on_bad_image == "next_image":
                    image = self._next_image(image, epoch)
                    continue
                samples = opened = [
                    sample.replace(image=None, depth=None, further_images=()).replace(
                        examples=tuple(map(Blind(), sample.examples))
                    )
                    for sample in samples
                ]
            batch.light.extend(map(_with_examples_of, samples, opened))
            batch.opened.extend(opened)
            return
        raise UnreadableImage(f"None of the {len(self.questions)} training images can be read.")

    def _opened(
        self, group: int, samples: list[SpatialSample], skipped: dict[str, str]
    ) -> list[SpatialSample]:
        """Questions of an image with it open, or with what is kept of it; notes the examples left out."""
        if self.kept is None:
            return _open_together(samples, skipped if self.on_bad_image == "answer_blind" else None)
        every = ImageRequest(group, tuple(range(int(self.questions.group_sizes()[group]))))
        return self.kept.opened(samples, lambda: self._viewed(every), _open_together)

    def described(self, group: int) -> str:
        """An image by its name, and its questions, for somebody who has to look at them."""
        questions = range(min(int(self.questions.group_sizes()[group]), self.questions_per_image))
        samples = self.questions.samples(group, questions)
        names = ", ".join(sample.id for sample in samples)
        image = samples[0].image
        return f"{'no image' if image is None else image.name} (questions {names})"

    def _viewed(self, image: ImageRequest) -> list[SpatialSample]:
        samples = self.questions.samples(image.group, image.questions)
        for view in self.views:
            samples = [view(sample) for sample in samples]
        return samples

    def _next_image(self, image: ImageRequest, epoch: int) -> ImageRequest:
        group = (image.group + 1) % len(self.questions)
        size = int(self.questions.group_sizes()[group])
        return training_request(group, size, self.questions_per_image, self.seed, epoch)


def _open_together(
    samples: Sequence[SpatialSample], skipped: dict[str, str] | None = None
) -> list[SpatialSample]:
    """The samples with their images decoded; samples with the same image share one object.

    Args:
        samples: the samples.
        skipped: takes the names of images of examples that cannot be read, which are then left out; without
            it they raise as others do.
    """
    images: dict[tuple[ImageSource, ImageReading], OpenedImage] = {}

    def opened(
        sample: SpatialSample, source: ImageSource | None, reading: ImageReading, view: str
    ) -> OpenedImage | None:
        if source is None:
            return None
        try:
            return decoded(source, reading)
        except UnreadableImage as error:
            what = "depth" if reading is depth_of else "images"
            raise type(error)(
                f"{error} Record {sample.id} needs it; the view `{view}` leaves {what} out."
            ) from error
        except DataError as error:  # a view draws regions into the image
            raise DataError(f"{error} It is one of record {sample.id}.") from error

    def decoded(source: ImageSource, reading: ImageReading) -> OpenedImage:
        if (source, reading) not in images:
            # Images that views made out of the same one share its decoding.
            if isinstance(source, DerivedImage):
                image = source.derive(decoded(source.source, source.reading).image)
            else:
                image = source.open()
            images[source, reading] = OpenedImage(source.name, reading(image, source.name))
        return images[source, reading]

    def with_images(sample: SpatialSample) -> SpatialSample:
        return sample.replace(
            image=opened(sample, sample.image, rgb_of, "Blind"),
            depth=opened(sample, sample.depth, depth_of, "NoDepth"),
            further_images=tuple(opened(sample, each, rgb_of, "Blind") for each in sample.further_images),
            examples=tuple(filter(None, map(example_with_images, sample.examples))),
        )

    def example_with_images(example: SpatialSample) -> SpatialSample | None:
        try:
            return with_images(example)
        except UnreadableImage as error:
            if skipped is None:
                raise
            skipped[example.group or example.id] = str(error)
            return None

    results = list(map(with_images, samples))
    for sample in results:
        _refuse_other_size(sample)
    return results


def _with_examples_of(sample: SpatialSample, opened: SpatialSample) -> SpatialSample:
    """The light record with those of its examples that are there to be seen."""
    if len(sample.examples) == len(opened.examples):
        return sample
    there = {example.id for example in opened.examples}
    return sample.replace(examples=tuple(each for each in sample.examples if each.id in there))


def _refuse_other_size(sample: SpatialSample) -> None:
    """Raise when the masks do not have the size of the image they belong to."""
    if not isinstance(sample.image, OpenedImage):
        return
    width, height = sample.image.image.size
    for index, region in enumerate(sample.regions):
        if (region.height, region.width) != (height, width):
            raise DataError(
                f"Mask {index} of record {sample.id} is {region.height}x{region.width} (height x width), but "
                f"its image {sample.image.name} is {height}x{width}. Encode the masks at the image's size."
            )


@dataclass(frozen=True)
class CollateLoaded:
    """Runs the module's collator on a loaded batch and adds the entries every batch has.

    A worker has nothing more to read then, until it gets another batch to load.

    "samples": the light records, in the order the collator was given; "skipped": the names of unreadable
    images and what was wrong with them.
    """

    collator: Collator
    being_read: BeingRead = field(default_factory=BeingRead, compare=False)

    def __call__(self, loaded: LoadedBatch) -> dict[str, Any]:
        """The batch as the module's steps receive it."""
        batch = {
            **self.collator(loaded.opened),
            "samples": BatchSamples(loaded.light),
            "skipped": loaded.skipped,
        }
        if get_worker_info() is not None:
            # A worker would do so later, in a thread whose errors nobody hears: the run would wait for ever.
            apply_to_collection(batch, torch.Tensor, torch.Tensor.share_memory_)
        self.being_read.note(NOTHING)
        return batch


class ResumableLoader(DataLoader):
    """A training loader that starts where Lightning says the epoch stands.

    Which batches an epoch has follows from the seed and the epoch number alone, so a resumed run needs only
    to know how many of them are done. Lightning restores these two numbers from the checkpoint; they are read
    when the first batch is asked for, the moment from which they are right in every case of resuming.
    """

    def __init__(
        self,
        dataset: Dataset[LoadedBatch],
        sampler: TrainingBatches,
        position: Callable[[], tuple[int, int]],
        **options: Any,
    ) -> None:
        """`position` returns the epoch and the number of its batches that are done."""
        super().__init__(dataset, batch_size=None, sampler=sampler, **options)
        self.batches = sampler
        self.position = position

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches that remain of the present epoch."""
        self.batches.epoch, self.batches.first = self.position()
        yield from super().__iter__()

    def state_dict(self) -> dict[str, int | list[int]]:
        """What the order of batches depends on, kept in checkpoints to compare with when resuming."""
        return {
            "seed": self.batches.seed,
            "images": len(self.batches.group_sizes),
            "sampler": self.batches.sampler.describe(),
            "length_grouped": self.batches.lengths is not None,
            "batch_size": self.batches.batch_size,
            "questions_per_image": self.batches.questions_per_image,
            "world_size": self.batches.world_size,
        }

    def load_state_dict(self, state: Mapping[str, int | list[int]]) -> None:
        """Refuse to go on in the middle of an epoch whose batches would be others.

        Raises:
            DataError: a setting that decides the order of batches has changed since the checkpoint.
        """
        changed = [
            f"{name} was {state[name]} and is {value}"
            for name, value in self.state_dict().items()
            if state.get(name, value) != value
        ]
        if changed:
            raise DataError(
                f"The checkpoint stands in the middle of an epoch whose batches cannot be continued: "
                f"{'; '.join(changed)}. Resume with the old settings."
            )
