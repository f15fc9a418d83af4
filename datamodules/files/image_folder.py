"""Images in a folder, found by names that were written on any machine."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from PIL import Image

from datamodules.images.upright import upright_size
from datamodules.samples import UNDECODABLE, DataError, MissingImage, UnreadableImage


@dataclass
class ImageFolder:
    """A folder of images, of which each is looked at once.

    Attributes:
        path: the folder.
        outside: whether images may lie outside of it.
    """

    path: Path
    outside: bool = False
    _sizes: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def find(self, name: str, where: str) -> Path:
        """The file of an image.

        Separators may be those of Windows. A name that is written in other capitals, or with accents that are
        composed in another way, is taken for the only file that it can mean.

        Args:
            name: the image's path from the folder.
            where: who asks, for messages.

        Raises:
            DataError: the path leaves the folder, also by a link.
            MissingImage: there is no such file.
        """
        written = PureWindowsPath(name)
        path = PurePosixPath(written.as_posix())
        if not self.outside and (written.anchor or ".." in written.parts):
            raise self._left(name, where)
        try:
            found = self._exactly(path) or self._alike(path)
        except OSError:  # a whole sentence in place of a name is too long to be looked for
            found = None
        if found is None or not found.is_file():
            raise MissingImage(
                f"{where} names the image {name!r}, which does not exist in {self.path}. Correct its name, "
                "or remove the row."
            )
        if not self.outside and not found.resolve().is_relative_to(self.path.resolve()):
            raise self._left(name, where)
        return found

    def size(self, file: Path, where: str) -> tuple[int, int]:
        """Width and height of an image as it is shown, in pixels; raises `UnreadableImage`."""
        if file not in self._sizes:
            try:
                with Image.open(file) as image:
                    self._sizes[file] = upright_size(image)
            except UNDECODABLE as error:
                raise UnreadableImage(
                    f"The image {file} cannot be read: save it as JPEG, PNG or WebP, or leave it out. "
                    f"{where} needs it."
                ) from error
        return self._sizes[file]

    def _exactly(self, path: PurePosixPath) -> Path | None:
        file = self.path / path
        return file if file.is_file() else None

    def _left(self, name: str, where: str) -> DataError:
        return DataError(
            f"{where} names the image {name!r}, which lies outside of {self.path}. Move it into the "
            "folder, or allow it with --data.outside true."
        )

    def _alike(self, path: PurePosixPath) -> Path | None:
        """The only file whose name looks like this one, folder by folder."""
        place = self.path
        for part in path.parts:
            if not (place / part).exists():
                same = [entry for entry in _entries(place) if _looks(entry.name) == _looks(part)]
                if len(same) != 1:
                    return None
                place = same[0]
            else:
                place = place / part
        return place


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _looks(name: str) -> str:
    """What two names have in common that people take for the same one."""
    return unicodedata.normalize("NFC", name).casefold()
