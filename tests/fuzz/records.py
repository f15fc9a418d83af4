"""The files of benchmarks, of own images and of predictions, as their readers meet them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from hypothesis import strategies as st

from datamodules import cv_bench, omni_spatial, space_thinker
from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.benchmarks.scene_truth import scene_truth
from datamodules.cv_bench import CvBench
from datamodules.hub.whole_copies import COPY
from datamodules.omni_spatial import TASKS, OmniSpatial
from datamodules.own_images import OwnImages
from datamodules.samples import Region
from datamodules.space_thinker import SpaceThinker
from experiments.commands.score import SCORERS
from tests.fuzz.mutations import DEEP, LONG_NUMBER, mutated_bytes, mutated_json, mutated_rows
from tests.fuzz.trials import Target
from tests.helpers.omni_spatial_files import row as omni_spatial_row
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    encoded,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import mask, records_of, write_images

RECORDS = records_of("val-", [2, 1])
OMNI_SPATIAL = [omni_spatial_row(number) for number in range(3)]
CV_BENCH = [cv_bench_row(number, type="2D" if number < 2 else "3D") for number in range(3)]
SPACE_THINKER = [space_thinker_row(0), space_thinker_row(1)]
MESSAGES = [
    {
        "images": [{"bytes": encoded(0), "path": None}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "How far is it?"}, {"type": "image"}]},
            {"role": "assistant", "content": "<think>Near.</think><answer>2 feet</answer>"},
        ],
    }
]
QUESTIONS: list[dict[str, Any]] = [
    {"id": "a", "image": "0.png", "question": "How many?", "answer": 3, "answer_type": "count"},
    {"image": "0.png", "question": "Which?", "choices": ["red", "blue"], "answer": "B"},
    {"image": "0.png", "question": "Is <mask> left of <mask>?", "regions": [[0, 0, 8, 8], [2, 2, 16, 12]]},
    {"image": "0.png", "depth": "0.png", "question": "How far is <mask>?", "regions": [mask(0, 12, 16)]},
]
SCENES = {
    name: {
        "kinds": ["pallet", "buffer region"],
        "camera": {"height_m": 5.5, "pitch_deg": 30.0, "roll_deg": 0.0, "field_of_view_deg": 70.0},
    }
    for name in ("000000", "000003")
}
RUN_LINES = [
    {"id": "2D/0", "answer": "A", "prediction": "B", "raw": "(B)", "asked": "Answer with a letter."},
    {"id": "2D/1", "answer": None, "prediction": None, "raw": ""},
    {"id": "3D/2", "answer": "the lamp"},
]


def looked_at(data: SpatialDataModule) -> None:
    """Open a split as a run does: all questions, their regions, texts and labels, and their images."""
    data.prepare_split("test")
    split: Any = data.split("test")
    list(split.labels())
    list(split.texts(10))
    split.lengths()
    for group, size in enumerate(split.group_sizes().tolist()):
        for sample in split.samples(group, range(size)):
            for region in sample.regions:
                region.box()
                if region.height * region.width < 10**6:
                    region.mask()
            for image in filter(None, (sample.image, sample.depth, *sample.further_images)):
                image.open()


def in_file(name: str, look: Callable[[Path], object], content: bytes, folder: Path) -> None:
    """Write a file, and look at the folder."""
    (folder / name).write_bytes(content)
    look(folder)


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as they are; a column that Parquet has no type for holds texts."""
    columns: dict[str, pa.Array] = {}
    for name in dict.fromkeys(str(key) for row in rows for key in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
            _written({name: columns[name]})
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
            columns[name] = pa.array([None if value is None else ascii(value) for value in values])
    return _written(columns)


def _written(columns: dict[str, pa.Array]) -> bytes:
    written = io.BytesIO()
    parquet.write_table(pa.table(columns), written)
    return written.getvalue()


def as_csv(rows: Sequence[dict[str, Any]], delimiter: str) -> bytes:
    """Rows as a table, with JSON in the cells that are no texts."""
    names = list(dict.fromkeys(str(key) for row in rows for key in row))
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter)
    writer.writerow(names)
    for row in rows:
        values = [row.get(name, "") for name in names]
        writer.writerow([each if isinstance(each, str) else json.dumps(each) for each in values])
    text = written.getvalue().replace(DEEP, "[" * 5_000).replace(LONG_NUMBER, "9" * 5_000)
    return text.encode("utf-8", "surrogatepass")


def _parquet_inputs(rows: list[dict[str, Any]]) -> Any:
    return st.one_of(mutated_rows(rows).map(as_parquet), mutated_bytes([as_parquet(rows)]))


def _track3(folder: Path) -> None:
    looked_at(AiCityTrack3(root=str(folder), cache=str(folder / "cache"), splits={"test": "val"}))


def _scene(folder: Path) -> None:
    for name in SCENES:
        scene_truth(folder, f"{name}.png")


def _track3_images(folder: Path) -> None:
    for record in RECORDS:
        write_images(folder / "val", record["image"])


def _mask(counts: tuple[bytes, int, int], folder: Path) -> None:
    text, height, width = counts
    region = Region(height, width, text.decode("latin-1"))
    region.box()
    if height * width < 10**6:
        region.mask()


def _copy_of_cv_bench(folder: Path) -> None:
    list(CvBench.hub.missing_parts(folder))


def _score(benchmark: str, truth: str, predictions: str, folder: Path) -> None:
    SCORERS[benchmark](folder / truth, folder / predictions)


