"""A teacher's outputs in a folder: safetensors and JSON, read one by one, never half written.

The folder holds `manifest.json` (which teacher outputs these are), parts of some hundred teacher outputs
each, and, once all teacher outputs are there, `complete.json`. A part is written under another name and
renamed, so that a writing that was interrupted goes on behind the last whole part.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lightning_modules.distillation.teachers.manifest import CacheError, Manifest, require_same

MANIFEST = "manifest.json"
COMPLETE = "complete.json"
OUTPUTS_IN_PART = 256


@dataclass(frozen=True)
class StoredOutput:
    """What a teacher says of one sample.

    Attributes:
        prompt: a fingerprint of the prompt's tokens as the student read them.
        targets: the tokens of the answer, `[positions]`.
        values: log-probabilities of the k likeliest tokens, `[positions, k]`.
        indices: which classes these are, `[positions, k]`.
        tail: logarithm of the tail mass, `[positions]`.
        maps: pooled attention, `[layers, heads, rows, columns]`; None where it was not kept.
    """

    prompt: int
    targets: Tensor
    values: Tensor
    indices: Tensor
    tail: Tensor
    maps: Tensor | None = None


@dataclass(frozen=True)
class CacheSummary:
    """What a cache amounts to.

    Attributes:
        teacher outputs: how many samples there are.
        megabytes: what they take on the disk.
        tail_mass: probability outside of the likeliest tokens, the mean over positions, 0 to 1.
    """

    outputs: int
    megabytes: float
    tail_mass: float


class TeacherCache:
    """Reads teacher outputs; pickles and survives forks, since each process opens its files itself.

    Args:
        folder: where the teacher outputs are.

    Attributes:
        manifest: which teacher outputs these are.

    Raises:
        CacheError: there is no cache, or its files are damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)
        self._places: dict[str, tuple[int, int]] = {}
        self._opened: dict[int, Any] = {}
        self._process = os.getpid()
        for number in range(len(_parts(self.folder))):
            with self._readable(number) as part:
                keys = part.get_tensor("keys").numpy()
                self._places |= {row.tobytes().hex(): (number, place) for place, row in enumerate(keys)}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> StoredOutput:
        """A teacher output by its key; raises `KeyError` where there is none."""
        number, place = self._places[key]
        with self._readable(number) as part:
            start, stop = part.get_slice("starts")[place : place + 2].tolist()
            columns = {
                name: part.get_slice(name)[start:stop] for name in ("targets", "values", "indices", "tail")
            }
            prompt = int(part.get_slice("prompts")[place : place + 1])
            return StoredOutput(prompt, **columns, maps=self._maps(part, place))

    def __getstate__(self) -> dict[str, Any]:
        """Without open files, which other processes cannot use."""
        return {**self.__dict__, "_opened": {}}

    def tail_masses(self) -> Iterator[Tensor]:
        """The probability outside of the likeliest tokens at every position, part by part."""
        for number in range(len(_parts(self.folder))):
            with self._readable(number) as part:
                tail = part.get_tensor("tail").exp()
            yield tail

    @contextmanager
    def _readable(self, number: int) -> Iterator[Any]:
        """A part that is read here; raises `CacheError` where it is not what `CacheWriter` writes."""
        path = self.folder / _part_name(number)
        try:
            yield self._part(path, number)
        except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
            raise CacheError(
                f"The teacher outputs in {path} cannot be read ({error}). Delete {self.folder} and write "
                "them again with `make cache-teacher NAME=...`."
            ) from error

    def _part(self, path: Path, number: int) -> Any:
        if self._process != os.getpid():
            self._opened, self._process = {}, os.getpid()
        if number not in self._opened:
            self._opened[number] = safe_open(path, framework="pt")
        return self._opened[number]

    def _maps(self, part: Any, place: int) -> Tensor | None:
        if self.manifest.maps is None:
            return None
        start, stop = part.get_slice("map_starts")[place : place + 2].tolist()
        shape = part.get_slice("map_shapes")[place : place + 1].tolist()[0]
        if start == stop:
            return torch.zeros(shape, dtype=torch.float16)
        return part.get_slice("maps")[start:stop].view(shape)


