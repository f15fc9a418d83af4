"""What tells a model from another one: a digest of its files that reads little of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

NO_WEIGHTS = "random weights"
"""The origin of what is not pretrained."""

ELSEWHERE = "elsewhere"
"""Stands for the digest of what is not on this machine."""

PIECE_BYTES = 4096
PIECES = 1024
"""Of a file that is not safetensors so many pieces are read, evenly spread: all of a file of up to 4 MB."""

_WEIGHTS = "*.safetensors"
_OTHERS = ("*.json", "*.jinja", "*.model", "*.bin", "*.pth", "*.pt", "*.gguf", "vocab.txt", "merges.txt")


def model_digest(folder: Path) -> str:
    """The SHA-256 over a model's files: names, sizes, safetensors headers and the first 4 KB of each tensor.

    Of 15 GB some MB are read. A copy in another folder has the same digest, and another seed of the same
    architecture has another one. Only files that belong to a model count, in the folder itself.
    """
    digest = hashlib.sha256()
    files = {file for pattern in (_WEIGHTS, *_OTHERS) for file in folder.glob(pattern) if file.is_file()}
    for file in sorted(files, key=lambda file: file.name):
        if not file.name.startswith("."):
            digest.update(f"{file.name}\0{file_digest(file)}\0".encode())
    return digest.hexdigest()


def file_digest(file: Path) -> str:
    """The SHA-256 over a file's size and a part of its content."""
    digest = hashlib.sha256(str(file.stat().st_size).encode())
    with file.open("rb") as opened:
        if file.suffix == ".safetensors":
            _add_tensors(digest, opened)
        else:
            step = max(PIECE_BYTES, file.stat().st_size // PIECES)
            for start in range(0, file.stat().st_size, step):
                opened.seek(start)
                digest.update(opened.read(PIECE_BYTES))
    return digest.hexdigest()


def _add_tensors(digest: Any, opened: Any) -> None:
    """Add the header of a safetensors file and the beginning of each tensor."""
    length = int.from_bytes(opened.read(8), "little")
    header = opened.read(length)
    digest.update(header)
    for name, entry in sorted(json.loads(header).items()):
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            opened.seek(8 + length + start)
            digest.update(opened.read(min(PIECE_BYTES, stop - start)))


def digest_of(path: str | None) -> str | None:
    """The SHA-256 of a whole file, or of the names and contents of all of a folder's files.

    `ELSEWHERE` for what is not on this machine, and None for nothing.
    """
    if path is None:
        return None
    there = Path(path)
    if not there.exists():
        return ELSEWHERE
    digest = hashlib.sha256()
    for file in [there] if there.is_file() else sorted(there.rglob("*")):
        if file.is_file():
            digest.update(b"" if file == there else file.relative_to(there).as_posix().encode() + b"\0")
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
