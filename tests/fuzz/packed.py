"""Archives of the hub, caches of teacher outputs and checkpoints: what is unpacked and what is opened."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from datamodules.files.archives import unpack_folder, unpack_images
from lightning_modules.checkpoints import read_checkpoint
from lightning_modules.distillation.teachers.cache_files import (
    MANIFEST,
    CacheWriter,
    StoredOutput,
    TeacherCache,
)
from lightning_modules.distillation.teachers.manifest import Fingerprint, Manifest, StoredMaps
from tests.fuzz.mutations import mutated_bytes, mutated_json
from tests.fuzz.trials import Target
from tests.fuzz.watching import STRANGER
from tests.helpers.parquet_files import encoded

NAMES = (
    *(
        "data.json",
        "a/data.json",
        "a/0.png",
        "0.png",
        "A/0.PNG",
        "a/b/c/0.png",
        "a/0.png/x.png",
        ".hidden.png",
    ),
    *(
        "../0.png",
        "../../outside/secret.png",
        "/tmp/0.png",
        "..\\0.png",
        "C:\\0.png",
        "a/../../0.png",
        "link/0.png",
    ),
    *(
        "link",
        "link.png",
        "",
        ".",
        "..",
        "a/",
        "a" * 300 + ".png",
        "\0.png",
        "\udcff.png",
        "0.png.unpacked",
        "con.png",
        "é.png",
        "é.png",
    ),
)
KINDS = (
    tarfile.REGTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
    tarfile.DIRTYPE,
)
TARGETS_OF_LINKS = (
    "../outside",
    "/etc/passwd",
    "a/0.png",
    "0.png",
    ".",
    "../../outside/secret.png",
    "data.json",
)

MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(KINDS),
        st.sampled_from(TARGETS_OF_LINKS),
        st.sampled_from([b"", b"[]", encoded(0), b"\0" * 200_000]),
        st.sampled_from([0o644, 0o777, 0o000, 0o4755]),
    ),
    max_size=6,
)
"""Names, kinds, where they lead if they are links, contents and modes."""


def tar(members: Sequence[Any]) -> bytes:
    """A packed tar with such members."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz", compresslevel=1) as archive:
        for name, kind, leads_to, content, mode in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, leads_to, mode
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            try:
                archive.addfile(member, io.BytesIO(content))
            except (ValueError, UnicodeError):
                continue  # a name that no archive can hold
    return written.getvalue()


def packed(members: Sequence[Any]) -> bytes:
    """A zip with such members, links among them as they are in a zip."""
    written = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # names that occur twice
        for name, kind, leads_to, content, mode in members:
            member = zipfile.ZipInfo(name or "x")
            link = kind == tarfile.SYMTYPE
            member.external_attr = ((0o120000 if link else 0o100000) | mode) << 16
            try:
                archive.writestr(member, leads_to if link else content, zipfile.ZIP_DEFLATED)
            except (ValueError, UnicodeError):
                continue
    return written.getvalue()


def bomb(said: int, content: bytes) -> bytes:
    """A zip whose directory says another size of its member than it has."""
    whole = bytearray(packed([("data.json", tarfile.REGTYPE, "", content, 0o644)]))
    place = whole.rindex(b"PK\x01\x02")
    whole[place + 24 : place + 28] = struct.pack("<I", said)
    return bytes(whole)


PLAIN = (
    ("a/data.json", tarfile.REGTYPE, "", b"[]", 0o644),
    ("a/0.png", tarfile.REGTYPE, "", encoded(0), 0o644),
)
ZIPS = [packed(PLAIN), bomb(2**32 - 2, b"[]"), bomb(10, b"\0" * 10**6)]


