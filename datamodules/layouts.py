"""What the benchmarks share as datamodules: a folder in the official layout, fetched, given or rendered."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Unpack

import numpy as np

from datamodules.base import DataArguments, Role, SpatialDataModule
from datamodules.files.folder_digest import folder_digest
from datamodules.files.index_folders import cached_index
from datamodules.hub.whole_copies import HubDataset
from datamodules.loading.chosen_tasks import ChosenTasks
from datamodules.loading.epoch_sampler import Curriculum, EpochSampler
from datamodules.loading.grouped import GroupedQuestions, Split
from datamodules.loading.sample_index import FORMAT_VERSION, IndexedQuestions, IndexedRow, write_sample_index
from datamodules.samples import DataError
from datamodules.views import View

RENDERED = "rendered"
"""The `root` that stands for scenes rendered on this machine."""

HUB = "hub"
"""The `root` that stands for the data on the hub, fetched once into the user's cache."""


class MissingSplit(DataError):
    """A benchmark's folder does not hold a split, perhaps because the benchmark has none of the kind."""


class LayoutArguments(DataArguments, total=False):
    """The arguments of every benchmark, for those that hand them on; see `OfficialLayout`."""

    root: str | None
    splits: dict[str, str] | None
    scenes: dict[str, int] | None
    size: tuple[int, int] | None
    scenes_seed: int
    cache: str
    tasks: list[str] | None
    curriculum: list[list[str]] | None


