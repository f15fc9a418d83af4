"""AI City Challenge 2025, Track 3: questions about regions of warehouse images, real or rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.base import Role, SpatialDataModule
from datamodules.metrics import Track3Metric
from datamodules.samples import DataError, ImageFile, Region, SpatialSample
from datamodules.track3_index import Track3Index, index_records
from datamodules.track3_records import CATEGORIES

RENDERED = "rendered"
"""The `root` that stands for scenes rendered on this machine."""


@dataclass(frozen=True)
class Track3Questions:
    """One split in the official layout: an index of its records, and the folder of its pictures."""

    index: Track3Index
    folder: Path
    source: str

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.index)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return self.index.group_sizes()

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened."""
        return [self._sample(group, question) for question in questions]

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, `[images]`."""
        return self.index.lengths()

    def labels(self) -> Iterator[tuple[str, str]]:
        """Category and answer of every question."""
        yield from self.index.columns("category", "answer")  # type: ignore[misc]

    def texts(self, limit: int) -> Iterator[tuple[str, str, str]]:
        """Question, free-form answer and normalised answer of at most `limit` questions."""
        yield from self.index.columns("question", "rationale", "answer", limit=limit)  # type: ignore[misc]

    def _sample(self, group: int, question: int) -> SpatialSample:
        record = self.index.record(group, question)
        image = Path(record.image)
        return SpatialSample(
            id=record.id,
            question=record.question,
            image=ImageFile(self.folder / "images" / image),
            depth=ImageFile(self.folder / "depths" / image.with_name(f"{image.stem}_depth.png")),
            regions=tuple(Region(record.height, record.width, counts) for counts in record.masks),
            answer=record.answer or None,
            answer_type=CATEGORIES.get(record.category),
            rationale=record.rationale,
            task=record.category,
            source=self.source,
            group=record.image,
        )


class AiCityTrack3(SpatialDataModule):
    """AI City Challenge 2025 Track 3 in its official layout.

    A folder holds `{split}.json`, `{split}/images/<name>.png` and `{split}/depths/<name>_depth.png`. With
    `root: rendered` such a folder is rendered first, and then read in the same way.

    Args:
        root: a folder in the official layout, or "rendered".
        splits: which JSON file (without `.json`; also the name of its picture folder) to train, validate and
            test on. A rendered test split has its answers in `test_truth.json`, which is read when it exists.
        difficulty: how hard rendered scenes are: "easy" (few regions, mostly one step) or "real".
        scenes: how many scenes to render for train, val and test.
        size: width and height of rendered images, in pixels.
        scenes_seed: decides what the rendered scenes show. `seed` only decides the order of training, so
            runs with several seeds share their scenes.
        cache: where rendered scenes and indexes are kept.
        shared: the arguments of every datamodule, see `SpatialDataModule`.
    """

    def __init__(
        self,
        root: str = RENDERED,
        splits: dict[str, str] | None = None,
        difficulty: Literal["easy", "real"] = "easy",
        scenes: dict[str, int] | None = None,
        size: tuple[int, int] = (224, 128),
        scenes_seed: int = 0,
        cache: str = "rendered_data",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.root = root
        self.splits = {"train": "train", "val": "val", "test": "test"} | (splits or {})
        self.difficulty: Literal["easy", "real"] = difficulty
        self.scenes = scenes or {"train": 600, "val": 60, "test": 150}
        self.size = size
        self.scenes_seed = scenes_seed
        self.cache = Path(cache)
        unknown = (set(self.splits) | set(self.scenes)) - {"train", "val", "test"}
        if unknown:
            raise DataError(
                f"`splits` and `scenes` know train, val and test, not {', '.join(sorted(unknown))}."
            )
        if not all(re.fullmatch(r"[\w.-]+", stem) and stem.strip(".") for stem in self.splits.values()):
            raise DataError(f"`splits` must map to names of JSON files without folders, not {self.splits}.")

    def folder(self) -> Path:
        """The folder in the official layout; renders it first where `root` asks for that and it is missing.

        Raises:
            DataError: the folder does not exist.
        """
        if self.root == RENDERED:
            from datamodules.rendered.warehouse import cached_warehouse

            return cached_warehouse(
                self.cache,
                difficulty=self.difficulty,
                scenes=self.scenes,
                size=self.size,
                seed=self.scenes_seed,
            )
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"The data folder {folder} does not exist. Fetch it with "
                f"`make data NAME=ai_city_track3 TO={folder}`, or set `root: {RENDERED}`."
            )
        return folder

    def prepare_split(self, role: Role) -> None:
        """Render where needed, and index the split's records."""
        index_records(self._records_file(role), self.cache / "indexes")

    def open_split(self, role: Role) -> Track3Questions:
        """Open a split.

        Raises:
            DataError: the folder, the JSON file or a picture folder is missing, or the file has bad records.
        """
        records = self._records_file(role)
        index = Track3Index(index_records(records, self.cache / "indexes"))
        folder = records.parent / self.splits[role]
        source = RENDERED if self.root == RENDERED else "ai_city_track3"
        questions = Track3Questions(index, folder, source)
        self._require_picture_folders(questions)
        return questions

    def metric(self) -> Track3Metric:
        """The official score."""
        return Track3Metric()

    def _records_file(self, role: Role) -> Path:
        """The JSON file of a split; for the test split the one with answers where there is one."""
        folder, stem = self.folder(), self.splits[role]
        with_answers = folder / f"{stem}_truth.json"
        if role == "test" and with_answers.is_file():
            return with_answers
        records = folder / f"{stem}.json"
        if not records.is_file():
            present = ", ".join(sorted(file.stem for file in folder.glob("*.json"))) or "none"
            raise DataError(
                f"The {role} split needs {records}, which does not exist (JSON files there: {present}). "
                f"Point it at another with `splits: {{{role}: NAME}}`."
            )
        return records

    def _require_picture_folders(self, questions: Track3Questions) -> None:
        """Raise when the folder of a picture that the views leave in does not exist."""
        (sample,) = questions.samples(0, [0])
        for view in self.views:
            sample = view(sample)
        wanted = {"images": (sample.image, "Blind"), "depths": (sample.depth, "NoDepth")}
        for name, (picture, view_without) in wanted.items():
            if picture is not None and not (questions.folder / name).is_dir():
                raise DataError(
                    f"The folder {questions.folder / name} does not exist. Fetch or unpack it, or leave the "
                    f"{name} out with the view `datamodules.views.{view_without}`."
                )
