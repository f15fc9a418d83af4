"""Unpacking a data set's archives beside themselves, safely, and only where there is room."""

from __future__ import annotations

import lzma
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from datamodules.samples import DataError

UNPACKED = ".unpacked"
"""The ending of the marker that an unpacked archive leaves behind, so that it is not fetched again."""

_GIGABYTE = 1e9

_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError),
    # Links to what is not there, empty names, numbers that are none, zips in a cipher or an unknown packing.
    *(KeyError, IndexError, ValueError, RuntimeError, struct.error),
)
"""What tarfile and zipfile raise where an archive is not as it should be."""


def unpack_images(archive: Path) -> None:
    """Put the PNG files of a `.tar.gz` beside it, whatever folders they have inside, and remove the archive.

    They are unpacked into a temporary folder first, with tarfile's `data` filter, so nothing can be written
    elsewhere. Links stay there: what leads to a place within that folder leads elsewhere from another one.

    Raises:
        DataError: the archive is damaged or unsafe, or there is no room for its content.
    """

    left = shutil.disk_usage(archive.parent).free

    def within_room(member: tarfile.TarInfo, place: str) -> tarfile.TarInfo | None:
        nonlocal left
        left -= member.size
        if left < 0:
            raise DataError(
                f"The archive {archive} holds more than there is room for. Is it one of this data set?"
            )
        return tarfile.data_filter(member, place)

    def extract(temporary: Path) -> None:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(temporary, filter=within_room)

    def put_in_place(temporary: Path) -> None:
        for image in temporary.rglob("*.png"):
            if image.is_file() and not image.is_symlink():
                image.replace(archive.parent / image.name)

    # PNG files do not shrink by packing.
    _unpack(archive, archive.stat().st_size * 1.1, extract, put_in_place)


def unpack_folder(archive: Path) -> None:
    """Unpack a `.zip` with a data set into a folder of the archive's name, and remove the archive.

    The folder holds what lies beside the archive's `data.json`, whether that has a folder inside or not.

    Raises:
        DataError: the archive is damaged or holds no `data.json`, or there is no room for its content.
    """

    def extract(temporary: Path) -> None:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(temporary)

    def put_in_place(temporary: Path) -> None:
        records = next((file for file in sorted(temporary.rglob("data.json")) if file.is_file()), None)
        if records is None:
            raise DataError(f"The archive {archive} holds no data.json. Is it one of this data set?")
        target = archive.with_suffix("")
        shutil.rmtree(target, ignore_errors=True)
        records.parent.rename(target)

    _unpack(archive, _unpacked_bytes(archive), extract, put_in_place)


def _unpack(
    archive: Path,
    needed_bytes: float,
    extract: Callable[[Path], None],
    put_in_place: Callable[[Path], None],
) -> None:
    """Extract into a temporary folder, put the files in place, leave the marker and remove the archive."""
    free = shutil.disk_usage(archive.parent).free
    if free < needed_bytes:
        raise DataError(
            f"Unpacking {archive} needs about {needed_bytes / _GIGABYTE:.1f} GB, but only "
            f"{free / _GIGABYTE:.1f} GB are free. Make room and run the same command again."
        )
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpacking-") as temporary:
        content = Path(temporary) / "content"
        content.mkdir()
        try:
            extract(content)
        except tarfile.FilterError as error:
            raise DataError(f"The archive {archive} is not safe to unpack: {error}.") from error
        except _DAMAGED as error:
            raise _damaged(archive, error) from error
        put_in_place(content)
    archive.with_name(archive.name + UNPACKED).touch()
    archive.unlink()


def _unpacked_bytes(archive: Path) -> int:
    try:
        with zipfile.ZipFile(archive) as packed:
            return sum(member.file_size for member in packed.infolist())
    except _DAMAGED as error:
        raise _damaged(archive, error) from error


def _damaged(archive: Path, error: Exception) -> DataError:
    return DataError(
        f"The archive {archive} cannot be unpacked: {error}. Remove it and run the same command again."
    )
