"""CV-Bench: multiple-choice questions about 2D and 3D relations in photos, real or rendered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from datamodules.base import Role
from datamodules.benchmarks.record_boxes import boxes_in
from datamodules.benchmarks.record_texts import is_missing, texts_in
from datamodules.files.parquet_rows import image_bytes, parquet_rows
from datamodules.hub.whole_copies import HubDataset, SplitCounts
from datamodules.layouts import LayoutArguments, ParquetLayout
from datamodules.loading.sample_index import EncodedImage, IndexedRow
from datamodules.samples import LETTERS, AnswerType, DataError, SpatialSample

if TYPE_CHECKING:
    from datamodules.scoring.choice_metrics import CvBenchMetric

TASKS = ("Count", "Relation", "Depth", "Distance")
"""The benchmark's kinds of question; the first two are its 2D part, the others its 3D part."""

PARTS = ("2d", "3d")
"""The endings of the benchmark's files; a split is made of those that are there."""

_NEEDED = ("idx", "type", "task", "question", "choices", "source")
_OPTIONAL = ("answer", "prompt", "filename", "source_dataset", "source_filename", "bbox")
_ANSWER = re.compile(r"\(?([A-Z])\)?")


def missing_cv_bench(folder: Path, split: str, expected: SplitCounts) -> Iterator[str]:
    """What a split in the layout of CV-Bench lacks."""
    files = split_files(folder, split)
    for part in PARTS:
        if (file := folder / f"{split}_{part}.parquet") not in files:
            yield f"{file} is missing."
    questions = Counter(sample.task for file in files for sample in read_rows(file))
    yield from expected.differences(folder / f"{split}_*.parquet", questions, set())


class CvBench(ParquetLayout):
    """CV-Bench in its official layout: `test_2d.parquet` and `test_3d.parquet` in one folder.

    The real benchmark has a test split only. Rendered data also have `train_2d.parquet`, `val_3d.parquet` and
    so on; with them, or with files of your own under these names, a model is trained.

    Args:
        difficulty: how rendered scenes are: "ordinary", or "counter_intuitive" (things stand on others or
            hang, and cameras are tilted, so that "higher in the image is farther" answers half of the
            questions for depth and distance wrong).
        shared: the arguments of every benchmark and datamodule, see `OfficialLayout` and `SpatialDataModule`.
    """

    benchmark = "cv_bench"
    hub = HubDataset(
        name="cv_bench",
        repository="nyu-visionx/CV-Bench",
        splits={
            "test": SplitCounts(2_638, None, {"Count": 788, "Relation": 650, "Depth": 600, "Distance": 600})
        },
        missing=missing_cv_bench,
        files=("test_2d.parquet", "test_3d.parquet"),
    )
    title = "CV-Bench"

    def __init__(
        self,
        difficulty: Literal["ordinary", "counter_intuitive"] = "ordinary",
        **shared: Unpack[LayoutArguments],
    ) -> None:
        super().__init__(**shared)
        self.difficulty: Literal["ordinary", "counter_intuitive"] = difficulty

    def render(self) -> Path:
        """The folder with the rendered scenes, which are rendered first where they are not cached."""
        from datamodules.rendered.benchmarks import cached_cv_bench

        return cached_cv_bench(
            self.cache,
            difficulty=self.difficulty,
            scenes=self.scenes,
            size=self.size,
            seed=self.scenes_seed,
        )

    def metric(self, stage: str = "test") -> CvBenchMetric:
        """The official score."""
        from datamodules.scoring.choice_metrics import CvBenchMetric

        return CvBenchMetric()

    def files_of(self, folder: Path, role: Role) -> list[Path]:
        """The files of a split's two parts, or of one of them."""
        if files := split_files(folder, self.splits[role]):
            return files
        present = sorted({file.stem.rpartition("_")[0] for file in folder.glob("*_[23]d.parquet")})
        raise self.split_missing(role, f"{folder / self.splits[role]}_2d.parquet or _3d.parquet", present)

    def rows_of(self, files: Sequence[Path]) -> Iterator[IndexedRow]:
        """The rows of some files."""
        for file in files:
            for number, row in parquet_rows(file, (*_NEEDED, "image"), _OPTIONAL):
                image = EncodedImage(f"row {number} of {file}", image_bytes(row["image"]))
                yield IndexedRow(sample_of(row, f"Row {number} of {file}"), (image,))


