"""Fetching, against a local folder that plays the hub."""

import io
import shutil
import tarfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

from datamodules import fetch as fetch_module
from datamodules.fetch import HubDataset, SplitCounts, fetch, main, unpack
from datamodules.samples import DataError
from tests.datamodules.track3_files import records_of, write_split

DATASET = HubDataset(
    "someone/warehouse",
    {
        "train": SplitCounts(8, 4, {"left_right": 4, "mcq": 4}),
        "val": SplitCounts(2),
    },
)


class FolderAsHub:
    """Copies what is asked for, and remembers it; breaks off once after `breaks_after` files."""

    def __init__(self, folder: Path, breaks_after: int | None = None) -> None:
        self.folder = folder
        self.breaks_after = breaks_after
        self.copied: list[str] = []

    def __call__(self, *, repo_id: str, repo_type: str, local_dir: str, ignore_patterns: list[str]) -> str:
        assert (repo_id, repo_type) == ("someone/warehouse", "dataset")
        for file in sorted(file for file in self.folder.rglob("*") if file.is_file()):
            name = str(file.relative_to(self.folder))
            target = Path(local_dir) / name
            if target.exists() or any(fnmatch(name, pattern) for pattern in ignore_patterns):
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
    """The data set as it lies on the hub: training pictures in two archives a folder, one with a prefix."""
    folder = tmp_path / "hub"
    write_split(folder, "train", records_of("frame-", [2, 2, 2, 2]))
    write_split(folder, "val", records_of("other-", [2]))
    for kind in ("images", "depths"):
        pictures = sorted((folder / "train" / kind).glob("*.png"))
        for number, prefix in enumerate(("", f"{kind}/")):
            with tarfile.open(folder / "train" / kind / f"chunk_{number:03d}.tar.gz", "w:gz") as tar:
                for picture in pictures[2 * number : 2 * number + 2]:
                    tar.add(picture, prefix + picture.name)
        for picture in pictures:
            picture.unlink()
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
    write_split(hub, "train", records_of("frame-", [2, 2, 2, 1]), pictures=False)
    sentences = fetch(DATASET, tmp_path / "copy", FolderAsHub(hub))
    assert [sentence.replace(str(tmp_path), "") for sentence in sentences] == [
        "/copy/train.json has 7 questions instead of 8.",
        "/copy/train.json has 3 mcq questions instead of 4.",
        "/copy/train/depths lacks 2 pictures: frame-002_depth.png, frame-003_depth.png.",
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
        unpack(archive)
        assert (archive.parent / "outside.png").exists()
    else:
        with pytest.raises(DataError, match="not safe to unpack"):
            unpack(archive)
    assert not (tmp_path / "outside.png").exists()


def test_a_damaged_archive_is_named_and_kept(hub: Path) -> None:
    archive = hub / "train/images/chunk_000.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"chunk_000.tar.gz cannot be unpacked"):
        unpack(archive)
    assert archive.exists()
    assert not list(archive.parent.glob("*.png"))


def test_a_full_disk_is_noticed_before_unpacking(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(hub)._replace(free=1)
    monkeypatch.setattr(fetch_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"only 0\.0 GB are free"):
        unpack(hub / "train/images/chunk_000.tar.gz")


def test_the_command(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fetch_module.DATASETS, "ai_city_track3", DATASET)
    arguments = ["--name", "ai_city_track3", "--to", str(tmp_path / "copy")]
    assert main(arguments, FolderAsHub(hub)) == 0
    assert "holds all of ai_city_track3" in capsys.readouterr().out
    (tmp_path / "copy/val.json").write_text("[]")
    assert main(arguments, FolderAsHub(hub)) == 1
    assert "has 0 questions instead of 2" in capsys.readouterr().err
