"""`root: hub` through the hub's own client, against a server on this machine that plays the hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants, errors, snapshot_download

from datamodules.cv_bench import CvBench
from datamodules.errors.hub_errors import why_not_fetched
from datamodules.files.folder_digest import folder_digest
from datamodules.hub import fetch as fetching
from datamodules.hub.fetch import fetched, fetched_commit
from datamodules.hub.whole_copies import COPY
from datamodules.mixture import Mixture
from datamodules.samples import DataError
from datamodules.space_thinker import SpaceThinker
from experiments.commands.fetch import DATASETS, main
from tests.helpers.hub_server import LoopbackHub
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)

CV_BENCH = DATASETS["cv_bench"].repository


def small_copy(folder: Path, first: int = 0, questions: int = 6) -> Path:
    """A copy of CV-Bench with fewer questions, which says so."""
    numbers = range(first, first + 3)
    write_cv_bench(folder / "test_2d.parquet", [cv_bench_row(number) for number in numbers])
    write_cv_bench(folder / "test_3d.parquet", [cv_bench_row(number, type="3D") for number in numbers])
    (folder / "README.md").write_text("not asked for")
    counts: dict[str, Any] = {"questions": questions, "images": None, "categories": {}}
    (folder / COPY).write_text(json.dumps({"splits": {"test": counts}}))
    return folder


def questions(data: CvBench) -> int:
    return sum(len(batch["samples"]) for batch in data.test_dataloader())


def test_a_small_copy_says_itself_what_it_holds(hub: LoopbackHub, tmp_path: Path) -> None:
    commit = hub.publish(CV_BENCH, small_copy(tmp_path / "copy"), "datasets")
    data = CvBench(root="hub", cache=str(tmp_path / "cache"), num_workers=0)
    assert questions(data) == 6
    assert data.origin() == commit
    assert not any("README" in asked for asked in hub.asked)
    before = len(hub.asked)
    assert questions(CvBench(root="hub", cache=str(tmp_path / "cache"), num_workers=0)) == 6
    assert len(hub.asked) == before


def test_a_copy_that_lacks_what_it_says_is_refused(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.publish(CV_BENCH, small_copy(tmp_path / "copy", questions=7), "datasets")
    with pytest.raises(DataError, match=r"not whole: .* has 6 questions instead of 7"):
        fetched(DATASETS["cv_bench"])
    (tmp_path / "copy" / COPY).write_text('{"splits": {"test": {"number": 7}}}')
    with pytest.raises(DataError, match=rf"{COPY} should be like"):
        list(DATASETS["cv_bench"].missing_parts(tmp_path / "copy"))
    (tmp_path / "copy" / COPY).unlink()
    assert any("instead of 2,638" in each for each in DATASETS["cv_bench"].missing_parts(tmp_path / "copy"))


def test_copies_from_two_hubs_are_not_taken_for_each_other(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.publish(CV_BENCH, small_copy(tmp_path / "one"), "datasets")
    place = fetched(DATASETS["cv_bench"])
    assert fetched_commit(place) == first
    with LoopbackHub() as other:
        second = other.publish(CV_BENCH, small_copy(tmp_path / "two", first=50), "datasets")
        monkeypatch.setattr(constants, "ENDPOINT", other.endpoint)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            other.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        )
        assert fetched_commit(fetched(DATASETS["cv_bench"])) == second != first
    assert fetched_commit(place) == first


def test_what_is_fetched_is_the_commit_that_is_noted(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody changes the data in between."""
    commit = hub.publish(CV_BENCH, small_copy(tmp_path / "copy"), "datasets")

    def slow(**asked: Any) -> None:
        hub.publish(CV_BENCH, small_copy(tmp_path / "new", first=9), "datasets")
        snapshot_download(**asked)

    monkeypatch.setattr(fetching, "snapshot_download", slow)
    place = fetched(DATASETS["cv_bench"])
    assert fetched_commit(place) == commit
    assert (place / "test_2d.parquet").read_bytes() == (tmp_path / "copy/test_2d.parquet").read_bytes()


