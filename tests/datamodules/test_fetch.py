"""Fetching, against a local folder that plays the hub."""

import dataclasses
import io
import shutil
import tarfile
import zipfile
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

from datamodules.ai_city_track3 import missing_track3
from datamodules.cv_bench import CvBench
from datamodules.files import archives
from datamodules.files.archives import unpack_folder, unpack_images
from datamodules.hub.fetch import fetch, fetched
from datamodules.hub.whole_copies import HubDataset, SplitCounts
from datamodules.samples import DataError
from experiments.commands.fetch import DATASETS, main
from tests.helpers import omni_spatial_files
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import records_of, write_split

DATASET = HubDataset(
    "ai_city_track3",
    "someone/warehouse",
    {
        "train": SplitCounts(8, 4, {"left_right": 4, "mcq": 4}),
        "val": SplitCounts(2),
    },
    missing_track3,
    archives={"chunk_*.tar.gz": unpack_images},
)


class FolderAsHub:
    """Copies what is asked for, and remembers it; breaks off once after `breaks_after` files."""

    def __init__(
        self, folder: Path, breaks_after: int | None = None, repository: str = "someone/warehouse"
    ) -> None:
        self.folder = folder
        self.repository = repository
        self.breaks_after = breaks_after
        self.copied: list[str] = []

    def __call__(
        self,
        *,
        repo_id: str,
        repo_type: str,
        local_dir: str,
        allow_patterns: list[str] | None,
        ignore_patterns: list[str],
    ) -> str:
        assert (repo_id, repo_type) == (self.repository, "dataset")
        for file in sorted(file for file in self.folder.rglob("*") if file.is_file()):
            name = str(file.relative_to(self.folder))
            target = Path(local_dir) / name
            wanted = allow_patterns is None or any(fnmatch(name, pattern) for pattern in allow_patterns)
            if not wanted or target.exists() or any(fnmatch(name, pattern) for pattern in ignore_patterns):
                continue
            if self.breaks_after is not None and len(self.copied) >= self.breaks_after:
                self.breaks_after = None
                raise OSError("connection lost")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
            self.copied.append(name)
        return local_dir


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """The data set as it lies on the hub: training images in two archives a folder, one with a prefix."""
    folder = tmp_path / "hub"
    write_split(folder, "train", records_of("frame-", [2, 2, 2, 2]))
    write_split(folder, "val", records_of("other-", [2]))
    for kind in ("images", "depths"):
        images = sorted((folder / "train" / kind).glob("*.png"))
        for number, prefix in enumerate(("", f"{kind}/")):
            with tarfile.open(folder / "train" / kind / f"chunk_{number:03d}.tar.gz", "w:gz") as tar:
                for image in images[2 * number : 2 * number + 2]:
                    tar.add(image, prefix + image.name)
        for image in images:
            image.unlink()
    return folder


def test_a_whole_copy(hub: Path, tmp_path: Path) -> None:
    assert fetch(DATASET, tmp_path / "copy", FolderAsHub(hub)) == []
    assert len(list((tmp_path / "copy/train/images").glob("*.png"))) == 4
    assert not list((tmp_path / "copy").rglob("*.tar.gz"))


def test_a_second_run_fetches_nothing_again(hub: Path, tmp_path: Path) -> None:
    fetch(DATASET, tmp_path / "copy", FolderAsHub(hub))
    again = FolderAsHub(hub)
    assert fetch(DATASET, tmp_path / "copy", again) == []
    assert again.copied == []


def test_an_interrupted_run_goes_on(hub: Path, tmp_path: Path) -> None:
    breaking = FolderAsHub(hub, breaks_after=3)
    with pytest.raises(DataError, match=r"broke off: connection lost.*same command again"):
        fetch(DATASET, tmp_path / "copy", breaking)
    assert fetch(DATASET, tmp_path / "copy", breaking) == []
    assert len(breaking.copied) == len(set(breaking.copied)) == 8


def test_what_is_missing_is_named(hub: Path, tmp_path: Path) -> None:
    (hub / "val.json").unlink()
    (hub / "train/depths/chunk_001.tar.gz").unlink()
    write_split(hub, "train", records_of("frame-", [2, 2, 2, 1]), images=False)
    sentences = fetch(DATASET, tmp_path / "copy", FolderAsHub(hub))
    assert [sentence.replace(str(tmp_path), "") for sentence in sentences] == [
        "/copy/train.json has 7 questions instead of 8.",
        "/copy/train.json has 3 mcq questions instead of 4.",
        "/copy/train/depths lacks 2 images: frame-002_depth.png, frame-003_depth.png.",
        "/copy/val.json is missing.",
    ]


def test_without_access_the_user_is_told_what_to_do(tmp_path: Path) -> None:
    def refuse(**_: object) -> None:
        raise LocalTokenNotFoundError

    with pytest.raises(DataError, match=r"Accept its licence at https://.*log in with `hf auth login`"):
        fetch(DATASET, tmp_path / "copy", refuse)