def _unpack(unpack: Callable[[Path], None], name: str, content: bytes, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        archive = Path(place, "inside", name)
        archive.parent.mkdir()
        archive.write_bytes(content)
        beside = set(Path(place).iterdir())
        try:
            unpack(archive)
        finally:
            left = [path for path in archive.parent.rglob("*") if path.is_symlink()]
            assert set(Path(place).iterdir()) == beside and not left, f"left behind: {left}"


class Strange:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return __import__, (STRANGER,)


def saved(value: Any, **options: Any) -> bytes:
    """A file of torch."""
    written = io.BytesIO()
    torch.save(value, written, **options)
    return written.getvalue()


CHECKPOINT = {"state_dict": {"a": torch.ones(3), "b": torch.zeros(2, 2)}, "global_step": 3, "epoch": 1}
CHECKPOINTS = [
    saved(CHECKPOINT),
    saved(CHECKPOINT, _use_new_zipfile_serialization=False),
    saved({**CHECKPOINT, "more": Strange()}),
    saved({**CHECKPOINT, "more": Strange()}, _use_new_zipfile_serialization=False),
    pickle.dumps(Strange()),
    pickle.dumps({"state_dict": {}}),
    saved([1, 2]),
]

FINGERPRINT = Fingerprint(
    *("a" * 40, False, None, None, None, None, False, None, 4, 1.0, False, "b" * 64, 2, ": ")
)
WITH_MAPS = StoredMaps(2, "all", "image", (0, 1))


def manifest() -> Manifest:
    """That of a small cache."""
    return Manifest(FINGERPRINT, "qwen2_5_vl", 2, True, 16, None, WITH_MAPS)


def small_cache(folder: Path) -> None:
    """Outputs of a teacher, in a folder within the folder."""
    writer = CacheWriter(folder / "cache_of_teacher", manifest(), outputs_in_part=2)
    for number in range(3):
        targets = torch.arange(number + 1)
        likeliest = torch.zeros(number + 1, 4)
        maps = torch.ones(2, 1, 2, 2)
        stored = StoredOutput(number, targets, likeliest, likeliest.long(), likeliest[:, 0], maps)
        writer.add([(f"{number:032x}", stored)])
    writer.finish()


def _cache_file(name: str, content: bytes, folder: Path) -> None:
    file = folder / "cache_of_teacher" / name
    whole = file.read_bytes()
    try:
        file.write_bytes(content)
        cache = TeacherCache(file.parent)
        for key in cache._places:
            cache[key]
        list(cache.tail_masses())
    finally:
        file.write_bytes(whole)


@cache
def _part() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        small_cache(Path(place))
        return (Path(place) / "cache_of_teacher" / "part-00000.safetensors").read_bytes()


def _with_header(header: bytes) -> bytes:
    """The file of teacher outputs with another header."""
    whole = _part()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    return struct.pack("<Q", len(header)) + header + whole[start:]


def _header() -> Any:
    whole = _part()
    return json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]].decode())


def _checkpoint(content: bytes, folder: Path) -> None:
    file = folder / "last.ckpt"
    file.write_bytes(content)
    read_checkpoint(file)


TARGETS = (
    Target(
        "archives, tar",
        st.one_of(MEMBERS.map(tar), mutated_bytes([tar(PLAIN)])),
        partial(_unpack, unpack_images, "chunk_0.tar.gz"),
    ),
    Target(
        "archives, zip",
        st.one_of(MEMBERS.map(packed), mutated_bytes(ZIPS)),
        partial(_unpack, unpack_folder, "OmniSpatial-test.zip"),
    ),
    Target(
        "teacher cache, manifest",
        mutated_json(json.loads(manifest().to_json())),
        partial(_cache_file, MANIFEST),
        small_cache,
    ),
    Target(
        "teacher cache, outputs",
        st.one_of(mutated_bytes([_part()]), mutated_json(_header()).map(_with_header)),
        partial(_cache_file, "part-00000.safetensors"),
        small_cache,
    ),
    Target("checkpoints", mutated_bytes(CHECKPOINTS), _checkpoint, cost=2),
)
"""All of them."""
