"""The benchmarks on the hub: where they are, what a whole copy of each holds, and what a copy lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datamodules import cv_bench, omni_spatial, space_thinker
from datamodules.archives import unpack_folder, unpack_pictures
from datamodules.json_stream import stream_array
from datamodules.official_layout import COPY
from datamodules.samples import DataError
from datamodules.text_files import read_json
from datamodules.track3_records import parse_record

_NAMED_AT_MOST = 5
_ROUNDED_WITHIN = 0.02


@dataclass(frozen=True)
class SplitCounts:
    """What a split must hold; `images` is None where the number is not published.

    `rounded` says that `questions` was published as a rounded number, and is compared within 2 %.
    """

    questions: int
    images: int | None = None
    categories: dict[str, int] = field(default_factory=dict)
    rounded: bool = False

    def differences(self, where: Path, questions: Counter[str], images: set[str]) -> Iterator[str]:
        """Sentences that name which numbers are others; `questions` are counted by category."""
        total = questions.total()
        if abs(total - self.questions) > (_ROUNDED_WITHIN * self.questions if self.rounded else 0):
            about = "about " if self.rounded else ""
            yield f"{where} has {total:,} questions instead of {about}{self.questions:,}."
        if self.images is not None and self.images != len(images):
            yield f"{where} has {len(images):,} images instead of {self.images:,}."
        for name, published in self.categories.items():
            if questions[name] != published:
                yield f"{where} has {questions[name]:,} {name} questions instead of {published:,}."


Missing = Callable[[Path, str, SplitCounts], Iterator[str]]
"""Called with a copy's folder, the name of a split and what it must hold; names what it lacks."""


def missing_track3(folder: Path, split: str, expected: SplitCounts) -> Iterator[str]:
    """What a split in the layout of AI City Challenge Track 3 lacks."""
    records = folder / f"{split}.json"
    if not records.is_file():
        yield f"{records} is missing."
        return
    questions: Counter[str] = Counter()
    images: set[str] = set()
    for position, raw in enumerate(stream_array(records)):
        record = parse_record(raw, records, position)
        questions[record.category] += 1
        images.add(record.image)
    yield from expected.differences(records, questions, images)
    yield from _missing_pictures(folder / split / "images", sorted(images))
    depths = sorted(f"{image.removesuffix('.png')}_depth.png" for image in images)
    yield from _missing_pictures(folder / split / "depths", depths)


def missing_cv_bench(folder: Path, split: str, expected: SplitCounts) -> Iterator[str]:
    """What a split in the layout of CV-Bench lacks."""
    files = cv_bench.split_files(folder, split)
    for part in cv_bench.PARTS:
        if (file := folder / f"{split}_{part}.parquet") not in files:
            yield f"{file} is missing."
    questions = Counter(sample.task for file in files for sample in cv_bench.read_rows(file))
    yield from expected.differences(folder / f"{split}_*.parquet", questions, set())


def missing_space_thinker(folder: Path, split: str, expected: SplitCounts) -> Iterator[str]:
    """What a split in the layout of SpaceThinker lacks."""
    files = space_thinker.split_files(folder, split)
    if not files:
        yield f"{folder}/data/{split}-*.parquet is missing."
        return
    questions = Counter(sample.task for file in files for sample in space_thinker.read_rows(file))
    yield from expected.differences(files[0], questions, set())


def missing_omni_spatial(folder: Path, split: str, expected: SplitCounts) -> Iterator[str]:
    """What a split in the layout of OmniSpatial lacks."""
    place = omni_spatial.split_folder(folder, split)
    if place is None:
        yield f"{folder / f'OmniSpatial-{split}' / 'data.json'} is missing."
        return
    samples = list(omni_spatial.read_rows(place))
    yield from expected.differences(
        place / "data.json", Counter(sample.task for sample in samples), {sample.group for sample in samples}
    )
    for task in omni_spatial.TASKS:
        pictures = {Path(sample.group).name for sample in samples if sample.task == task}
        yield from _missing_pictures(place / task, sorted(pictures))


@dataclass(frozen=True)
class HubDataset:
    """A data set on the hub: where it is, and what a whole copy of it holds.

    Attributes:
        repository: its name on the hub.
        splits: what each split must hold.
        missing: names what a copy's split lacks.
        files: patterns of the files to fetch; all of them without any.
        archives: patterns of the archives to unpack, and how.
    """

    repository: str
    splits: dict[str, SplitCounts]
    missing: Missing = missing_track3
    files: tuple[str, ...] = ()
    archives: dict[str, Callable[[Path], None]] = field(default_factory=dict)

    def missing_parts(self, folder: Path) -> Iterator[str]:
        """Sentences that name what a copy of the data set lacks, none for a whole one.

        A small copy says in its own `smallspatial_copy.json` what it holds; raises `DataError` where that
        file cannot be read.
        """
        for split, expected in (copied_splits(folder) or self.splits).items():
            yield from self.missing(folder, split, expected)


def copied_splits(folder: Path) -> dict[str, SplitCounts] | None:
    """What a small copy of a benchmark says of its splits; None for what is no such copy.

    Raises:
        DataError: the copy's file is damaged.
    """
    file = folder / COPY
    if not file.is_file():
        return None
    try:
        splits = read_json(file)["splits"]
        return {name: SplitCounts(**counts) for name, counts in splits.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} cannot be read ({error}): it should be like "
            '{"splits": {"test": {"questions": 40}}}.'
        ) from error


def _missing_pictures(folder: Path, names: list[str]) -> Iterator[str]:
    """One sentence when some of the named files are not in the folder."""
    present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    absent = [name for name in names if name not in present]
    if absent:
        more = ", ..." if len(absent) > _NAMED_AT_MOST else ""
        yield f"{folder} lacks {len(absent):,} pictures: {', '.join(absent[:_NAMED_AT_MOST])}{more}."


DATASETS = {
    "ai_city_track3": HubDataset(
        repository="nvidia/PhysicalAI-Spatial-Intelligence-Warehouse",
        splits={
            "train": SplitCounts(
                499_083,
                78_209,
                {"mcq": 110_055, "left_right": 69_336, "distance": 245_889, "count": 73_803},
            ),
            "val": SplitCounts(1_942, None, {"mcq": 456, "left_right": 500, "distance": 486, "count": 500}),
            "test": SplitCounts(19_341, 15_026),
        },
        archives={"chunk_*.tar.gz": unpack_pictures},
    ),
    "cv_bench": HubDataset(
        repository="nyu-visionx/CV-Bench",
        splits={
            "test": SplitCounts(2_638, None, {"Count": 788, "Relation": 650, "Depth": 600, "Distance": 600})
        },
        missing=missing_cv_bench,
        files=("test_2d.parquet", "test_3d.parquet"),
    ),
    "omni_spatial": HubDataset(
        repository="qizekun/OmniSpatial",
        splits={
            "test": SplitCounts(
                1_533,
                None,
                {
                    "Perspective_Taking": 561,
                    "Dynamic_Reasoning": 420,
                    "Spatial_Interaction": 300,
                    "Complex_Logic": 252,
                },
            )
        },
        missing=missing_omni_spatial,
        # The training archive, nine times as large, is no part of the benchmark.
        files=("OmniSpatial-test.zip",),
        archives={"OmniSpatial-test.zip": unpack_folder},
    ),
    "space_thinker": HubDataset(
        repository="remyxai/SpaceThinker",
        splits={"train": SplitCounts(11_400, rounded=True), "test": SplitCounts(1_250, rounded=True)},
        missing=missing_space_thinker,
        files=("*.parquet",),
    ),
}
"""The benchmarks that `make data` fetches, by name."""
