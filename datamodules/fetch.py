"""Fetches a benchmark from the hub with the user's own token, unpacks it, and checks that it is whole.

python -m datamodules.fetch --name ai_city_track3 --to /folder

Interrupted at any point, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalTokenNotFoundError, RepositoryNotFoundError

from datamodules.json_stream import stream_array
from datamodules.samples import DataError
from datamodules.track3_records import parse_record

Download = Callable[..., object]
"""Called as `huggingface_hub.snapshot_download` is, with `repo_id, repo_type, local_dir, ignore_patterns`."""

_ARCHIVES = "chunk_*.tar.gz"
_UNPACKED = ".unpacked"
_NAMED_AT_MOST = 5
_GIGABYTE = 1e9


@dataclass(frozen=True)
class SplitCounts:
    """What a split must hold; `images` is None where the number is not published."""

    questions: int
    images: int | None = None
    categories: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class HubDataset:
    """A data set on the hub: where it is, and what a whole copy of it holds."""

    repository: str
    splits: dict[str, SplitCounts]


DATASETS = {
    "ai_city_track3": HubDataset(
        repository="nvidia/PhysicalAI-Spatial-Intelligence-Warehouse",
        splits={
            "train": SplitCounts(
                499_083,
                78_209,
                {"mcq": 110_055, "left_right": 69_336, "distance": 245_889, "count": 73_803},
            ),
            "val": SplitCounts(1_942, None, {"mcq": 456, "left_right": 500, "distance": 486, "count": 500}),
            "test": SplitCounts(19_341, 15_026),
        },
    )
}


def fetch(dataset: HubDataset, folder: Path, download: Download = snapshot_download) -> list[str]:
    """Download, unpack and check a data set in the Track 3 layout.

    An archive is removed once it is unpacked, and a marker beside it keeps it from being fetched again.

    Returns:
        Sentences that name what is missing or different; empty for a whole copy.

    Raises:
        DataError: the hub refuses, the download breaks off, an archive is damaged, or the disk is too small.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = [str(marker.relative_to(folder))[: -len(_UNPACKED)] for marker in folder.rglob(f"*{_UNPACKED}")]
    try:
        download(
            repo_id=dataset.repository,
            repo_type="dataset",
            local_dir=str(folder),
            ignore_patterns=done,
        )
    except (RepositoryNotFoundError, LocalTokenNotFoundError) as error:
        raise DataError(
            f"The hub does not let you read {dataset.repository}. Accept its licence at "
            f"https://huggingface.co/datasets/{dataset.repository} and log in with `hf auth login` "
            f"(or set HF_TOKEN), then run the same command again."
        ) from error
    except OSError as error:
        raise DataError(
            f"The download of {dataset.repository} broke off: {error}. Run the same command again to go on."
        ) from error
    for archive in sorted(folder.rglob(_ARCHIVES)):
        unpack(archive)
    return list(missing_parts(dataset, folder))


def unpack(archive: Path) -> None:
    """Put the PNG files of an archive beside it, whatever folders they have inside, and remove the archive.

    They are unpacked into a temporary folder first, with tarfile's `data` filter, so nothing can be written
    elsewhere.

    Raises:
        DataError: the archive is damaged or unsafe, or there is no room for its content.
    """
    _require_room(archive)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpacking-") as temporary:
        try:
            with tarfile.open(archive, "r:gz") as tar:
                tar.extractall(temporary, filter="data")
        except tarfile.FilterError as error:
            raise DataError(f"The archive {archive} is not safe to unpack: {error}.") from error
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DataError(
                f"The archive {archive} cannot be unpacked: {error}. Remove it and run the same command "
                "again."
            ) from error
        for picture in Path(temporary).rglob("*.png"):
            picture.replace(archive.parent / picture.name)
    archive.with_name(archive.name + _UNPACKED).touch()
    archive.unlink()


def _require_room(archive: Path) -> None:
    """Raise when the disk cannot hold the archive's content; PNG files do not shrink by packing."""
    needed, free = archive.stat().st_size * 1.1, shutil.disk_usage(archive.parent).free
    if free < needed:
        raise DataError(
            f"Unpacking {archive} needs about {needed / _GIGABYTE:.1f} GB, but only "
            f"{free / _GIGABYTE:.1f} GB are free. Make room and run the same command again."
        )


def missing_parts(dataset: HubDataset, folder: Path) -> Iterator[str]:
    """Sentences that name what a copy of the data set lacks, none for a whole one."""
    for split, expected in dataset.splits.items():
        records = folder / f"{split}.json"
        if not records.is_file():
            yield f"{records} is missing."
            continue
        questions: Counter[str] = Counter()
        images: set[str] = set()
        for position, raw in enumerate(stream_array(records)):
            record = parse_record(raw, records, position)
            questions[record.category] += 1
            images.add(record.image)
        counts = [("questions", expected.questions, questions.total())]
        counts += [("images", expected.images, len(images))] if expected.images is not None else []
        counts += [(f"{name} questions", n, questions[name]) for name, n in expected.categories.items()]
        for what, published, found in counts:
            if published != found:
                yield f"{records} has {found:,} {what} instead of {published:,}."
        yield from _missing_pictures(folder / split / "images", sorted(images))
        depths = sorted(f"{image.removesuffix('.png')}_depth.png" for image in images)
        yield from _missing_pictures(folder / split / "depths", depths)


def _missing_pictures(folder: Path, names: list[str]) -> Iterator[str]:
    """One sentence when some of the named files are not in the folder."""
    present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    absent = [name for name in names if name not in present]
    if absent:
        more = ", ..." if len(absent) > _NAMED_AT_MOST else ""
        yield f"{folder} lacks {len(absent):,} pictures: {', '.join(absent[:_NAMED_AT_MOST])}{more}."


def main(arguments: list[str] | None = None, download: Download = snapshot_download) -> int:
    """Fetch a data set by name; 1 when something is missing in the end."""
    parser = argparse.ArgumentParser(prog="python -m datamodules.fetch", description=__doc__)
    parser.add_argument("--name", required=True, choices=sorted(DATASETS), help="which data set")
    parser.add_argument("--to", required=True, type=Path, help="the folder to put it in")
    options = parser.parse_args(arguments)
    try:
        missing = fetch(DATASETS[options.name], options.to, download)
    except DataError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for sentence in missing:
        print(f"Missing: {sentence}", file=sys.stderr)
    if not missing:
        print(f"{options.to} holds all of {options.name}.")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
