"""What a file is that cannot be read: absent, empty, a pointer to another file, a web page."""

from __future__ import annotations

from pathlib import Path

_LOOKED_AT_BYTES = 512
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def why_not_readable(path: Path) -> str:
    """What stands in the place of a file's content, and what to do, as a sentence; "" where nothing tells."""
    if path.is_dir():
        return "It is a folder: name a file in it."
    if not path.exists():
        return "It does not exist: check its name."
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "It is empty: it was not written to its end, so write or fetch it again."
    if start.startswith(_POINTER):
        return (
            "It is a Git LFS pointer and not the file itself: run `git lfs pull` in its checkout, or "
            "download the file."
        )
    if start.startswith(_PAGES):
        return (
            "It is a web page, such as the login page of a network: open a browser and log in there, delete "
            "the file, and fetch it again."
        )
    return ""
