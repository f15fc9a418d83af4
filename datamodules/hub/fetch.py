"""Fetching a data set from the hub with the user's own token, unpacking it, and checking that it is whole.

Interrupted at any point, the same call goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download

from datamodules.errors.hub_errors import why_not_fetched
from datamodules.files.archives import UNPACKED
from datamodules.files.index_folders import user_cache_folder
from datamodules.hub.whole_copies import COPY, HubDataset
from datamodules.samples import DataError

Download = Callable[..., object]
"""Called as `huggingface_hub.snapshot_download` is, with `repo_id, repo_type, local_dir, allow_patterns,
ignore_patterns`."""

_WHOLE = ".whole"
_COMMIT = ".commit"
_USUAL_HUB = "https://huggingface.co"


def download_commit(repo_id: str, repo_type: str, local_dir: str, **patterns: Any) -> None:
    """Download the newest commit, and note in the folder which one it is.

    `snapshot_download` alone returns what is there where the hub does not answer; this raises then.
    """
    commit = HfApi().repo_info(repo_id, repo_type=repo_type).sha
    snapshot_download(repo_id=repo_id, repo_type=repo_type, revision=commit, local_dir=local_dir, **patterns)
    (Path(local_dir) / _COMMIT).write_text(f"{commit}\n")


def fetch(dataset: HubDataset, folder: Path, download: Download = download_commit) -> list[str]:
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
            allow_patterns=[*dataset.files, COPY] if dataset.files else None,
            ignore_patterns=done,
        )
    except Exception as error:
        # The hub's own errors have no base in common.
        reason = why_not_fetched(error, "dataset", dataset.repository)
        if reason is None and not isinstance(error, OSError):
            raise
        if reason is None:
            reason = (
                f"The download of {dataset.repository} broke off: {error}. Run the same command again to go "
                "on."
            )
        raise DataError(reason) from error
    for pattern, unpack in dataset.archives.items():
        for archive in sorted(folder.rglob(pattern)):
            unpack(archive)
    return list(dataset.missing_parts(folder))


def fetched(dataset: HubDataset, download: Download = download_commit) -> Path:
    """The folder of a data set in the user's cache, which is fetched there unless it is already whole.

    What comes from another hub (HF_ENDPOINT) has a folder of its own.

    Raises:
        DataError: it cannot be fetched (see `fetch`), or what was fetched is not whole.
    """
    folder = user_cache_folder() / "hub" / f"{dataset.name}{_of_hub(constants.ENDPOINT)}"
    if not (folder / _WHOLE).is_file():
        if missing := fetch(dataset, folder, download):
            raise DataError(
                f"The copy of {dataset.name} in {folder} is not whole: {' '.join(missing)} Fetch it with "
                f"`make data NAME={dataset.name} TO=/folder`, look at it there, and name that folder as "
                "`root`."
            )
        (folder / _WHOLE).touch()
    return folder


def fetched_commit(folder: Path) -> str | None:
    """The commit that a folder was fetched from; None where that was not noted."""
    note = folder / _COMMIT
    return note.read_text().strip() if note.is_file() else None


def _of_hub(endpoint: str) -> str:
    """What tells the copies from other hubs than the usual one."""
    if endpoint == _USUAL_HUB:
        return ""
    return f"-{hashlib.sha256(endpoint.encode()).hexdigest()[:12]}"