@pytest.mark.parametrize("name", ["../../outside.png", "/outside.png"])
def test_an_archive_cannot_write_outside(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "data/train/images/chunk_000.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    if name.startswith("/"):  # tarfile makes absolute names relative
        unpack_images(archive)
        assert (archive.parent / "outside.png").exists()
    else:
        with pytest.raises(DataError, match="not safe to unpack"):
            unpack_images(archive)
    assert not (tmp_path / "outside.png").exists()


def test_a_damaged_archive_is_named_and_kept(hub: Path) -> None:
    archive = hub / "train/images/chunk_000.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"chunk_000.tar.gz cannot be unpacked"):
        unpack_images(archive)
    assert archive.exists()
    assert not list(archive.parent.glob("*.png"))


def test_a_full_disk_is_noticed_before_unpacking(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(hub)._replace(free=1)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"only 0\.0 GB are free"):
        unpack_images(hub / "train/images/chunk_000.tar.gz")


def test_the_command(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(DATASETS, "ai_city_track3", DATASET)
    arguments = ["--name", "ai_city_track3", "--to", str(tmp_path / "copy")]
    assert main(arguments, FolderAsHub(hub)) == 0
    assert "holds all of ai_city_track3" in capsys.readouterr().out
    (tmp_path / "copy/val.json").write_text("[]")
    assert main(arguments, FolderAsHub(hub)) == 1
    assert "has 0 questions instead of 2" in capsys.readouterr().err


def small(name: str, splits: dict[str, SplitCounts]) -> tuple[HubDataset, str]:
    """A benchmark that should hold fewer questions, and its name on the hub."""
    return dataclasses.replace(DATASETS[name], splits=splits), DATASETS[name].repository


def test_cv_bench(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    write_cv_bench(hub / "test_2d.parquet", [cv_bench_row(number) for number in range(4)])
    write_cv_bench(hub / "test_3d.parquet", [cv_bench_row(number, type="3D") for number in range(3)])
    (hub / "img").mkdir()
    (hub / "img/too_many.png").touch()
    dataset, repository = small("cv_bench", {"test": SplitCounts(7, None, {"Count": 2, "Depth": 2})})
    assert fetch(dataset, tmp_path / "copy", FolderAsHub(hub, repository=repository)) == []
    assert sorted(file.name for file in (tmp_path / "copy").iterdir()) == [
        "test_2d.parquet",
        "test_3d.parquet",
    ]
    (tmp_path / "copy/test_3d.parquet").unlink()
    (hub / "test_3d.parquet").unlink()
    sentences = fetch(dataset, tmp_path / "copy", FolderAsHub(hub, repository=repository))
    assert [sentence.replace(str(tmp_path), "") for sentence in sentences] == [
        "/copy/test_3d.parquet is missing.",
        "/copy/test_*.parquet has 4 questions instead of 7.",
        "/copy/test_*.parquet has 0 Depth questions instead of 2.",
    ]


def test_space_thinker(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    write_space_thinker(hub / "data/train-00000-of-00001.parquet", [space_thinker_row(0)] * 99)
    write_space_thinker(hub / "data/test-00000-of-00001.parquet", [space_thinker_row(0)] * 9)
    splits = {"train": SplitCounts(100, rounded=True), "test": SplitCounts(10, rounded=True)}
    dataset, repository = small("space_thinker", splits)
    (sentence,) = fetch(dataset, tmp_path / "copy", FolderAsHub(hub, repository=repository))
    assert sentence.endswith("test-00000-of-00001.parquet has 9 questions instead of about 10.")


def packed(folder: Path, archive: Path, prefix: str) -> None:
    """A zip of a folder's files, each with `prefix` before its name."""
    with zipfile.ZipFile(archive, "w") as packing:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packing.write(file, prefix + str(file.relative_to(folder)))


@pytest.mark.parametrize("prefix", ["OmniSpatial-test/", ""])
def test_omni_spatial(tmp_path: Path, prefix: str) -> None:
    rows = [omni_spatial_files.row(number) for number in range(8)]
    (tmp_path / "hub").mkdir()
    packed(write_omni_spatial(tmp_path / "test", rows), tmp_path / "hub/OmniSpatial-test.zip", prefix)
    dataset, repository = small("omni_spatial", {"test": SplitCounts(8, 4, {"Complex_Logic": 2})})
    hub = FolderAsHub(tmp_path / "hub", repository=repository)
    assert fetch(dataset, tmp_path / "copy", hub) == []
    assert fetch(dataset, tmp_path / "copy", hub) == []
    assert hub.copied == ["OmniSpatial-test.zip"]
    assert (tmp_path / "copy/OmniSpatial-test/Complex_Logic/0.png").is_file()
    (tmp_path / "copy/OmniSpatial-test/Complex_Logic/0.png").unlink()
    (sentence,) = fetch(dataset, tmp_path / "copy", hub)
    assert sentence.endswith("Complex_Logic lacks 1 images: 0.png.")


def test_omni_spatials_training_archive_is_not_fetched(tmp_path: Path) -> None:
    """It is nine times as large as the benchmark, of which it is no part."""
    rows = [omni_spatial_files.row(number) for number in range(8)]
    (tmp_path / "hub").mkdir()
    for split in ("test", "train"):
        archive = tmp_path / f"hub/OmniSpatial-{split}.zip"
        packed(write_omni_spatial(tmp_path / split, rows), archive, f"OmniSpatial-{split}/")
    (tmp_path / "hub/README.md").write_text("OmniSpatial")
    dataset, repository = small("omni_spatial", {"test": SplitCounts(8)})
    hub = FolderAsHub(tmp_path / "hub", repository=repository)
    assert fetch(dataset, tmp_path / "copy", hub) == []
    assert hub.copied == ["OmniSpatial-test.zip"]


def test_zips_that_cannot_be_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "OmniSpatial-test.zip"
    archive.write_bytes(b"PK nothing more")
    with pytest.raises(DataError, match=r"OmniSpatial-test\.zip cannot be unpacked: .*Remove it"):
        unpack_folder(archive)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/readme.txt").touch()
    packed(tmp_path / "other", archive, "")
    with pytest.raises(DataError, match=r"holds no data\.json"):
        unpack_folder(archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["OmniSpatial-test.zip", "other"]


def test_root_hub_fetches_once_into_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    write_cv_bench(tmp_path / "hub/test_2d.parquet", [cv_bench_row(number) for number in range(4)])
    dataset, repository = small("cv_bench", {"test": SplitCounts(4)})
    hub = FolderAsHub(tmp_path / "hub", repository=repository)
    with pytest.raises(DataError, match=r"not whole: .*test_3d\.parquet is missing.*make data NAME=cv_bench"):
        fetched(dataset, hub)
    write_cv_bench(tmp_path / "hub/test_3d.parquet", [cv_bench_row(9, type="3D")])
    monkeypatch.setattr(CvBench, "hub", dataclasses.replace(dataset, splits={"test": SplitCounts(5)}))
    folder = fetched(CvBench.hub, hub)
    assert folder.is_relative_to(tmp_path / "home")
    monkeypatch.setattr("datamodules.hub.fetch.fetch", None)
    questions = CvBench(root="hub", cache=str(tmp_path / "cache"), num_workers=0)
    assert sum(len(batch["samples"]) for batch in questions.test_dataloader()) == 5


EXACT = SplitCounts(100, 3, {"a": 60, "b": 40})


@pytest.mark.parametrize(
    ("wanted", "found", "images", "said"),
    [
        (EXACT, {"a": 60, "b": 40}, 3, []),
        (EXACT, {"a": 61, "b": 40}, 3, ["101 questions instead of 100", "61 a questions instead of 60"]),
        (EXACT, {"a": 59, "b": 40}, 3, ["99 questions instead of 100", "59 a questions instead of 60"]),
        (EXACT, {"a": 60, "c": 40}, 3, ["0 b questions instead of 40"]),
        (EXACT, {"a": 60, "b": 40}, 2, ["2 images instead of 3"]),
        (EXACT, {"a": 60, "b": 40}, 4, ["4 images instead of 3"]),
        (SplitCounts(100), {"a": 100}, 9, []),
        *((SplitCounts(100, rounded=True), {"a": count}, 9, []) for count in (98, 102)),
        *(
            (SplitCounts(100, rounded=True), {"a": count}, 9, [f"{count} questions instead of about 100"])
            for count in (97, 103)
        ),
    ],
)
def test_a_whole_copy_holds_as_many_as_published(
    wanted: SplitCounts, found: dict[str, int], images: int, said: list[str]
) -> None:
    sentences = wanted.differences(Path("a.json"), Counter(found), set(map(str, range(images))))
    assert list(sentences) == [f"a.json has {each}." for each in said]


def test_what_the_published_sets_hold() -> None:
    published = {
        "ai_city_track3": "nvidia/PhysicalAI-Spatial-Intelligence-Warehouse train=499083 val=1942 test=19341",
        "cv_bench": "nyu-visionx/CV-Bench test=2638",
        "omni_spatial": "qizekun/OmniSpatial test=1533",
        "space_thinker": "remyxai/SpaceThinker train=11400 test=1250",
    }
    assert published == {
        name: " ".join([data.repository, *(f"{split}={n.questions}" for split, n in data.splits.items())])
        for name, data in DATASETS.items()
    }
    for split in (split for data in DATASETS.values() for split in data.splits.values() if split.categories):
        assert sum(split.categories.values()) == split.questions