class OfficialLayout(SpatialDataModule):
    """A benchmark that is read from a folder in its official layout.

    A subclass names the benchmark, says how its scenes are rendered, and reads the folder.

    Args:
        root: a folder in the official layout, "rendered" (which it is when left out) or "hub".
        splits: what to train, validate and test on, in the benchmark's own names of splits.
        scenes: how many scenes to render for train, val and test.
        size: width and height of rendered images, in pixels; 224 and 128 when left out.
        scenes_seed: decides what the rendered scenes show. `seed` only decides the order of training, so
            runs with several seeds share their scenes.
        cache: where rendered scenes and indexes are kept.
        tasks: the kinds of question to train and test on, by the benchmark's names; all when left out.
        curriculum: the kinds of question (the benchmark's tasks) of the first training epochs, a list for
            each of them, for models that hardly learn several kinds at once from nothing. All later epochs
            have all kinds, and every epoch has as many images as there are.
        shared: the arguments of every datamodule, see `SpatialDataModule`.
    """

    benchmark: ClassVar[str]
    """The benchmark's name for `make data` and `make score`."""

    hub: ClassVar[HubDataset]
    """Where it is on the hub, and what a whole copy of it holds."""

    title: ClassVar[str]
    """What the benchmark is called."""

    def __init__(
        self,
        root: str | None = None,
        splits: dict[str, str] | None = None,
        scenes: dict[str, int] | None = None,
        size: tuple[int, int] | None = None,
        scenes_seed: int = 0,
        cache: str = "rendered_data",
        tasks: list[str] | None = None,
        curriculum: list[list[str]] | None = None,
        **shared: Unpack[DataArguments],
    ) -> None:
        super().__init__(**shared)
        self.tasks = tasks
        self.curriculum = curriculum or []
        self.root = root or RENDERED
        self.splits: dict[str, str] = {"train": "train", "val": "val", "test": "test"} | (splits or {})
        self.named_splits = frozenset(splits or {})
        self.scenes = scenes or {"train": 600, "val": 60, "test": 150}
        self.size = size or (224, 128)
        given = {"root": root, "scenes": scenes, "size": size}
        self._left_out = {name for name, value in given.items() if value is None}
        self.scenes_seed = scenes_seed
        self._origin: str | None = None
        self.cache = Path(cache)
        for name, numbers in (
            ("size", self.size),
            ("scenes", self.scenes.values()),
            ("scenes_seed", [scenes_seed]),
        ):
            least = 0 if name == "scenes_seed" else 1
            if any(number < least for number in numbers):
                raise DataError(f"`{name}` is {getattr(self, name)}; its numbers must be at least {least}.")
        unknown = (set(self.splits) | set(self.scenes)) - {"train", "val", "test"}
        if unknown:
            raise DataError(
                f"`splits` and `scenes` know train, val and test, not {', '.join(sorted(unknown))}."
            )
        # A folder is that of this benchmark alone; a mixture's holds one for each.
        self._hand_on(root if root in (RENDERED, HUB) else None, scenes, size)
        if root not in (None, RENDERED, HUB):
            self._settle_roots_of_examples()
        if not all(re.fullmatch(r"[\w.-]+", stem) and stem.strip(".") for stem in self.splits.values()):
            raise DataError(f"`splits` must map to names of splits without folders, not {self.splits}.")

    def inherit(self, root: str | None, scenes: dict[str, int] | None, size: tuple[int, int] | None) -> None:
        """Take from a mixture what was left out here; a folder then holds one for each benchmark, by name."""
        if root is not None and "root" in self._left_out:
            self.root = root if root in (RENDERED, HUB) else str(Path(root) / self.benchmark)
        if scenes is not None and "scenes" in self._left_out:
            self.scenes = scenes
        if size is not None and "size" in self._left_out:
            self.size = size
        self._hand_on(root, scenes, size)

    def _settle_roots_of_examples(self) -> None:
        """Take examples of this very benchmark from its own folder.

        Raises:
            DataError: questions of a folder would be shown rendered examples that nobody asked for.
        """
        for _, examples in benchmarks_shown(self.views):
            if "root" in examples._left_out and examples.benchmark == self.benchmark:
                examples.inherit_folder(self.root)
        refuse_unsaid_roots(self.views, f"The questions of {self.title} come from the folder {self.root}")

    def _hand_on(self, root: str | None, scenes: dict[str, int] | None, size: tuple[int, int] | None) -> None:
        """Give what was left out to the data that examples come from."""
        for _, examples in benchmarks_shown(self.views):
            examples.inherit(root, scenes, size)

    def inherit_folder(self, root: str) -> None:
        """Lie where other questions of the same benchmark lie."""
        self.root = root
        self._left_out.discard("root")

    @property
    def says_root(self) -> bool:
        """Whether it was told where its data lie."""
        return "root" not in self._left_out

    def whole_split(self, role: Role) -> Split:
        """The split, or the questions of some tasks in it.

        Raises:
            DataError: a part of the training images is to be validated on, and there is a val split.
        """
        if self.val_fraction and role != "test" and self.root != RENDERED and self.has_split("val"):
            raise DataError(
                f"`val_fraction` is {self.val_fraction}, but {self.title} has a val split here "
                f"({self.splits['val']}). Leave `val_fraction` out."
            )
        whole = self.open_split(role)
        return whole if self.tasks is None else ChosenTasks(whole, self.tasks)

    def training_images(self) -> tuple[GroupedQuestions, EpochSampler]:
        """The training images, and which of them each epoch draws.

        Raises:
            DataError: no image has only questions of the kinds that an epoch of the curriculum asks for.
        """
        images, sampler = super().training_images()
        if not self.curriculum:
            return images, sampler
        sizes = images.group_sizes()
        kinds = [
            {sample.task for sample in images.samples(number, range(size))}
            for number, size in enumerate(sizes)
        ]
        stages = []
        for wanted in self.curriculum:
            allowed = np.flatnonzero([kind <= set(wanted) for kind in kinds])
            if not len(allowed):
                there = ", ".join(sorted(set().union(*kinds)))
                raise DataError(
                    f"`curriculum` asks for an epoch of {', '.join(wanted) or 'nothing'}, but no training "
                    f"image has only such questions. The kinds there are: {there}."
                )
            stages.append(allowed)
        return images, Curriculum(len(images), tuple(stages))

    @property
    def validates_on_test(self) -> bool:
        """Whether validation and test ask the same questions."""
        return not self.holds_back and self.splits["val"] == self.splits[self.scored]

    @abstractmethod
    def files_of(self, folder: Path, role: Role) -> list[Path]:
        """The files with the records of a split in a folder of the official layout; raises `MissingSplit`."""

    def require_split(self, role: Role) -> None:
        """Raise `DataError` where the folder, or what is fetched from the hub, has no such split."""
        if self.root == HUB:
            if self.splits[role] not in self.hub.splits:
                wanted = f"a split {self.splits[role]!r} on the hub"
                raise self.split_missing(role, wanted, list(self.hub.splits))
        elif self.root != RENDERED:
            self.files_of(self.folder(), role)

    def has_split(self, role: Role) -> bool:
        """Whether the folder has such a split, or `splits` names it, which then has to be there."""
        if role in self.named_splits:
            return True
        try:
            self.files_of(self.folder(), role)
        except MissingSplit:
            return False
        return True

    @abstractmethod
    def render(self) -> Path:
        """The folder with the rendered scenes, which are rendered first where they are not cached."""

    def folder(self) -> Path:
        """The folder in the official layout; renders or fetches it first where `root` asks for that.

        Raises:
            DataError: the folder does not exist, or the hub cannot be read.
        """
        if self.root == RENDERED:
            return self.render()
        if self.root == HUB:
            from datamodules.hub.fetch import fetched

            return fetched(self.hub)
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"The data folder {folder} does not exist. Fetch it with "
                f"`make data NAME={self.benchmark} TO={folder}`, or set `root: {RENDERED}`."
            )
        return folder

    def origin(self) -> str:
        """The commit that was fetched, the digest of the folder, or the name rendered scenes are kept by."""
        if self._origin is None:
            shown = [view.examples.origin() for view in self.views if view.examples is not None]
            found = self._found_origin(self.folder())
            self._origin = f"{found} with examples of {' and '.join(shown)}" if shown else found
        return self._origin

    def _found_origin(self, folder: Path) -> str:
        if self.root == RENDERED:
            # A digest of how they are rendered is part of it.
            return f"rendered {folder.name}"
        if self.root == HUB:
            from datamodules.hub.fetch import fetched_commit

            if commit := fetched_commit(folder):
                return commit
        return folder_digest(folder)

    def split_missing(self, role: Role, wanted: str, present: list[str]) -> MissingSplit:
        """The error for a split that the folder does not hold, naming what is there."""
        there = ", ".join(sorted(present)) or "none"
        missing = f"The {role} split needs {wanted}, which does not exist (splits there: {there})."
        another = f"`splits: {{{role}: NAME}}`"
        if role == "train" and "train" not in (*self.hub.splits, *self.named_splits):
            return MissingSplit(
                f"{self.title} has no train split: it is there to be tested on. {missing} Leave DATA "
                "(`root`) out to train and test on rendered scenes, give a folder that holds train files as "
                f"well, or point at another split with {another}."
            )
        return MissingSplit(f"{missing} Point it at another with {another}.")


