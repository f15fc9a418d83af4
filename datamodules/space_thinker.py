"""SpaceThinker: questions about distances and sizes in photos, with reasoning, real or rendered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.base import Role
from datamodules.benchmarks.space_thinker_text import (
    answer_text,
    answer_type_of,
    form_of,
    reasoning_text,
    task_of,
    user_text,
)
from datamodules.files.parquet_rows import image_bytes, parquet_rows
from datamodules.hub.whole_copies import HubDataset, SplitCounts
from datamodules.layouts import RENDERED, ParquetLayout
from datamodules.loading.sample_index import EncodedImage, IndexedRow
from datamodules.samples import DataError, SpatialSample

if TYPE_CHECKING:
    from datamodules.scoring.choice_metrics import SpaceThinkerMetric

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


def missing_space_thinker(folder: Path, split: str, expected: SplitCounts) -> Iterator[str]:
    """What a split in the layout of SpaceThinker lacks."""
    files = split_files(folder, split)
    if not files:
        yield f"{folder}/data/{split}-*.parquet is missing."
        return
    questions = Counter(sample.task for file in files for sample in read_rows(file))
    yield from expected.differences(files[0], questions, set())


class SpaceThinker(ParquetLayout):
    """SpaceThinker in its official layout: `data/{split}-00000-of-00001.parquet`, or the same without `data`.

    The real data set has a train and a test split, so that a training is not validated, unless one of them is
    named for it: `splits: {val: test}`.
    """

    benchmark = "space_thinker"
    hub = HubDataset(
        name="space_thinker",
        repository="remyxai/SpaceThinker",
        splits={"train": SplitCounts(11_400, rounded=True), "test": SplitCounts(1_250, rounded=True)},
        missing=missing_space_thinker,
        files=("*.parquet",),
    )
    title = "SpaceThinker"

    def render(self) -> Path:
        """The folder with the rendered scenes, which are rendered first where they are not cached."""
        from datamodules.rendered.benchmarks import cached_space_thinker

        return cached_space_thinker(self.cache, scenes=self.scenes, size=self.size, seed=self.scenes_seed)

    def metric(self, stage: str = "test") -> SpaceThinkerMetric:
        """The score."""
        from datamodules.scoring.choice_metrics import SpaceThinkerMetric

        return SpaceThinkerMetric()

    def files_of(self, folder: Path, role: Role) -> list[Path]:
        """The files that a split is divided into."""
        if files := split_files(folder, self.splits[role]):
            return files
        shards = [file.name for place in _places(folder) for file in place.glob("*-of-*.parquet")]
        present = sorted({_SHARD.sub("", name) for name in shards})
        wanted = f"{folder}/data/{self.splits[role]}-00000-of-00001.parquet"
        raise self.split_missing(role, wanted, present)

    def rows_of(self, files: Sequence[Path]) -> Iterator[IndexedRow]:
        """The rows of some files."""
        return _indexed_rows(files, RENDERED if self.root == RENDERED else self.benchmark)


def split_files(folder: Path, split: str) -> list[Path]:
    """The files of a split in order, none where the folder does not hold it.

    Raises:
        DataError: some of the files that a split is divided into are missing.
    """
    for place in _places(folder):
        files = sorted(place.glob(f"{split}-*-of-*.parquet"))
        if files and (shard := _SHARD.search(files[0].name)):
            if len(files) != int(shard[2]):
                raise DataError(
                    f"The {split} split in {place} is divided into {int(shard[2])} files, of which "
                    f"{len(files)} are there. Fetch it again."
                )
            return files
    return []


def read_rows(path: Path) -> Iterator[SpatialSample]:
    """The questions of a file, or of the test split of a folder, without their images.

    Raises:
        DataError: there is no such file, it is damaged or empty, or a row is not usable.
    """
    files = split_files(path, "test") if path.is_dir() else [path]
    if not files:
        raise DataError(f"The folder {path} holds no test-00000-of-00001.parquet, in `data` or beside it.")
    for row in _indexed_rows(files, "space_thinker"):
        yield row.sample


def sample_of(row: dict[str, Any], number: int, where: str) -> SpatialSample:
    """Check one row and bring it into the record's form, without its images.

    The question stands in `input` (in a Llama-3 template, or plain) and reasoning and answer in `output`, or
    all of them in `messages`. Without a reply the answer is unknown, and its form follows from the question.

    Raises:
        DataError: the row has no question, or a reply without an answer.
    """
    question, output = user_text(row, where)
    task = task_of(question)
    answer = answer_text(output, where) if output else None
    return SpatialSample(
        id=str(number),
        question=question,
        answer=answer,
        answer_type=form_of(task) if answer is None else answer_type_of(answer, task),
        rationale=reasoning_text(output),
        task=task,
    )


def _places(folder: Path) -> tuple[Path, Path]:
    """Where the files of a copy may lie."""
    return folder / "data", folder


def _indexed_rows(files: Sequence[Path], source: str) -> Iterator[IndexedRow]:
    """The rows of all files, numbered through; a question's group is its first image's content."""
    total = 0
    for file in files:
        for number, row in parquet_rows(file, ("images",), ("input", "output", "messages")):
            sample = sample_of(row, total, f"Row {number} of {file}")
            shown = row["images"] or [None]
            if not isinstance(shown, list):
                raise DataError(f"Row {number} of {file} has `images` that are no list: {shown!r:.60}.")
            images = tuple(EncodedImage(f"row {number} of {file}", image_bytes(image)) for image in shown)
            group = images[0].key().hex()
            yield IndexedRow(sample.replace(source=source, group=group), images)
            total += 1
