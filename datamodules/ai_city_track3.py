"""AI City Challenge 2025, Track 3: questions about regions of warehouse images, real or rendered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Unpack

import numpy as np

from datamodules.base import Role
from datamodules.benchmarks.scene_truth import scene_truth
from datamodules.benchmarks.track3_index import Track3Index, index_records
from datamodules.benchmarks.track3_records import CATEGORIES, parse_record
from datamodules.files.archives import unpack_images
from datamodules.files.json_stream import stream_array
from datamodules.hub.whole_copies import COPY, HubDataset, SplitCounts, missing_images
from datamodules.layouts import RENDERED, LayoutArguments, OfficialLayout
from datamodules.loading.epoch_sampler import EpochSampler, EveryImage
from datamodules.loading.grouped import GroupedQuestions
from datamodules.loading.with_mirrored import WithMirrored
from datamodules.samples import DataError, ImageFile, Region, SpatialSample
from datamodules.scoring.metrics import Track3Metric


@dataclass(frozen=True)
class Track3Questions:
    """One split in the official layout: an index of its records, and the folder of its images."""

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
            # Masks, depth and sides were all computed from pixels as they are stored.
            image=ImageFile(self.folder / "images" / image, stored=True),
            depth=ImageFile(self.folder / "depths" / image.with_name(f"{image.stem}_depth.png"), stored=True),
            regions=tuple(Region(record.height, record.width, counts) for counts in record.masks),
            answer=record.answer or None,
            answer_type=CATEGORIES.get(record.category),
            rationale=record.rationale,
            task=record.category,
            source=self.source,
            group=record.image,
            shown=scene_truth(self.folder, record.image),
        )


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
    yield from missing_images(folder / split / "images", sorted(images))
    depths = sorted(f"{image.removesuffix('.png')}_depth.png" for image in images)
    yield from missing_images(folder / split / "depths", depths)


class AiCityTrack3(OfficialLayout):
    """AI City Challenge 2025 Track 3 in its official layout.

    A folder holds `{split}.json`, `{split}/images/<name>.png` and `{split}/depths/<name>_depth.png`. With
    `root: rendered` such a folder is rendered first, and then read in the same way.

    An EXIF orientation turns nothing here: masks, depth and sides are those of pixels as they are stored.

    Args:
        difficulty: how hard rendered scenes are: "easy" (few regions, mostly one step), "real",
            "composed" ("real" with held-out questions of two and three steps, one after the other) or
            "varied" ("real", but each scene draws its own field of view, roll, sizes and colours).
        crowding: whether rendered scenes of held-out splits are fuller than those of the training split, as
            in the real release ("by_split"), or all have as "few" or as "many" objects as one of these.
        mirrored: whether it is trained on each image in a mirror as well: an epoch has twice as many.
        shared: the arguments of every benchmark and datamodule, see `OfficialLayout` and `SpatialDataModule`.
            `splits` names the JSON files (without `.json`; also the names of their image folders). A
            rendered test split has its answers in `test_truth.json`, which is read when it exists. Where the
            answers of the test split are not known at all, a test scores the val split.
    """

    benchmark = "ai_city_track3"
    hub = HubDataset(
        name="ai_city_track3",
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
        archives={"chunk_*.tar.gz": unpack_images},
        missing=missing_track3,
    )
    title = "AI City Track 3"

    def __init__(
        self,
        difficulty: Literal["easy", "real", "composed", "varied"] = "easy",
        crowding: Literal["by_split", "few", "many"] = "by_split",
        mirrored: bool = False,
        **shared: Unpack[LayoutArguments],
    ) -> None:
        super().__init__(**shared)
        self.difficulty: Literal["easy", "real", "composed", "varied"] = difficulty
        self.crowding: Literal["by_split", "few", "many"] = crowding
        self.mirrored = mirrored

    def training_images(self) -> tuple[GroupedQuestions, EpochSampler]:
        """The training images, and which of them each epoch draws.

        Raises:
            DataError: images are to be mirrored in a curriculum.
        """
        if self.mirrored and self.curriculum:
            raise DataError("`mirrored` and `curriculum` both say which images an epoch has: give one.")
        images, sampler = super().training_images()
        if not self.mirrored:
            return images, sampler
        both = WithMirrored(images)
        return both, EveryImage(len(both))

    def render(self) -> Path:
        """The folder with the rendered scenes, which are rendered first where they are not cached."""
        from datamodules.rendered.warehouse import cached_warehouse

        return cached_warehouse(
            self.cache,
            difficulty=self.difficulty,
            crowding=self.crowding,
            scenes=self.scenes,
            size=self.size,
            seed=self.scenes_seed,
        )

    def prepare_split(self, role: Role) -> None:
        """Render where needed, and index the split's records.

        Raises:
            DataError: the file with the answers of a test split is about other questions.
        """
        index = self._index(role)
        if role == "test":
            self._require_same_questions(index)

    def open_split(self, role: Role) -> Track3Questions:
        """Open a split.

        Raises:
            DataError: the folder, the JSON file or an image folder is missing, or the file has bad records.
        """
        index = Track3Index(self._index(role))
        source = RENDERED if self.root == RENDERED else self.benchmark
        questions = Track3Questions(index, self.folder() / self.splits[role], source)
        self._require_image_folders(questions)
        return questions

    def metric(self, stage: str = "test") -> Track3Metric:
        """The official score."""
        return Track3Metric()

    def files_of(self, folder: Path, role: Role) -> list[Path]:
        """The JSON file of a split, for the test split the one with answers where there is one.

        Raises:
            MissingSplit: there is no such file.
        """
        stem = self.splits[role]
        with_answers = folder / f"{stem}_truth.json"
        if role == "test" and with_answers.is_file():
            return [with_answers]
        records = folder / f"{stem}.json"
        if not records.is_file():
            raise self.split_missing(
                role, str(records), [file.stem for file in folder.glob("*.json") if file.name != COPY]
            )
        return [records]

    @cached_property
    def scored(self) -> Role:
        """The split that a test scores: val where the test split has no answers.

        The challenge keeps the answers of its test split to itself. A test split that `splits` names has to
        have them.
        """
        if "test" in self.named_splits or not self.has_split("val"):
            return "test"
        answers = Track3Index(self._index("test")).columns("answer")
        return "test" if any(answer for (answer,) in answers) else "val"

    def _index(self, role: Role) -> Path:
        (records,) = self.files_of(self.folder(), role)
        return index_records(records, self.cache / "indexes")

    def _require_same_questions(self, index: Path) -> None:
        """Raise where `test.json` and the answers beside it do not hold the same ids: some would be lost."""
        (answers,) = self.files_of(self.folder(), "test")
        questions = self.folder() / f"{self.splits['test']}.json"
        if answers == questions or not questions.is_file():
            return
        cache = self.cache / "indexes"
        asked, answered = (
            {name for (name,) in Track3Index(place).columns("id")}
            for place in (index_records(questions, cache), index)
        )
        if asked != answered:
            raise DataError(
                f"{answers} and {questions} are about different questions: {len(asked - answered):,} ids "
                f"are only in {questions.name}, {len(answered - asked):,} only in {answers.name}. Take the "
                "answers of this very split, or move the file with the answers away: then val is scored."
            )

    def _require_image_folders(self, questions: Track3Questions) -> None:
        """Raise when the folder of an image that the views leave in does not exist."""
        (sample,) = questions.samples(0, [0])
        for view in self.views_of_questions:
            sample = view(sample)
        wanted = {"images": (sample.image, "Blind"), "depths": (sample.depth, "NoDepth")}
        for name, (image, view_without) in wanted.items():
            if image is not None and not (questions.folder / name).is_dir():
                raise DataError(
                    f"The folder {questions.folder / name} does not exist. Fetch or unpack it, or leave the "
                    f"{name} out with the view `datamodules.views.{view_without}`."
                )


# Typed for editors; the parser looks up the defaults in the parent, which it does for untyped ones alone.
del AiCityTrack3.__init__.__annotations__["shared"]
