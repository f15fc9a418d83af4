"""Samples and their encoded images as a memory-mapped Arrow index.

A Parquet file gives up one row only by decoding all rows before it in the same row group, and the row groups
of the hub's image data sets hold up to hundreds of megabytes. So a Parquet file is streamed once into Arrow
files, in which any row is a slice of mapped memory that all data-loading workers share.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from datamodules.files.unique_ids import UniqueIds
from datamodules.loading.grouped import text_length
from datamodules.loading.grouped_rows import GroupedRows, mapped_batches, write_grouped_rows
from datamodules.samples import UNDECODABLE, AnswerType, MissingImage, SpatialSample, UnreadableImage, rgb_of

FORMAT_VERSION = 5
"""Raised when the columns below or the rules of rows change; older indexes are then written again."""

_SAMPLES = "samples.arrow"
_ENCODED_IMAGES = "encoded_images.arrow"
_SAMPLES_PER_BATCH = 1024
_IMAGES_PER_BATCH = 16
_SAMPLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("prompt", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("answer_type", pa.string()),
        ("rationale", pa.string()),
        ("task", pa.string()),
        ("source", pa.string()),
        ("group", pa.string()),
        ("boxes", pa.list_(pa.list_(pa.float64(), 4))),
        ("characters", pa.int32()),
        ("images", pa.list_(pa.int32())),
    ]
)
_IMAGE_SCHEMA = pa.schema([("name", pa.string()), ("data", pa.large_binary())])
_TEXT_FIELDS = ("id", "question", "prompt", "answer", "rationale", "task", "source", "group")


class EncodedImage(NamedTuple):
    """An image as a file's bytes (None where the row has none), and what to call it in messages."""

    name: str
    data: bytes | None

    def key(self) -> bytes:
        """Equal for images with the same bytes; an image without bytes is like no other."""
        content = b"missing:" + self.name.encode() if self.data is None else self.data
        return hashlib.blake2b(content, digest_size=16).digest()


class IndexedRow(NamedTuple):
    """What an index holds of one question: its sample without images, and the images in order."""

    sample: SpatialSample
    images: tuple[EncodedImage, ...]


def write_sample_index(rows: Iterable[IndexedRow], folder: Path) -> None:
    """Write an index into a folder, holding only a few rows at a time.

    An image that occurs again (with the same bytes) is stored once, and the questions that show it first
    become one image's questions.

    Raises:
        DataError: ids occur twice.
    """
    samples: list[tuple[Any, ...]] = []
    group_of_row: list[int] = []
    group_of_image: dict[int, int] = {}
    names: list[str] = []
    ids = UniqueIds()
    with ExitStack() as stack:
        images = stack.enter_context(_ImageWriter(folder / _ENCODED_IMAGES))
        for sample, encoded in rows:
            ids.add(sample.id, f"The id {sample.id} occurs twice in the data{_seen_at(encoded)}.")
            shown = [images.add(image) for image in encoded]
            # A question without any image is an image of its own.
            first = shown[0] if shown else -1 - len(samples)
            if first not in group_of_image:
                group_of_image[first] = len(names)
                names.append(sample.group)
            group_of_row.append(group_of_image[first])
            samples.append(_columns(sample, shown))
    ids.require()
    with (
        pa.OSFile(str(folder / _SAMPLES), "wb") as sink,
        pa.ipc.new_file(sink, _SAMPLE_SCHEMA) as writer,
    ):
        for start in range(0, len(samples), _SAMPLES_PER_BATCH):
            part = samples[start : start + _SAMPLES_PER_BATCH]
            columns = [list(column) for column in zip(*part, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_SAMPLE_SCHEMA))
    write_grouped_rows(folder, names, np.array(group_of_row))


class _ImageWriter:
    """Writes images in batches of a fixed size, each only once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[bytes, int] = {}
        self.waiting: list[EncodedImage] = []

    def __enter__(self) -> _ImageWriter:
        self.sink = pa.OSFile(str(self.path), "wb")
        self.writer = pa.ipc.new_file(self.sink, _IMAGE_SCHEMA)
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self.writer.close()
        self.sink.close()

    def add(self, image: EncodedImage) -> int:
        """The row of the image, which is written if it is new."""
        key = image.key()
        if key not in self.rows:
            self.rows[key] = len(self.rows)
            self.waiting.append(image)
            if len(self.waiting) == _IMAGES_PER_BATCH:
                self._flush()
        return self.rows[key]

    def _flush(self) -> None:
        if self.waiting:
            columns = [list(column) for column in zip(*self.waiting, strict=True)]
            self.writer.write_batch(pa.record_batch(columns, schema=_IMAGE_SCHEMA))
            self.waiting = []


def _columns(sample: SpatialSample, images: list[int]) -> tuple[Any, ...]:
    """The values of one sample in the order of the index's columns."""
    values = {
        "choices": list(sample.choices),
        "boxes": list(map(list, sample.boxes)),
        "answer_type": None if sample.answer_type is None else sample.answer_type.value,
        "characters": text_length(sample),
        "images": images,
    }
    values |= {name: getattr(sample, name) for name in _TEXT_FIELDS}
    return tuple(values[name] for name in _SAMPLE_SCHEMA.names)


