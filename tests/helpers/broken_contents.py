"""What a failed download leaves in place of a file."""

from __future__ import annotations

PAGE = b"<!DOCTYPE html><html><body>Log in to this network</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
INSTEAD = {"empty": b"", "web page": PAGE, "Git LFS pointer": POINTER}
