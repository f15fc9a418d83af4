"""Fetches a benchmark from the hub with the user's own token, unpacks it, and checks that it is whole.

python -m datamodules.fetch --name ai_city_track3 --to /folder

Interrupted at any point, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalTokenNotFoundError, RepositoryNotFoundError

from datamodules.archives import UNPACKED
from datamodules.hub_datasets import DATASETS, HubDataset
from datamodules.index_folders import user_cache_folder
from datamodules.samples import DataError

Download = Callable[..., object]
"""Called as `huggingface_hub.snapshot_download` is, with `repo_id, repo_type, local_dir, allow_patterns,
ignore_patterns`."""

_WHOLE = ".whole"


def fetch(dataset: HubDataset, folder: Path, download: Download = snapshot_download) -> list[str]:
    """Download, unpack and check a data set.

    An archive is removed once it is unpacked, and a marker beside it keeps it from being fetched again.

    Returns:
        Sentences that name what is missing or different; empty for a whole copy.

    Raises:
        DataError: the hub refuses, the download breaks off, an archive is damaged, the disk is too small, or
            a file cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = [str(marker.relative_to(folder))[: -len(UNPACKED)] for marker in folder.rglob(f"*{UNPACKED}")]
    try:
        download(
            repo_id=dataset.repository,
            repo_type="dataset",
            local_dir=str(folder),
            allow_patterns=list(dataset.files) or None,
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
    for pattern, unpack in dataset.archives.items():
        for archive in sorted(folder.rglob(pattern)):
            unpack(archive)
    return list(dataset.missing_parts(folder))


def fetched(name: str, download: Download = snapshot_download) -> Path:
    """The folder of a data set in the user's cache, which is fetched there unless it is already whole.

    Raises:
        DataError: it cannot be fetched (see `fetch`), or what was fetched is not whole.
    """
    folder = user_cache_folder() / "hub" / name
    if not (folder / _WHOLE).is_file():
        if missing := fetch(DATASETS[name], folder, download):
            raise DataError(
                f"The copy of {name} in {folder} is not whole: {' '.join(missing)} Fetch it with "
                f"`make data NAME={name} TO=/folder`, look at it there, and name that folder as `root`."
            )
        (folder / _WHOLE).touch()
    return folder


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