# Typed for editors; the parser looks up the defaults in the parent, which it does for untyped ones alone.
del CvBench.__init__.__annotations__["shared"]


def split_files(folder: Path, split: str) -> list[Path]:
    """The files of a split that are in the folder."""
    return [file for part in PARTS if (file := folder / f"{split}_{part}.parquet").is_file()]


def read_rows(path: Path) -> Iterator[SpatialSample]:
    """The questions of a file, or of the test files of a folder, without their images.

    Raises:
        DataError: there is no such file, it is damaged or empty, or a row is not usable.
    """
    if not path.is_dir():
        files = [path]
    elif not (files := split_files(path, "test")):
        raise DataError(f"The folder {path} holds neither test_2d.parquet nor test_3d.parquet.")
    for file in files:
        for number, row in parquet_rows(file, _NEEDED, _OPTIONAL):
            yield sample_of(row, f"Row {number} of {file}")


def sample_of(row: dict[str, Any], where: str) -> SpatialSample:
    """Check one row and bring it into the record's form, without its image; its answer may be unknown.

    Raises:
        DataError: another value or a choice is missing, the task is unknown, there are fewer than two choices
            or two are the same, the answer is none of the choices' letters, or a box is no box.
    """
    missing = [name for name in _NEEDED if is_missing(row[name])]
    if missing:
        raise DataError(f"{where} has no {' and no '.join(missing)}. Repair or remove the row.")
    if row["task"] not in TASKS:
        raise DataError(f"{where} has the unknown task {row['task']!r}; known are {', '.join(TASKS)}.")
    name = f"{row['type']}/{row['idx']}"
    choices = texts_in(row["choices"], "choices", f"{where} (id {name})")
    _check_choices(choices, where)
    photo = (row.get("source_dataset"), row.get("source_filename"))
    return SpatialSample(
        id=name,
        question=str(row["question"]).strip(),
        prompt=str(row.get("prompt") or ""),
        choices=choices,
        answer=_letter(row.get("answer"), choices, where),
        answer_type=AnswerType.LETTER,
        task=row["task"],
        source=str(row["source"]),
        group="/".join(map(str, photo)) if all(photo) else str(row.get("filename") or name),
        boxes=boxes_in(row.get("bbox"), "bbox", f"{where} (id {name})"),
    )


def _check_choices(choices: tuple[str, ...], where: str) -> None:
    """Raise where the choices cannot be told apart or named by letters."""
    if not 2 <= len(choices) <= len(LETTERS):
        raise DataError(
            f"{where} has {len(choices)} choices in `choices`; a multiple-choice question needs 2 to "
            f"{len(LETTERS)}. Repair or remove the row."
        )
    twice = next((choice for choice in choices if choices.count(choice) > 1), None)
    if twice is not None:
        raise DataError(
            f"{where} has the choice {twice!r} twice in `choices`, so the right one cannot be told from the "
            "other. Repair or remove the row."
        )


def _letter(answer: object, choices: tuple[str, ...], where: str) -> str | None:
    """The letter of an answer such as "(C)"; None where it is not known."""
    if is_missing(answer):
        return None
    found = _ANSWER.fullmatch(str(answer).strip().upper())
    if found is None or found[1] not in LETTERS[: len(choices)]:
        raise DataError(
            f"{where} has the `answer` {answer!r}, which is none of (A) to ({LETTERS[len(choices) - 1]}) for "
            f"its {len(choices)} choices. Repair or remove the row."
        )
    return found[1]
