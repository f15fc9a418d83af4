"""The index of Track 3 records: the same records as the file, grouped by image; bad files are named."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamodules.benchmarks import track3_index
from datamodules.benchmarks.track3_index import Track3Index, index_records
from datamodules.samples import DataError
from tests.helpers.track3_files import mask, record, records_of, write_split


def index(folder: Path, records: list[dict[str, Any]]) -> Track3Index:
    file = write_split(folder / "data", "train", records, images=False)
    return Track3Index(index_records(file, folder / "cache"))


def raw_file(folder: Path, text: str | bytes) -> Path:
    file = folder / "train.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@contextmanager
def refused(pattern: str) -> Iterator[None]:
    with pytest.raises(DataError, match=pattern) as caught:
        yield
    assert str(caught.value).endswith((".", ")"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), rows_per_batch=st.integers(1, 7))
def test_every_record_is_found_under_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], rows_per_batch: int
) -> None:
    monkeypatch.setattr(track3_index, "_ROWS_PER_BATCH", rows_per_batch)
    folder = tmp_path / f"{sizes}-{rows_per_batch}"
    records = records_of("frame-", sizes)
    opened = pickle.loads(pickle.dumps(index(folder, records)))
    assert sorted(opened.group_sizes()) == sorted(sizes)
    found: dict[str, Any] = {}
    for group, size in enumerate(opened.group_sizes()):
        rows = [opened.record(group, question) for question in range(size)]
        assert {row.image for row in rows} == {opened.image(group)}
        found |= {row.id: row for row in rows}
    assert found.keys() == {entry["id"] for entry in records}
    for entry in records:
        row = found[entry["id"]]
        assert row.question == entry["conversations"][0]["value"].removeprefix("<image>\n")
        assert (row.category, row.answer) == (entry["category"], str(entry["normalized_answer"]))
        assert row.rationale == entry["freeform_answer"]
        assert list(row.masks) == [region["counts"] for region in entry["rle"]]
        assert (row.height, row.width) == (24, 32)
    names = [entry["id"] for entry in records]
    assert [name for (name,) in opened.columns("id")] == names
    some = [name for (name,) in opened.columns("id", limit=7)]
    assert len(some) == min(7, len(names)) or rows_per_batch < 7
    assert set(some) <= set(names)
    assert some[0] == names[0] and (rows_per_batch > 3 or some[-1] == names[-1])
    with pytest.raises(IndexError):
        opened.record(0, int(opened.group_sizes()[0]))


def test_test_records_have_no_answers(tmp_path: Path) -> None:
    bare = record("a.png", 0, category=None, normalized_answer=None, freeform_answer=None)
    row = index(tmp_path, [bare]).record(0, 0)
    assert (row.category, row.answer, row.rationale) == ("", "", "")


def test_a_second_call_does_not_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_split(tmp_path, "train", records_of("a", [2]), images=False)
    first = index_records(file, tmp_path / "cache")
    monkeypatch.setattr(track3_index, "stream_array", None)
    assert index_records(file, tmp_path / "cache") == first


def test_a_changed_file_is_indexed_anew_and_the_old_index_removed(tmp_path: Path) -> None:
    file = write_split(tmp_path, "train", records_of("a", [2]), images=False)
    first = index_records(file, tmp_path / "cache")
    write_split(tmp_path, "train", records_of("a", [3]), images=False)
    second = index_records(file, tmp_path / "cache")
    assert Track3Index(second).group_sizes().tolist() == [3]
    assert not first.exists()


def test_a_failed_attempt_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        index(tmp_path, [record("a.png", 0), record("a.png", 1, category="colour")])
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    assert not list((tmp_path / "cache").rglob("unfinished-*"))


def test_a_cache_that_cannot_be_written_is_replaced_by_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    file = write_split(tmp_path, "train", records_of("a", [1]), images=False)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    assert index_records(file, blocked).is_relative_to(tmp_path / "home" / "smallspatial")


@pytest.mark.parametrize("records", [3, 4000])
def test_malformed_json_is_located(tmp_path: Path, records: int) -> None:
    text = json.dumps(records_of("a", [1] * records), indent=1)
    position = text.index('"category"', len(text) * 2 // 3)
    broken = text[:position] + "@" + text[position:]
    line = broken[:position].count("\n") + 1
    with refused(rf"train\.json is not well-formed JSON.*line {line}, byte offset {position}\."):
        index_records(raw_file(tmp_path, broken), tmp_path / "cache")


def test_a_truncated_file_is_located(tmp_path: Path) -> None:
    text = json.dumps(records_of("a", [1] * 20))[:-1000]
    with refused(rf"ends too early at line 1, byte offset {len(text)}"):
        index_records(raw_file(tmp_path, text), tmp_path / "cache")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", "is empty"),
        ("[]", "holds no records: an empty split"),
        ('{"id": 1}', "should hold a JSON array"),
        ("[1]", "Element 0 of .* is not a JSON object but int"),
    ],
)
def test_files_without_records(tmp_path: Path, text: str, pattern: str) -> None:
    with refused(pattern):
        index_records(raw_file(tmp_path, text), tmp_path / "cache")


def test_a_missing_file(tmp_path: Path) -> None:
    with refused(r"nothing\.json does not exist"):
        index_records(tmp_path / "nothing.json", tmp_path / "cache")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"id": None}, "Record number 1 of .* has no id"),
        ({"image": None}, "Record a-1 of .* has no image"),
        ({"conversations": []}, "Record a-1 of .* has no conversations"),
        ({"conversations": [{"from": "human"}]}, "Record a-1 of .* has no question text"),
        ({"image": "../../x.png"}, r"Record a-1 .*'\.\./\.\./x\.png', which is not a file inside"),
        ({"image": "/etc/x.png"}, "not a file inside the image folder"),
        ({"image": "..\\x.png"}, "not a file inside the image folder"),
        ({"image": "C:\\x.png"}, "not a file inside the image folder"),
        ({"category": "colour"}, "Record a-1 .* unknown category 'colour'; known are left_right, mcq"),
        ({"rle": [mask()]}, "Record a-1 .* names 2 regions .* only 1 masks"),
        ({"rle": [mask(), mask(height=48)]}, "Record a-1 .* mask 0 is 24x32, mask 1 is 48x32"),
        ({"rle": ["x", "y"]}, "Mask 0 of record a-1 .* not a compressed COCO mask"),
        ({"rle": [mask(), {"size": [24, 32], "counts": [1, 2]}]}, "Mask 1 of record a-1"),
        ({"rle": "x"}, "`rle` that is not a list"),
        ({"normalized_answer": [1]}, "Record a-1 .* `normalized_answer` that is neither text nor a number"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, changes: dict[str, Any], pattern: str) -> None:
    with refused(pattern):
        index(tmp_path, [record("a.png", 0), record("a.png", 1, **changes)])


def test_a_worker_maps_memory_instead_of_holding_it(tmp_path: Path) -> None:
    opened = index(tmp_path, records_of("a", [2] * 50))
    assert len(pickle.dumps(opened)) < 1000
    assert not opened._images._rows.flags.owndata
    assert isinstance(opened.group_sizes(), np.ndarray)
