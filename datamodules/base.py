"""The datamodule every benchmark shares: grouped batches, late bindings, sharding, bad images, resuming."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, TypedDict

import torchmetrics
from lightning.pytorch import LightningDataModule
from lightning.pytorch.accelerators import CPUAccelerator
from torch.utils.data import DataLoader

from datamodules.answers import read_answer
from datamodules.loading.batching import EvaluationBatches, TrainingBatches
from datamodules.loading.epoch_sampler import EpochSampler, EveryImage
from datamodules.loading.grouped import GroupedQuestions, ImageSubset, Split
from datamodules.loading.image_loading import (
    BadImagePolicy,
    CollateLoaded,
    Collator,
    ImageLoading,
    ResumableLoader,
    samples_only,
)
from datamodules.loading.image_notes import ImageNotes
from datamodules.loading.kept_images import KeptImages, PreparesImages
from datamodules.loading.split_answers import require_answers
from datamodules.samples import Answer, DataError, metric_of
from datamodules.views import View

Role = Literal["train", "val", "test"]
"""What a split is used for."""

_TEXTS_FROM_RECORDS = 50_000


class DataArguments(TypedDict, total=False):
    """The arguments of every datamodule, for those that hand them on; see `SpatialDataModule`."""

    batch_size: int
    evaluation_batch_size: int | None
    questions_per_image: int
    num_workers: int
    seed: int | None
    views: list[View] | None
    on_bad_image: Literal["error", "answer_blind"]
    training_fraction: float
    val_fraction: float
    length_grouped: bool
    loading_timeout_s: int
    kept_images_gb: float


class SpatialDataModule(LightningDataModule, ABC):
    """Questions about images, a batch of images at a time, with all questions of an image together.

    A benchmark subclasses this and writes `prepare_split`, `open_split` and `metric`.

    The handshake with the module:
        - the module sets `collator` in its `setup`; loaders read it when they are made, which is later;
        - the module asks `metric(stage)` for the score of the stage's questions, and `texts()` for words to
          learn.

    A batch is what the collator returned, plus `samples` (the light records, in the collator's order) and
    `skipped` (names of unreadable images and what was wrong). A collator that changes images says so in the
    same form under `scaled` and `padded`; `image_notes` holds what all batches of the run said.

    Run it with `Trainer(use_distributed_sampler=False)`: the ranks' shares are dealt out here. Data without a
    val split are not validated on (see `validates`), and a test may score another split (see `scored`);
    without a trainer, a loader is that of the split it is named after.

    Args:
        batch_size: images in a training batch of one process; all their questions come along.
        evaluation_batch_size: the same for validation, test and prediction; `batch_size` when left out.
        questions_per_image: at most so many questions of an image at once. In training another random subset
            is drawn in each epoch; in evaluation larger groups are split and every question is kept.
        num_workers: data-loading processes for each loader.
        seed: decides the order of training batches, together with the epoch; the run's seed
            (`seed_everything`) when left out.
        views: changes applied to every sample, in order.
        on_bad_image: what validation, test and prediction do with an image that cannot be read: stop, or
            answer its questions without seeing it. Training takes the next image instead, and says so.
        training_fraction: the part of the training images to use, above 0 and at most 1.
        val_fraction: the part of the training images to validate on instead, below 1, for data without a val
            split: always the same images, which are not trained on.
        length_grouped: whether images with texts of similar length are trained on together, so that less is
            padded; the length of a text is that of its characters before the views.
        loading_timeout_s: how long the data-loading processes may take for a batch that is waited for, in
            seconds, before the run ends; 0 for as long as they like. A process that dies is mostly told of at
            once, but where the system's notice of it is lost, only after this time.
        kept_images_gb: how much disk prepared images may take in the user's cache, in GB, where the module
            prepares each by itself; 0 prepares each anew in every epoch.
    """

    def __init__(
        self,
        batch_size: int = 8,
        evaluation_batch_size: int | None = None,
        questions_per_image: int = 16,
        num_workers: int = 2,
        seed: int | None = None,
        views: list[View] | None = None,
        on_bad_image: Literal["error", "answer_blind"] = "error",
        training_fraction: float = 1.0,
        val_fraction: float = 0.0,
        length_grouped: bool = False,
        loading_timeout_s: int = 600,
        kept_images_gb: float = 4.0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("evaluation_batch_size", evaluation_batch_size, 1),
            ("questions_per_image", questions_per_image, 1),
            ("num_workers", num_workers, 0),
            ("loading_timeout_s", loading_timeout_s, 0),
            ("kept_images_gb", kept_images_gb, 0),
            ("seed", seed, 0),
        ):
            if value is not None and value < least:
                raise DataError(f"`{name}` is {value}; it must be at least {least}.")
        if not 0 < training_fraction <= 1:
            raise DataError(f"`training_fraction` is {training_fraction}; it must be above 0 and at most 1.")
        if not 0 <= val_fraction < 1:
            raise DataError(f"`val_fraction` is {val_fraction}; it must be at least 0 and below 1.")
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size or batch_size
        self.questions_per_image = questions_per_image
        self.num_workers = num_workers
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed
        self.views = tuple(views or ())
        self.on_bad_image: BadImagePolicy = on_bad_image
        self.training_fraction = training_fraction
        self.val_fraction = val_fraction
        self.length_grouped = length_grouped
        self.loading_timeout_s = loading_timeout_s
        self.kept_images_gb = kept_images_gb
        self.collator: Collator = samples_only
        self.image_notes = ImageNotes()
        # A rank may have no batch of a tiny evaluation set; nobody waits for it there.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self._open_splits: dict[Role, Split] = {}
        self._loadings: list[ImageLoading] = []

    @abstractmethod
    def prepare_split(self, role: Role) -> None:
        """Write whatever must exist on disk before the split can be opened; called in one process only."""

    @abstractmethod
    def open_split(self, role: Role) -> Split:
        """Open a prepared split; raises `DataError` where it is missing, empty or unusable."""

    @abstractmethod
    def metric(self, stage: str = "test") -> torchmetrics.Metric:
        """A fresh metric that computes the benchmark's official score from answers.

        Any metric of torchmetrics may be returned: it gives the score its one number.

        Args:
            stage: whose questions are scored: "test", or "fit" and "validate" for those of the validation.
        """

    def read_answer(self, answer: Answer) -> str | None:
        """What a metric that is not a benchmark's own compares: the normalised answer, if one can be read."""
        return read_answer(answer)

    def require_split(self, role: Role) -> None:
        """Raise `DataError` where the data have no such split, as far as a glance tells.

        A run asks before it loads a model: nothing is rendered, fetched or read for the answer.
        """

    @property
    def views_of_questions(self) -> tuple[View, ...]:
        """The views without those that show examples: what is seen of the questions themselves."""
        return tuple(view for view in self.views if view.examples is None)

    @property
    def shows_examples(self) -> bool:
        """Whether solved examples stand before the questions of a test."""
        return any(view.examples is not None for view in self.views)

    def require_examples(self) -> None:
        """Raise `DataError` where a view shows examples of data that have no training split; as early.

        So it does where several views show examples, of which only the last one's would be seen.
        """
        shown = [view.examples for view in self.views if view.examples is not None]
        if len(shown) > 1:
            raise DataError(
                f"{len(shown)} views of {type(self).__name__} show solved examples, those of a mixture "
                "counted with those of its parts: leave all but one out."
            )
        for examples in shown:
            examples.require_split("train")

    def has_split(self, role: Role) -> bool:
        """Whether the data have such a split, or were told to have one; they lie on this machine now."""
        return True

    @property
    def validates(self) -> bool:
        """Whether a training is validated: the trainer wants it, and there is a split for it."""
        wanted = self.trainer is None or self.trainer.limit_val_batches != 0
        return wanted and self.has_validation

    @property
    def has_validation(self) -> bool:
        """Whether there is something to validate on."""
        return self.has_split(self.taken_from("val"))

    @property
    def holds_back(self) -> bool:
        """Whether it is validated on images of the training split, which are not trained on."""
        return self.val_fraction > 0

    @property
    def validates_on_test(self) -> bool:
        """Whether validation and test ask the same questions."""
        return self.scored == "val"

    def taken_from(self, role: Role) -> Role:
        """The split of the data that the questions of a role are taken from."""
        return "train" if role == "val" and self.holds_back else role

    @property
    def scored(self) -> Role:
        """The split that a test scores; predictions are always made for the test split."""
        return "test"

    def require_answers(self, role: Role) -> None:
        """Raise `DataError` where a split cannot be scored, since its answers or tasks are not known."""
        require_answers(self.split(role), metric_of(self, "test" if role == "test" else "validate"), role)

    def require_fields(self, module: object) -> None:
        """Raise `DataError` where questions lack what a module has never learnt to do without.

        Asked before an evaluation. Benchmarks have what they have; people forget a column.

        Args:
            module: the module.
        """

    def origin(self) -> str:
        """Which data these are: a commit of the hub, a digest, or how they were made."""
        return "not known"

    def split(self, role: Role) -> Split:
        """All questions of a role, opened once; views are prepared for those that are asked."""
        if role not in self._open_splits:
            if role == "test" or not self.val_fraction:
                self.ask_instead(role, self.whole_split(role))
            else:
                # Whatever the run's seed, so that runs are compared on the same questions.
                parts = ImageSubset.divided(self.whole_split("train"), self.val_fraction, seed=0)
                self.ask_instead("val", parts[0])
                self.ask_instead("train", parts[1])
        return self._open_splits[role]

    def ask_instead(self, role: Role, questions: Split) -> None:
        """Ask these questions from now on, in the place of all of a role."""
        self._open_splits[role] = questions
        if role != "train":  # of which often only the answers are counted
            self.prepare_views(role)

    def prepare_views(self, role: Role) -> None:
        """Let the views see all questions of a role."""
        for view in self.views:
            view.prepare(self.split(role))

    def whole_split(self, role: Role) -> Split:
        """All that the data have for a role."""
        return self.open_split(role)

    def training_images(self) -> tuple[GroupedQuestions, EpochSampler]:
        """The images to train on, and which of them each epoch draws."""
        training: GroupedQuestions = self.split("train")
        self.prepare_views("train")
        if self.training_fraction < 1:
            training = ImageSubset.fraction(training, self.training_fraction, self.seed)
        return training, EveryImage(len(training))

    def texts(self) -> Iterator[str]:
        """Questions, rationales, answers and choices of at most 50,000 training records, always the same."""
        for texts in self.split("train").texts(_TEXTS_FROM_RECORDS):
            yield from texts

    def prepare_data(self) -> None:
        """Prepare the splits the run needs; Lightning calls this in one process a node."""
        for role in self._needed():
            self.prepare_split(self.taken_from(role))

    def setup(self, stage: str) -> None:
        """Open the splits the stage needs, so that what is wrong with them is said before training.

        Raises:
            DataError: a split is missing or unusable, one that will be scored has no answers, or a callback
                watches a validation that there is not.
        """
        for role in self._needed(stage):
            self.split(role)
            if stage != "predict" and role != "train":
                self.require_answers(role)
        if stage == "fit" and not self.validates:
            self._refuse_monitors()

    def train_dataloader(self) -> DataLoader:
        """The training batches; resumable within an epoch.

        With `Trainer(overfit_batches=...)` they come in a fixed order, the same in every epoch.
        """
        if self.trainer is not None and self.trainer.overfit_batches > 0:  # type: ignore[attr-defined]
            return self._in_fixed_order(*self._rank())
        training, sampler = self.training_images()
        batches = TrainingBatches(
            training.group_sizes(),
            self.batch_size,
            self.questions_per_image,
            self.seed,
            *self._rank(),
            sampler=sampler,
            lengths=training.lengths() if self.length_grouped else None,
        )
        loading = self._training_loading(training)
        return ResumableLoader(loading, batches, self._position, **self._loader_options(loading))

    def every_training_question(self) -> DataLoader:
        """Every question of the training images once, in a fixed order, in batches of the training's size.

        In place of an image that cannot be read comes the next one, as in training, and so once more.
        """
        return self._in_fixed_order(0, 1)

    def _in_fixed_order(self, rank: int, world_size: int) -> DataLoader:
        training, _ = self.training_images()
        batches = EvaluationBatches(
            training.group_sizes(), self.batch_size, self.questions_per_image, rank, world_size
        )
        loading = self._training_loading(training)
        return DataLoader(loading, batch_size=None, sampler=batches, **self._loader_options(loading))

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """The validation batches: every question once over all ranks; none where a fit validates nothing."""
        return [] if self.trainer is not None and not self.validates else self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader:
        """The batches of the split that a trainer's test scores: every question once over all ranks."""
        return self._evaluation_loader("test" if self.trainer is None else self.scored)

    def predict_dataloader(self) -> DataLoader:
        """The batches of the test split, for answers that are written down instead of scored."""
        return self._evaluation_loader("test")

    @property
    def skipped(self) -> dict[str, str]:
        """The names of images that could not be read, and what was wrong."""
        return self.image_notes.skipped

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Note, in the main process, what workers did to images; a loader of one's own may not say."""
        if isinstance(batch, Mapping):
            self.image_notes.add(batch)
        return batch

    def teardown(self, stage: str) -> None:
        """Sum up what was done to images, over all processes."""
        self.image_notes.share()
        if self._rank()[0] != 0:
            return
        counts = self.image_notes.counts()
        for kind, why in (("scaled", "scaled down to the model's window"), ("padded", "padded")):
            if counts[kind]:
                print(f"{counts[kind]:,} images were {why}.")
        if self.skipped:
            replacement = "replaced by the next ones" if stage == "fit" else "answered without seeing them"
            names = ", ".join(sorted(self.skipped))
            print(f"{len(self.skipped)} images could not be read and were {replacement}: {names}.")

    def _evaluation_loader(self, role: Role) -> DataLoader:
        questions = self.split(role)
        if self.trainer is not None:
            self.require_fields(self.trainer.lightning_module)
        rank, world_size = self._rank()
        batches = EvaluationBatches(
            questions.group_sizes(), self.evaluation_batch_size, self.questions_per_image, rank, world_size
        )
        loading = ImageLoading(questions, self.views, self.on_bad_image, kept=self._kept_images())
        return DataLoader(loading, batch_size=None, sampler=batches, **self._loader_options(loading))

    def being_read(self, processes: Collection[int] = ()) -> str:
        """The images, with their questions, that data-loading processes read at this moment, in words.

        Args:
            processes: the numbers of the processes that are asked about; all when left out.
        """
        return "; ".join(
            loading.described(group)
            for loading in self._loadings
            for group in loading.being_read.images(processes)
        )

    def _training_loading(self, training: GroupedQuestions) -> ImageLoading:
        return ImageLoading(
            training,
            self.views,
            "next_image",
            self.questions_per_image,
            self.seed,
            kept=self._kept_images(),
        )

    def _kept_images(self) -> KeptImages | None:
        """Where the module's collator finds images that it has prepared; None where it does not do so."""
        # A module's collator is given inside of one that makes its batches whole.
        collator = getattr(self.collator, "collator", self.collator)
        if not self.kept_images_gb or not isinstance(collator, PreparesImages):
            return None
        writers = max(self.num_workers, 1) * self._rank()[1]
        return KeptImages(collator, int(self.kept_images_gb * 1e9), writers)

    def _loader_options(self, loading: ImageLoading) -> dict[str, Any]:
        """What all loaders share; read late, when the module has given its collator."""
        loading.being_read.make_room(self.num_workers)
        self._loadings.append(loading)
        on_cpu = self.trainer is None or isinstance(self.trainer.accelerator, CPUAccelerator)
        return {
            "collate_fn": CollateLoaded(self.collator, loading.being_read),
            "num_workers": self.num_workers,
            "timeout": self.loading_timeout_s if self.num_workers else 0,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": not on_cpu,
        }

    def _rank(self) -> tuple[int, int]:
        """This process's number and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _position(self) -> tuple[int, int]:
        """The training epoch and the number of its batches that are done, as Lightning counts them."""
        if self.trainer is None:
            return 0, 0
        return self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _needed(self, stage: str | None = None) -> list[Role]:
        """The splits a stage needs; without a stage, those the trainer's present task needs."""
        trainer = self.trainer
        if stage is None:
            stage = str(trainer.state.fn.value) if trainer is not None and trainer.state.fn else None
        if stage == "fit":
            return ["train", "val"] if self.validates else ["train"]
        if stage == "validate":
            return ["val"]
        if stage == "test":
            return [self.scored]
        if stage == "predict":
            return ["test"]
        return ["train", "val", "test"] if self.validates else ["train", "test"]

    def _refuse_monitors(self) -> None:
        """Raise where early stopping or a checkpoint waits for a validation score that nobody will log."""
        for callback in self.trainer.callbacks if self.trainer is not None else ():  # type: ignore[attr-defined]
            monitor = str(getattr(callback, "monitor", None) or "")
            idle = getattr(callback, "idle_without_validation", False)
            if re.match(r"val(?![a-z])", monitor) and not idle:
                raise DataError(
                    f"The callback {type(callback).__name__} watches {monitor}, but nothing is validated: "
                    "the data have no val split, or trainer.limit_val_batches is 0. Name a split to "
                    "validate on with `splits: {val: NAME}`, or leave the callback out."
                )