def benchmarks_shown(views: Iterable[View]) -> Iterator[tuple[View, OfficialLayout]]:
    """The benchmarks that views show examples of, those of a mixture one by one, with their views."""
    for view in views:
        for examples in getattr(view.examples, "parts", (view.examples,)):
            if isinstance(examples, OfficialLayout):
                yield view, examples


def refuse_unsaid_roots(views: Iterable[View], questions: str) -> None:
    """Raise `DataError` where real questions would be shown rendered examples that nobody asked for.

    Args:
        views: those of the questions.
        questions: says where these come from, at the beginning of the message.
    """
    for view, examples in benchmarks_shown(views):
        if not examples.says_root:
            raise DataError(
                f"{questions}, but the view {type(view).__name__} does not say where its `examples` of "
                f"{examples.title} lie: give them a `root` of their own (a folder, {HUB!r} or {RENDERED!r})."
            )


# Typed for editors; the parser looks up the defaults in the parent, which it does for untyped ones alone.
del OfficialLayout.__init__.__annotations__["shared"]


class ParquetLayout(OfficialLayout):
    """A benchmark of parquet files, which are indexed once so that rows can be read in any order.

    A subclass finds a split's files and reads their rows.
    """

    @abstractmethod
    def rows_of(self, files: Sequence[Path]) -> Iterator[IndexedRow]:
        """The rows of some files; raises `DataError` where one is not usable."""

    def prepare_split(self, role: Role) -> None:
        """Fetch or render where needed, and index the split's rows."""
        self._index(role)

    def open_split(self, role: Role) -> IndexedQuestions:
        """Open a split; raises `DataError` where its files are missing, damaged or hold bad rows."""
        return IndexedQuestions(self._index(role))

    def _index(self, role: Role) -> Path:
        files = self.files_of(self.folder(), role)

        def write(folder: Path) -> None:
            write_sample_index(self.rows_of(files), folder)

        return cached_index(files, self.cache / "indexes", f"{self.benchmark}-v{FORMAT_VERSION}", write)