def _seen_at(images: Sequence[EncodedImage]) -> str:
    return f" (the second time in {images[0].name})" if images else ""


@dataclass(frozen=True)
class StoredImage:
    """An image in an index, decoded when it is opened; `name` says which row of which file it comes from.

    It opens upright, as the hub's own reader of such files shows it.
    """

    folder: Path
    row: int
    name: str

    def open(self) -> Image.Image:
        """Decode the image; raises `MissingImage` where the row has none, else `UnreadableImage`."""
        data = self._data()
        if data is None:
            raise MissingImage(
                f"There is no image in {self.name}: the data set is incomplete. Fetch or write it again."
            )
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
        except UNDECODABLE as error:
            why = str(error) or "there is no memory for its size"
            raise UnreadableImage(f"The image in {self.name} cannot be read: {why}.") from error
        return rgb_of(image, self.name)

    def content(self) -> bytes | None:
        """What decides on the pixels: its bytes; None where the row has no image."""
        data = self._data()
        return None if data is None else data.to_pybytes()

    def _data(self) -> pa.Buffer | None:
        batch, row = divmod(self.row, _IMAGES_PER_BATCH)
        return _encoded_images(self.folder)[batch].column("data")[row].as_buffer()


@lru_cache(maxsize=8)
def _encoded_images(folder: Path) -> list[pa.RecordBatch]:
    """The mapped images of an index, opened once in each process."""
    return mapped_batches(folder / _ENCODED_IMAGES)


class IndexedQuestions:
    """An opened index as a split; it is pickled as the path of its folder."""

    def __init__(self, folder: Path) -> None:
        """Map what `write_sample_index` wrote into `folder`."""
        self.folder = folder
        self._batches = mapped_batches(folder / _SAMPLES)
        self._images = GroupedRows(folder)

    def __reduce__(self) -> tuple[type[IndexedQuestions], tuple[Path]]:
        return IndexedQuestions, (self.folder,)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._images)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return self._images.sizes()

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, `[images]`."""
        return self._images.largest(
            np.concatenate([batch.column("characters").to_numpy() for batch in self._batches])
        )

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened."""
        return [self._sample(self._images.row(group, question)) for question in questions]

    def labels(self) -> Iterator[tuple[str, str]]:
        """Task and answer of every question, the answer "" where it is not known."""
        for batch in self._batches:
            tasks, answers = (batch.column(name).to_pylist() for name in ("task", "answer"))
            yield from ((task, answer or "") for task, answer in zip(tasks, answers, strict=True))

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """Question, rationale, answer and choices of at most `limit` questions, spread over the split."""
        total = sum(len(batch) for batch in self._batches)
        chosen = np.linspace(0, total - 1, min(limit, total)).astype(int)
        for sample in (self._sample(int(row)) for row in chosen):
            yield sample.question, sample.rationale, sample.answer or "", *sample.choices

    def _sample(self, row: int) -> SpatialSample:
        batch, place = divmod(row, _SAMPLES_PER_BATCH)
        values = {
            name: column[place].as_py()
            for name, column in zip(_SAMPLE_SCHEMA.names, self._batches[batch].columns, strict=True)
        }
        images = [self._image(number) for number in values.pop("images")]
        del values["characters"]
        form = values.pop("answer_type")
        return SpatialSample(
            **values | {"choices": tuple(values["choices"]), "boxes": tuple(map(tuple, values["boxes"]))},
            answer_type=None if form is None else AnswerType(form),
            image=images[0] if images else None,
            further_images=tuple(images[1:]),
        )

    def _image(self, number: int) -> StoredImage:
        batch, row = divmod(number, _IMAGES_PER_BATCH)
        name = _encoded_images(self.folder)[batch].column("name")[row].as_py()
        return StoredImage(self.folder, number, name)
