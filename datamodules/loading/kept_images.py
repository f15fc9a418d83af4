"""What a collator makes of an image, kept on disk: it is decoded and prepared once, not in every epoch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from datamodules.files.index_folders import user_cache_folder
from datamodules.samples import HasContent, KeptImage, Region, SmallSpatialError, SpatialSample

_DIGEST_BYTES = 16
_REGIONS = "digests of the regions"
"""The name of the tensor that says whose the others are, `[regions, 16]`."""


@runtime_checkable
class PreparesImages(Protocol):
    """A collator that makes tensors of each image by itself, whatever else is in the batch."""

    def preparation(self) -> str:
        """Everything beside an image and its regions that the tensors depend on."""
        ...

    def prepare(self, sample: SpatialSample, regions: Sequence[Region]) -> Mapping[str, torch.Tensor]:
        """The tensors of an image and some of its regions."""
        ...


class KeptImages:
    """The tensors of images in a folder of the user's cache, one file an image, which is mapped when read.

    A file is named after the image's and the depth's content and after the preparation, so that an image that
    was exchanged or a setting that was changed finds none. All regions that any question of the image names
    are in it. Where a file is damaged, or lacks a region, it is written anew; where none can be written, the
    tensors are made each time.

    Args:
        collator: makes the tensors.
        limit: how many bytes all files together may take. Those of other preparations are removed where
            little of that is left.
        writers: how many processes share what is left of the limit.
        folder: where the files are, in the user's cache when left out.
    """

    def __init__(
        self, collator: PreparesImages, limit: int, writers: int = 1, folder: Path | None = None
    ) -> None:
        self.collator = collator
        shelf = folder or user_cache_folder() / "prepared_images"
        self._folder = shelf / hashlib.sha256(collator.preparation().encode()).hexdigest()[:16]
        # Each process that loads images has a copy of this object, and so a share of its own.
        self._left = max(limit - _make_room(shelf, self._folder, limit // 2), 0) // writers

    def opened(
        self,
        samples: Sequence[SpatialSample],
        all_of_image: Callable[[], Sequence[SpatialSample]],
        decode: Callable[[Sequence[SpatialSample]], list[SpatialSample]],
    ) -> list[SpatialSample]:
        """Samples of one image with their image ready for the collator: kept, or decoded.

        Args:
            samples: questions about an image, not opened.
            all_of_image: gives all questions about it, whose regions are kept as well.
            decode: opens the images of samples.

        Raises:
            UnreadableImage: the image cannot be decoded.
        """
        key = _content(samples)
        if key is None:
            return decode(samples)
        file = self._folder / key[:2] / f"{key}.safetensors"
        image = _read(file, samples[0])
        if image is None or not all(region in image for region in _regions(samples)):
            try:
                everything = all_of_image()
                regions = _regions(everything)
                made = dict(self.collator.prepare(decode(everything)[0], regions))
            except SmallSpatialError:
                # What is wrong may be with a question that was not asked for.
                return decode(samples)
            made[_REGIONS] = torch.tensor([list(_digest(region)) for region in regions], dtype=torch.uint8)
            self._write(file, made)
            image = _Kept(samples[0], made)
        kept = image.as_source(_regions(samples))
        return [sample.replace(image=kept) for sample in samples]

    def _write(self, file: Path, made: Mapping[str, torch.Tensor]) -> None:
        """Keep tensors, where there is room for them."""
        content = save({name: tensor.contiguous() for name, tensor in made.items()})
        if len(content) > self._left:
            return
        unfinished = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Beside its place and renamed: other processes read and write the same.
            unfinished.write_bytes(content)
            unfinished.replace(file)
        except OSError as error:
            self._left = 0
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            warnings.warn(
                f"Prepared images cannot be kept in {self._folder} ({error.strerror}): each is prepared anew "
                "in every epoch, which takes longer.",
                stacklevel=2,
            )
        else:
            self._left -= len(content)


class _Kept:
    """The tensors of a file."""

    def __init__(self, sample: SpatialSample, made: Mapping[str, torch.Tensor]) -> None:
        self._sample = sample
        self._made = {name: tensor for name, tensor in made.items() if name != _REGIONS}
        self._places = {bytes(row): place for place, row in enumerate(made[_REGIONS].tolist())}

    def __contains__(self, region: Region) -> bool:
        return _digest(region) in self._places

    def as_source(self, regions: Sequence[Region]) -> KeptImage:
        """The image with the places of some regions."""
        assert self._sample.image is not None
        places = {region: self._places[_digest(region)] for region in regions}
        return KeptImage(self._sample.image, self._made, places)


def _read(file: Path, sample: SpatialSample) -> _Kept | None:
    """What a file holds; None where there is none, or it is damaged."""
    try:
        return _Kept(sample, load_file(file))
    except (OSError, SafetensorError, KeyError):
        return None


def _content(samples: Sequence[SpatialSample]) -> str | None:
    """A digest of the one image of samples, with depth and masks; None where it is not one or cannot tell."""
    first = samples[0]
    if first.image is None or any((s.image, s.depth) != (first.image, first.depth) for s in samples):
        return None
    sources = [source for source in (first.image, first.depth, first.shown) if source is not None]
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for source in sources:
        # Images that most views change, or that were made in memory, have no content to tell them by.
        content = source.content() if isinstance(source, HasContent) else None
        if content is None:
            return None
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _digest(region: Region) -> bytes:
    text = f"{region.height} {region.width} {region.counts}"
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _regions(samples: Sequence[SpatialSample]) -> tuple[Region, ...]:
    return tuple(dict.fromkeys(region for sample in samples for region in sample.regions))


def _make_room(shelf: Path, used: Path, least: int) -> int:
    """How many bytes the files of a folder take; those that are not used make room, the oldest first."""
    sizes = {folder: sum(map(_size, folder.rglob("*.*"))) for folder in shelf.glob("*")}
    for other in sorted(sizes, key=_age):
        if other != used and sum(sizes.values()) > least:
            shutil.rmtree(other, ignore_errors=True)
            del sizes[other]
    return sum(sizes.values())


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # removed by another process
        return 0


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
