"""What a whole copy of a data set on the hub holds, as the data set itself says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.files.text_files import read_json
from datamodules.samples import DataError

COPY = "smallspatial_copy.json"
"""The file of a small copy of a benchmark, which says what the copy holds in place of the whole benchmark."""
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


@dataclass(frozen=True)
class HubDataset:
    """A data set on the hub: where it is, and what a whole copy of it holds.

    Attributes:
        name: what this project calls it.
        repository: its name on the hub.
        splits: what each split must hold.
        missing: names what a copy's split lacks.
        files: patterns of the files to fetch; all of them without any.
        archives: patterns of the archives to unpack, and how.
    """

    name: str
    repository: str
    splits: dict[str, SplitCounts]
    missing: Missing
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
    match read_json(file):
        case {"splits": dict(splits)} if all(map(_are_counts, splits.values())):
            return {name: SplitCounts(**counts) for name, counts in splits.items()}
    raise DataError(f'{file} should be like {{"splits": {{"test": {{"questions": 40}}}}}}, but is not.')


def _are_counts(said: object) -> bool:
    """Whether a copy's file says of a split what `SplitCounts` takes."""
    kinds = {"questions": int, "images": int | None, "categories": dict, "rounded": bool}
    return (
        isinstance(said, dict)
        and "questions" in said
        and all(name in kinds and isinstance(value, kinds[name]) for name, value in said.items())
        and all(isinstance(count, int) for count in said.get("categories", {}).values())
    )


def missing_images(folder: Path, names: list[str]) -> Iterator[str]:
    """One sentence when some of the named files are not in the folder."""
    present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    absent = [name for name in names if name not in present]
    if absent:
        more = ", ..." if len(absent) > _NAMED_AT_MOST else ""
        yield f"{folder} lacks {len(absent):,} images: {', '.join(absent[:_NAMED_AT_MOST])}{more}."