class CacheWriter:
    """Writes teacher outputs, or goes on writing those that are missing.

    Args:
        folder: where to.
        manifest: which teacher outputs they are.
        outputs_in_part: how many of them are written at once.

    Raises:
        CacheError: the folder holds other teacher outputs, or something else.
    """

    def __init__(
        self, folder: Path | str, manifest: Manifest, outputs_in_part: int = OUTPUTS_IN_PART
    ) -> None:
        self.folder = Path(folder)
        self.outputs_in_part = outputs_in_part
        self._require_ours(manifest)
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".*.new"):
            leftover.unlink()
        if not (self.folder / MANIFEST).exists():
            _write_whole(self.folder / MANIFEST, manifest.to_json())
        (self.folder / COMPLETE).unlink(missing_ok=True)
        self._there = TeacherCache(self.folder)
        self._waiting: dict[str, StoredOutput] = {}
        self._next = len(_parts(self.folder))
        self._new: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Whether a teacher output is there already, or waits to be written."""
        return key in self._there or key in self._new

    def __len__(self) -> int:
        return len(self._there) + len(self._new)

    def add(self, outputs: Iterable[tuple[str, StoredOutput]]) -> None:
        """Add teacher outputs with their keys; those that are there already are left as they are."""
        for key, output in outputs:
            if key in self:
                continue
            self._waiting[key] = output
            self._new.add(key)
            if len(self._waiting) == self.outputs_in_part:
                self._write_part()

    def finish(self) -> CacheSummary:
        """Write what still waits, and note that all teacher outputs are there."""
        if self._waiting:
            self._write_part()
        cache = TeacherCache(self.folder)
        masses = [(float(part.double().sum()), len(part)) for part in cache.tail_masses()]
        positions = sum(count for _, count in masses)
        summary = CacheSummary(
            len(cache),
            sum(path.stat().st_size for path in _parts(self.folder)) / 1e6,
            sum(mass for mass, _ in masses) / positions if positions else math.nan,
        )
        _write_whole(self.folder / COMPLETE, json.dumps(asdict(summary)) + "\n")
        return summary

    def _require_ours(self, manifest: Manifest) -> None:
        if not (self.folder / MANIFEST).exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise CacheError(
                    f"{self.folder} holds other files and no teacher outputs: name another folder as "
                    "teacher.cache."
                )
            return
        there = _read_manifest(self.folder)
        require_same(self.folder, there.fingerprint, manifest.fingerprint)
        if there != manifest:
            what = "attention maps" if there.maps != manifest.maps else "classes"
            raise CacheError(
                f"{self.folder} holds teacher outputs with other {what} than those that shall be written. "
                "Delete it, or name another folder as teacher.cache."
            )

    def _write_part(self) -> None:
        outputs = list(self._waiting.values())
        tensors = {
            "keys": torch.tensor([list(bytes.fromhex(key)) for key in self._waiting], dtype=torch.uint8),
            "prompts": torch.tensor([output.prompt for output in outputs]),
            "starts": _starts([len(output.targets) for output in outputs]),
            "targets": torch.cat([output.targets for output in outputs]).int(),
            "values": torch.cat([output.values for output in outputs]).half(),
            "indices": torch.cat([output.indices for output in outputs]).int(),
            "tail": torch.cat([output.tail for output in outputs]).float(),
        }
        maps = [output.maps for output in outputs if output.maps is not None]
        if maps:
            tensors["maps"] = torch.cat([each.flatten() for each in maps]).half()
            tensors["map_starts"] = _starts([each.numel() for each in maps])
            tensors["map_shapes"] = torch.tensor([list(each.shape) for each in maps])
        path = self.folder / _part_name(self._next)
        with _written_beside(path) as temporary, temporary.open("wb") as file:
            file.write(save(tensors))
            os.fsync(file.fileno())
        self._waiting = {}
        self._next += 1


def is_complete(folder: Path | str) -> bool:
    """Whether there are teacher outputs in a folder, and all that were to be written."""
    return all((Path(folder) / name).exists() for name in (MANIFEST, COMPLETE))


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.exists():
        raise CacheError(
            f"There are no teacher outputs in {folder}. Write them with `make cache-teacher NAME=...`, "
            "or leave teacher.cache out to train with the teacher in memory."
        )
    try:
        return Manifest.from_json(path.read_text())
    except UnicodeDecodeError as error:
        raise CacheError(
            f"The file {path} is no UTF-8 text. Delete {folder} and write the teacher outputs again with "
            "`make cache-teacher NAME=...`."
        ) from error
    except CacheError as error:
        raise CacheError(
            f"The file {path} {error}. Delete {folder} and write the teacher outputs again with "
            "`make cache-teacher NAME=...`."
        ) from error


def _parts(folder: Path) -> list[Path]:
    """The whole parts, in order."""
    return sorted(folder.glob("part-*.safetensors"))


def _part_name(number: int) -> str:
    return f"part-{number:05d}.safetensors"


def _starts(sizes: list[int]) -> Tensor:
    """Where each of several pieces begins that lie behind each other, and where the last one ends."""
    return torch.tensor([0, *sizes]).cumsum(0)


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or nothing."""
    with _written_beside(path) as temporary:
        temporary.write_text(text)


@contextmanager
def _written_beside(path: Path) -> Iterator[Path]:
    """A place for a file's content, which takes its name once it is whole, and is removed where it is not."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
