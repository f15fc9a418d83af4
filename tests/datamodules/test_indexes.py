"""Indexes and digests of files: all that is in them comes back, and nothing of an earlier state of them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from datamodules.files.folder_digest import folder_digest
from datamodules.files.index_folders import FINISHED, cached_index
from datamodules.files.parquet_rows import parquet_rows
from datamodules.loading.sample_index import EncodedImage, IndexedQuestions, IndexedRow, write_sample_index
from datamodules.samples import AnswerType, SpatialSample
from datamodules.space_thinker import SpaceThinker
from tests.helpers.parquet_files import cv_bench_row, space_thinker_row, write_cv_bench, write_space_thinker

IMAGES, QUESTIONS = 40, 1_100


def bitmap(number: int) -> bytes:
    """An image whose file differs from those of other numbers in its last bytes alone."""
    pixels = np.full((20, 20, 3), 90, np.uint8)
    pixels[0, -1] = number  # stored from the bottom to the top
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def question(number: int, rng: np.random.Generator) -> tuple[SpatialSample, list[int]]:
    """A question of which no field is like those of others, and the images it shows."""
    forms = (*AnswerType, None)
    sample = SpatialSample(
        id=f"id {number}",
        question=f"question {number}",
        prompt=f"prompt {number}",
        choices=tuple(f"choice {number}-{letter}" for letter in range(number % 4)),
        answer=None if number % 5 == 0 else f"answer {number}",
        answer_type=forms[number % len(forms)],
        rationale="r" * (number % 9),
        task=f"task {number % 3}",
        source=f"source {number}",
        group=f"group {number}",
        boxes=tuple((number, place, number + 1.5, place + 2) for place in range(number % 4)),
    )
    return sample, rng.choice(IMAGES, rng.integers(0, 4), replace=False).tolist()


def texts(sample: SpatialSample) -> tuple[str, ...]:
    return (sample.question, sample.rationale, sample.answer or "", *sample.choices)


def test_an_index_gives_back_every_question_with_its_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    asked = [question(number, rng) for number in range(QUESTIONS)]
    encoded = [EncodedImage(f"image {number}", bitmap(number)) for number in range(IMAGES)]
    write_sample_index(
        (IndexedRow(sample, tuple(encoded[number] for number in shown)) for sample, shown in asked), tmp_path
    )
    index = IndexedQuestions(tmp_path)
    groups: dict[object, list[int]] = {}
    for number, (_, shown) in enumerate(asked):
        groups.setdefault(shown[0] if shown else f"alone {number}", []).append(number)
    assert index.group_sizes().tolist() == [len(rows) for rows in groups.values()]
    opened: dict[Any, int] = {}
    for group, rows in enumerate(groups.values()):
        for row, found in zip(rows, index.samples(group, range(len(rows))), strict=True):
            sample, shown = asked[row]
            assert found.replace(image=None, further_images=()) == sample
            images = [image for image in (found.image, *found.further_images) if image]
            for image in images:
                if image not in opened:
                    opened[image] = np.asarray(image.open())[0, -1, 0]
            assert [opened[image] for image in images] == shown
            assert [image.name for image in images] == [f"image {number}" for number in shown]
    lengths = [max(len("".join(texts(asked[row][0]))) for row in rows) for rows in groups.values()]
    assert index.lengths().tolist() == lengths
    assert list(index.labels()) == [(sample.task, sample.answer or "") for sample, _ in asked]
    assert list(index.texts(QUESTIONS)) == [texts(sample) for sample, _ in asked]
    assert len(opened) == IMAGES


def test_questions_that_share_their_first_image_are_of_one_group(tmp_path: Path) -> None:
    images = [[1, 2], [1, 3], [4, 2], [1]]
    rows = [
        space_thinker_row(number, images=[{"bytes": bitmap(each), "path": None} for each in shown])
        for number, shown in enumerate(images)
    ]
    write_space_thinker(tmp_path / "data/test-00000-of-00001.parquet", rows)
    split = SpaceThinker(root=str(tmp_path), cache=str(tmp_path / "cache"), num_workers=0).split("test")
    assert split.group_sizes().tolist() == [3, 1]
    samples = [*split.samples(0, [0, 1, 2]), *split.samples(1, [0])]
    assert [sample.id for sample in samples] == ["0", "1", "3", "2"]
    assert [samples[0].group == sample.group for sample in samples] == [True, True, True, False]


def test_all_row_groups_of_a_parquet_file_are_read(tmp_path: Path) -> None:
    file = write_cv_bench(tmp_path / "a.parquet", [cv_bench_row(number) for number in range(75)])
    table = parquet.read_table(file)
    parquet.write_table(table, file, row_group_size=20)
    columns = ("idx", "choices", "image")
    expected = table.select(columns).to_pylist()
    assert list(parquet_rows(file, columns[:1], (*columns[1:], "not there"))) == list(enumerate(expected))


# Out of date


def rewrite(file: Path, text: str, later_ns: int) -> None:
    """Write another text, at another time."""
    time_ns = file.stat().st_mtime_ns + later_ns
    file.write_text(text)
    os.utime(file, ns=(time_ns, time_ns))


@pytest.mark.parametrize("changed", [0, 1])
@pytest.mark.parametrize(("text", "later_ns"), [("new", 1_000_000), ("longer", 0)], ids=["time", "size"])
def test_an_index_is_written_anew_where_one_of_its_files_has_changed(
    tmp_path: Path, changed: int, text: str, later_ns: int
) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    written: list[str] = []

    def write(folder: Path) -> None:
        written.append("".join(file.read_text() for file in files))
        (folder / FINISHED).write_text(written[-1])

    def index(version: str = "v1") -> str:
        return (cached_index(files, tmp_path / "cache", version, write) / FINISHED).read_text()

    for file in files:
        file.write_text("old")
    assert index() == index() == "oldold"
    rewrite(files[changed], text, later_ns)
    assert index() == index() == ("old" * changed + text + "old" * (1 - changed))
    files.reverse()
    assert index() == "".join(file.read_text() for file in files)
    assert len(written) == 3
    index("v2")
    assert len(written) == 4


def changes(folder: Path) -> Iterator[Callable[[], object]]:
    """Changes that leave all sizes as they are, and one that does not."""
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix != ".png":
            content = file.read_bytes()
            yield lambda file=file, content=content: file.write_bytes(b"x" + content[1:])  # type: ignore[misc]
            yield lambda file=file, content=content: file.write_bytes(content[:-1] + b"x")  # type: ignore[misc]
    yield lambda: (folder / "linked/train.json").write_bytes(b"x" * 3000)
    yield lambda: (folder / "a.png").rename(folder / "b.png")
    yield lambda: (folder / "a.json").rename(folder / "b.json")
    yield lambda: (folder / "a.png").write_bytes(b"longer")


def filled(place: Path) -> Path:
    """A folder with files of every kind, and with a link to another folder."""
    folder, other = place / "data", place / "other"
    for each in (folder, other):
        each.mkdir(parents=True)
    for name in ("a.json", "a.jsonl", "a.parquet", "a.csv"):
        (folder / name).write_bytes(b"a" * 3000)
    (other / "train.json").write_bytes(b"a" * 3000)
    (folder / "linked").symlink_to(other)
    (folder / "a.png").write_bytes(b"image")
    return folder


def test_any_change_of_a_folder_changes_its_digest(tmp_path: Path) -> None:
    digests = [folder_digest(filled(tmp_path / "one"))]
    assert folder_digest(filled(tmp_path / "two")) == digests[0]
    for number in range(len(list(changes(tmp_path / "one/data")))):
        folder = filled(tmp_path / f"changed {number}")
        list(changes(folder))[number]()
        digests.append(folder_digest(folder))
    assert len(set(digests)) == len(digests) == 13