def test_a_file_that_a_repository_lacks_is_named() -> None:
    request = httpx2.Request("GET", "https://huggingface.co/a/b/resolve/main/weights/model.safetensors")
    error = errors.RemoteEntryNotFoundError("no", response=httpx2.Response(404, request=request))
    said = why_not_fetched(error, "model", "a/b", "v1")
    assert (
        said == "The model a/b at revision 'v1' holds no file model.safetensors: is it the right repository?"
    )


def refusal() -> str:
    with pytest.raises(DataError) as raised:
        fetched(DATASETS["cv_bench"])
    return str(raised.value)


def test_gated_missing_and_unreachable_are_three_sentences(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = refusal()
    assert f"no data set {CV_BENCH}" in missing and "spelling" in missing
    hub.publish(CV_BENCH, small_copy(tmp_path / "copy"), "datasets", gated=True)
    gated = refusal()
    assert f"gated: accept its licence at https://huggingface.co/datasets/{CV_BENCH}" in gated
    assert "`hf auth login`" in gated
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = refusal()
    assert "HF_HUB_OFFLINE is set" in offline and "unset HF_HUB_OFFLINE" in offline
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    unreachable = refusal()
    assert "cannot be reached at http://127.0.0.1:9" in unreachable and "connection" in unreachable
    sentences = {"gated": gated, "spelling": missing, "HF_HUB_OFFLINE": offline, "reached": unreachable}
    for word, sentence in sentences.items():
        assert [other for other in sentences.values() if word in other] == [sentence], word


def test_half_a_copy_is_not_called_incomplete_where_the_hub_does_not_answer(
    hub: LoopbackHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client hands out what is there, and says nothing."""
    hub.publish(CV_BENCH, small_copy(tmp_path / "copy"), "datasets")
    arguments = ["--name", "cv_bench", "--to", str(tmp_path / "fetched")]
    assert main(arguments) == 0
    (tmp_path / "fetched/test_3d.parquet").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit, match="1"):
        main(arguments)
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert main(arguments) == 0


def test_a_folder_is_told_by_its_content(tmp_path: Path) -> None:
    folder = small_copy(tmp_path / "copy")
    shutil.copytree(folder, tmp_path / "other")
    data = CvBench(root=str(folder))
    assert data.origin() == folder_digest(tmp_path / "other") == folder_digest(folder)
    (tmp_path / "other/.cache").mkdir()
    (tmp_path / "other/.cache/note").touch()
    assert folder_digest(tmp_path / "other") == folder_digest(folder)
    write_cv_bench(tmp_path / "other/test_3d.parquet", [cv_bench_row(9, type="3D")])
    assert folder_digest(tmp_path / "other") != folder_digest(folder)
    (tmp_path / "other/test_3d.parquet").unlink()
    (tmp_path / "other/test_3d.parquet").write_bytes((folder / "test_3d.parquet").read_bytes())
    assert folder_digest(tmp_path / "other") == folder_digest(folder)


def test_a_mixture_names_its_parts(tmp_path: Path) -> None:
    write_space_thinker(tmp_path / "space_thinker/data/train-00000-of-00001.parquet", [space_thinker_row(0)])
    small_copy(tmp_path / "cv_bench")
    mixture = Mixture([SpaceThinker(), CvBench()], CvBench(), root=str(tmp_path))
    wanted = {name: folder_digest(tmp_path / name) for name in ("space_thinker", "cv_bench")}
    assert mixture.origin() == " + ".join(f"{name} {digest}" for name, digest in wanted.items())


def test_rendered_scenes_are_told_by_how_they_are_rendered(tmp_path: Path) -> None:
    def origin(seed: int) -> str:
        scenes = {"test": 1}
        return CvBench(scenes=scenes, size=(64, 64), scenes_seed=seed, cache=str(tmp_path)).origin()

    assert origin(0) == origin(0) != origin(1)
    assert origin(0).startswith("rendered cv-bench-64x64-")
