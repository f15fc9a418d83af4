"""A few mutated inputs for every reader, and those that once led to anything but a sentence."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.cv_bench import CvBench
from datamodules.files.archives import unpack_folder, unpack_images
from datamodules.files.json_stream import stream_array
from datamodules.files.parquet_rows import parquet_rows
from datamodules.files.text_files import read_json
from datamodules.hub.whole_copies import COPY
from datamodules.own_images import OwnImages
from datamodules.samples import DataError, Region
from datamodules.scoring.prediction_files import read_predictions
from datamodules.scoring.score_track3 import score_track3
from datamodules.space_thinker import read_rows
from experiments.errors.plain_errors import LONGEST_SENTENCE, explained
from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import read_yaml
from experiments.experiment_files.typed_options import as_tree
from experiments.run_folders.run_folder import RunError
from experiments.study.study_file import StudyError, read_study
from lightning_modules.checkpoints import CheckpointError, read_checkpoint
from lightning_modules.distillation.teachers.cache_files import MANIFEST, TeacherCache
from lightning_modules.distillation.teachers.manifest import CacheError
from tests.fuzz.configurations import BOMB, STUDY
from tests.fuzz.packed import Strange, small_cache
from tests.fuzz.records import as_parquet
from tests.fuzz.targets import TARGETS
from tests.fuzz.trials import Target, Trial
from tests.fuzz.watching import Watch
from tests.helpers.parquet_files import encoded, space_thinker_row
from tests.helpers.track3_files import record

EXAMPLES = 60
DEEP = "[" * 5_000 + "]" * 5_000
LONG_NUMBER = "9" * 5_000


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutated_inputs_are_read_or_refused_by_a_named_error(target: Target) -> None:
    trial = Trial(target).run(EXAMPLES)
    assert trial.outcomes.total() > 0
    assert not trial.wrong, {said: content for said, (_, content) in trial.wrong.items()}


def put(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("text", [f"[{DEEP}]", f'[{{"id": {LONG_NUMBER}}}]', f'[{{"id": 1e{LONG_NUMBER}}}]'])
def test_json_of_any_depth_and_numbers_of_any_length_are_refused(tmp_path: Path, text: str) -> None:
    file = put(tmp_path, "a.json", text)
    with pytest.raises(DataError, match=str(file)):
        list(stream_array(file))


@pytest.mark.parametrize(("text", "said"), [(DEEP, "nested too deeply"), (f"[{LONG_NUMBER}]", "more digits")])
def test_so_are_those_in_other_json_files(tmp_path: Path, text: str, said: str) -> None:
    readers: dict[str, Callable[[Path], Any]] = {
        "a.json": read_json,
        "a.jsonl": read_predictions,
        "questions.json": lambda file: OwnImages(str(file.parent), questions=file.name).split("test"),
    }
    for name, read in readers.items():
        file = put(tmp_path, name, text)
        with pytest.raises(DataError, match=said):
            read(file)


@pytest.mark.parametrize("column", ["regions", "choices"])
def test_so_are_those_in_a_cell(tmp_path: Path, column: str) -> None:
    (tmp_path / "a.png").write_bytes(encoded(0))
    put(tmp_path, "questions.csv", f"image,question,{column}\na.png,Where is it?,{DEEP}\n")
    with pytest.raises(DataError, match=f"Line 2 .* `{column}` that are not JSON"):
        OwnImages(str(tmp_path)).split("test")


def test_a_category_that_is_a_list_is_refused(tmp_path: Path) -> None:
    listed = put(tmp_path, "t.json", json.dumps([record("a.png", 0, category=["mcq"])]))
    with pytest.raises(DataError, match="unknown category"):
        score_track3(listed, listed)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": ["How far?"]}, "`input` that is no text"),
        ({"output": 3}, "`output` that is no text"),
        ({"images": 3}, "`images` that are no list"),
        ({"input": None, "messages": ["user", "assistant"]}, "`messages` that are no turns"),
        ({"input": None, "messages": "user"}, "`messages` that are no turns"),
    ],
)
def test_a_row_of_other_types_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = put(tmp_path, "a.parquet", as_parquet([space_thinker_row(0) | changes]))
    with pytest.raises(DataError, match=f"Row 0 of {file} has .*{said}"):
        list(read_rows(file))


def test_a_text_of_a_table_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    content = as_parquet([{"id": "abcdefgh"}]).replace(b"abcdefgh", b"abc\xffefgh")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        list(parquet_rows(put(tmp_path, "a.parquet", content), ["id"]))


@pytest.mark.parametrize(
    "said",
    [
        {"questions": "3"},
        {"questions": 3, "categories": [1]},
        {"questions": 3, "categories": {"Count": None}},
        {"images": 3},
        {"questions": 3, "other": 1},
        3,
    ],
)
def test_a_copy_says_numbers(tmp_path: Path, said: Any) -> None:
    put(tmp_path, COPY, json.dumps({"splits": {"test": said}}))
    with pytest.raises(DataError, match="should be like"):
        list(CvBench.hub.missing_parts(tmp_path))


def test_run_lengths_of_no_size_are_refused() -> None:
    with pytest.raises(DataError, match="belong to no pixels"):
        Region(-3, 0, "0").box()


def tar_of(folder: Path, *members: tuple[str, bytes, str, bytes]) -> Path:
    file = folder / "chunk_0.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, kind, leads_to, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, leads_to, len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def test_a_link_of_an_archive_is_not_put_in_place(tmp_path: Path) -> None:
    """Inside, it leads to a place of the archive; where images are put, it would lead out of their folder."""
    (tmp_path / "images").mkdir()
    image = ("secret.png", tarfile.REGTYPE, "", encoded(0))
    archive = tar_of(tmp_path / "images", image, ("a/b/0.png", tarfile.SYMTYPE, "../../secret.png", b""))
    unpack_images(archive)
    assert not (tmp_path / "images/0.png").is_symlink() and (tmp_path / "images/secret.png").is_file()


@pytest.mark.parametrize("name", ["../0.png", "/0.png", "a/../../0.png"])
def test_no_member_leaves_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    archive = tar_of(tmp_path / "images", (name, tarfile.REGTYPE, "", encoded(0)))
    before = set(tmp_path.iterdir())
    try:
        unpack_images(archive)
    except DataError as error:
        assert "not safe" in str(error)
    assert set(tmp_path.iterdir()) == before


def test_a_hard_link_to_nothing_is_a_damaged_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack_images(tar_of(tmp_path, ("a.png", tarfile.LNKTYPE, "nothing.png", b"")))


def test_an_archive_with_more_than_there_is_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tar_of(tmp_path, ("a.png", tarfile.REGTYPE, "", b"\0" * 10_000_000))
    free = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("datamodules.files.archives.shutil.disk_usage", lambda place: free)
    with pytest.raises(DataError, match="more than there is room for"):
        unpack_images(archive)
    assert {path.name for path in tmp_path.iterdir()} == {archive.name}


def test_zips_without_names_in_ciphers_or_with_a_folder_for_records(tmp_path: Path) -> None:
    for number, flag in ((0, 1), (1, 0), (2, 0)):
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as packed:
            packed.writestr(("data.json", "\1.png", "data.json/a.png")[number], b"[]")
        content = bytearray(written.getvalue().replace(b"\1.png", b"\0.png"))
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            content[content.index(mark) + place] |= flag
        with pytest.raises(DataError):
            unpack_folder(put(tmp_path, f"{number}.zip", bytes(content)))
    assert all(path.suffix == ".zip" for path in tmp_path.iterdir())


def test_a_cache_of_other_shapes_is_refused(tmp_path: Path) -> None:
    small_cache(tmp_path)
    folder = tmp_path / "cache_of_teacher"
    part = folder / "part-00000.safetensors"
    whole = part.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    for old, new in ((b'"starts"', b'"start_"'), (b'"keys"', b'"kays"'), (b'"map_shapes"', b'"map_shapez"')):
        part.write_bytes(whole[:8] + whole[8:start].replace(old, new) + whole[start:])
        with pytest.raises(CacheError, match="cannot be read"):
            TeacherCache(folder)[f"{0:032x}"]
    (folder / MANIFEST).write_bytes(b"\xff{}")
    with pytest.raises(CacheError, match="no UTF-8"):
        TeacherCache(folder)
    (folder / MANIFEST).write_text(DEEP)
    with pytest.raises(CacheError, match="cannot be read"):
        TeacherCache(folder)


def test_a_checkpoint_runs_nothing(tmp_path: Path) -> None:
    watch, file = Watch(), tmp_path / "a.ckpt"
    for zipped in (True, False):
        torch.save({"state_dict": Strange()}, file, _use_new_zipfile_serialization=zipped)
        with watch.on(tmp_path, 60), pytest.raises(CheckpointError, match="cannot be read"):
            read_checkpoint(file)
        assert not watch.seen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "stands for more values"),
        ("a: &a [*a]", "contains itself"),
        ("a: &a {b: *a}", "contains itself"),
        ("name: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("name: !!python/name:os.system", "could not determine a constructor"),
        (f"name: {'[' * 2_000}{']' * 2_000}", "nested too deeply"),
        (f"seed_everything: {LONG_NUMBER}", "not valid YAML"),
        ("day: 2001-13-99", "not valid YAML"),
        ("tiny: 3", "`tiny` of"),
        ("tiny: [a]", "`tiny` of"),
    ],
)
def test_yaml_makes_plain_values_alone_and_no_more_than_stands_there(
    tmp_path: Path, text: str, said: str
) -> None:
    file, started = put(tmp_path, "a.yaml", text), time.monotonic()
    with pytest.raises(RunError, match=said):
        compose(["fit", "-c", str(file)])
    assert time.monotonic() - started < 5


def test_aliases_that_stand_for_a_few_values_are_fine(tmp_path: Path) -> None:
    file = put(tmp_path, "a.yaml", "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert read_yaml(file) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def test_settings_of_a_study_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    content = {**STUDY, "settings": {"trainer": [1]}}
    with pytest.raises(StudyError, match="cannot be laid over each other"):
        read_study(put(tmp_path, "s.yaml", json.dumps(content)), "tiny")


def test_typed_options_of_any_order_are_a_tree() -> None:
    typed = ["--model", "TinyGiant", "--model.lr=1", "--data=[1", "--a.b.c=&a [*a]"]
    assert as_tree(typed) == {
        "model": {"class_path": "TinyGiant", "lr": 1},
        "data": "[1",
        "a": {"b": {"c": "&a [*a]"}},
    }


def test_a_name_that_no_folder_can_have_is_no_run() -> None:
    with pytest.raises(RunError, match="no name that a run's folder can have"):
        compose(["fit", "-c", "quickstart", "--resume", "\ud800"])


def test_a_sentence_about_a_long_value_is_short_and_keeps_its_end() -> None:
    said = explained(RunError(f"The value {'x' * 10**5} is wrong: write another one."))
    assert said is not None and len(said) < LONGEST_SENTENCE + 10 and said.endswith("write another one.")


def test_a_watch_sees_what_a_reader_must_not_do(tmp_path: Path) -> None:
    watch, folder = Watch(), tmp_path / "folder"
    (tmp_path / "outside").mkdir()
    folder.mkdir()
    secret = put(tmp_path / "outside", "secret.json", "{}")
    for act in (
        secret.read_text,
        lambda: (tmp_path / "written").write_text(""),
        lambda: (folder / "../made").mkdir(),
        lambda: __import__("os").system("true"),
    ):
        with watch.on(folder, 60):
            act()
        assert len(watch.seen) == 1, act
    with watch.on(folder, 60):
        put(folder, "own", "")
    assert not watch.seen


def test_a_reader_that_hangs_or_raises_what_is_not_named_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypothesis import strategies as st

    monkeypatch.setattr("tests.fuzz.trials.SECONDS_FOR_ONE", 0.05)

    def read(number: int, folder: Path) -> None:
        if number == 1:
            raise KeyError("no sentence")
        while number == 2:
            pass
        if number == 3:
            raise DataError("A sentence.")

    trial = Trial(Target("numbers", st.sampled_from([0, 1, 2, 3]), read)).run(20)
    assert {"read", "DataError", "anything else"} == trial.outcomes.keys() and len(trial.wrong) == 2