def _truths(folder: Path) -> None:
    write_cv_bench(folder / "truth.parquet", CV_BENCH)
    write_space_thinker(folder / "thinker.parquet", SPACE_THINKER)
    write_omni_spatial(folder, OMNI_SPATIAL, images=False)
    (folder / "track3.json").write_text(json.dumps(RECORDS))
    answers = [{"id": record["id"], "normalized_answer": record["normalized_answer"]} for record in RECORDS]
    (folder / "submission.json").write_text(json.dumps(answers))
    for name, read, truth in (
        ("cv", cv_bench.read_rows, "truth.parquet"),
        ("thinker", space_thinker.read_rows, "thinker.parquet"),
        ("omni", omni_spatial.read_rows, "data.json"),
    ):
        given = [{"id": sample.id, "answer": "(A) 3 m"} for sample in read(folder / truth)]
        (folder / f"{name}.json").write_text(json.dumps(given))


def _data(kind: Any, **options: Any) -> Callable[[Path], None]:
    return lambda folder: looked_at(kind(root=str(folder), cache=str(folder / "cache"), **options))


def _own(name: str) -> Callable[[Path], None]:
    return lambda folder: looked_at(OwnImages(root=str(folder), questions=name))


def _one_image(folder: Path) -> None:
    (folder / "0.png").write_bytes(encoded(0))


SUBMISSION = [{"id": record["id"], "normalized_answer": record["normalized_answer"]} for record in RECORDS]

TARGETS = (
    Target(
        "AI City Track 3, records",
        mutated_json(RECORDS),
        partial(in_file, "val.json", _track3),
        _track3_images,
    ),
    Target(
        "AI City Track 3, rendered scenes",
        mutated_json(SCENES),
        partial(in_file, "instances.json", _scene),
    ),
    Target(
        "run lengths",
        st.tuples(
            mutated_bytes([mask(0)["counts"].encode(), mask(1)["counts"].encode(), b"0", b"oooo1"]),
            st.sampled_from([24, 1, 0, -3, 2**16, 2**31, 2**40]),
            st.sampled_from([32, 1, 0, 2**16, 2**40]),
        ),
        _mask,
    ),
    Target(
        "CV-Bench",
        _parquet_inputs(CV_BENCH),
        partial(in_file, "test_2d.parquet", _data(CvBench)),
        cost=2,
    ),
    Target(
        "SpaceThinker",
        st.one_of(_parquet_inputs(SPACE_THINKER), mutated_rows(MESSAGES).map(as_parquet)),
        partial(in_file, "test-00000-of-00001.parquet", _data(SpaceThinker)),
        cost=2,
    ),
    Target(
        "OmniSpatial",
        mutated_json(OMNI_SPATIAL),
        partial(in_file, "data.json", _data(OmniSpatial)),
        lambda folder: write_omni_spatial(folder, [omni_spatial_row(number) for number in range(len(TASKS))]),
    ),
    Target(
        "own images, JSON",
        mutated_json(QUESTIONS),
        partial(in_file, "own.json", _own("own.json")),
        _one_image,
    ),
    Target(
        "own images, JSON lines",
        mutated_json(QUESTIONS, lines=True),
        partial(in_file, "own.jsonl", _own("own.jsonl")),
        _one_image,
    ),
    Target(
        "own images, CSV",
        st.one_of(
            mutated_rows(QUESTIONS).flatmap(lambda rows: st.sampled_from(",;\t").map(partial(as_csv, rows))),
            mutated_bytes(
                [
                    as_csv(QUESTIONS, ","),
                    as_csv(QUESTIONS, ";"),
                    as_csv(QUESTIONS, ",").decode().encode("utf-16"),
                ]
            ),
        ),
        partial(in_file, "own.csv", _own("own.csv")),
        _one_image,
    ),
    Target(
        "copy of a benchmark",
        mutated_json({"splits": {"test": {"questions": 3, "images": None, "categories": {"Count": 2}}}}),
        partial(in_file, COPY, _copy_of_cv_bench),
        lambda folder: write_cv_bench(folder / "test_2d.parquet", CV_BENCH),
    ),
    Target(
        "score, predictions",
        mutated_json(RUN_LINES),
        partial(
            in_file, "mine.json", lambda folder: _score("cv_bench", "truth.parquet", "mine.json", folder)
        ),
        _truths,
    ),
    Target(
        "score, a run's lines",
        mutated_json(RUN_LINES, lines=True),
        partial(in_file, "m.jsonl", lambda folder: _score("cv_bench", "truth.parquet", "m.jsonl", folder)),
        _truths,
    ),
    Target(
        "score, a submission",
        mutated_json(SUBMISSION),
        partial(in_file, "s.json", lambda folder: _score("ai_city_track3", "track3.json", "s.json", folder)),
        _truths,
    ),
    Target(
        "score, truth of Track 3",
        st.one_of(mutated_json(RECORDS), mutated_json(SUBMISSION)),
        partial(
            in_file, "t.json", lambda folder: _score("ai_city_track3", "t.json", "submission.json", folder)
        ),
        _truths,
    ),
    Target(
        "score, truth of CV-Bench",
        _parquet_inputs(CV_BENCH),
        partial(in_file, "t.parquet", lambda folder: _score("cv_bench", "t.parquet", "cv.json", folder)),
        _truths,
        cost=2,
    ),
    Target(
        "score, truth of OmniSpatial",
        mutated_json(OMNI_SPATIAL),
        partial(in_file, "t.json", lambda folder: _score("omni_spatial", "t.json", "omni.json", folder)),
        _truths,
    ),
    Target(
        "score, truth of SpaceThinker",
        _parquet_inputs(SPACE_THINKER),
        partial(
            in_file, "t.parquet", lambda folder: _score("space_thinker", "t.parquet", "thinker.json", folder)
        ),
        _truths,
        cost=2,
    ),
)
"""All of them."""
