"""Copies of the project in which faults are planted."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.commands import ROOT
from tests.mutants.kept_list import Mutant


def copy_project(folder: Path) -> Path:
    """Copy what git knows or does not ignore into a folder, with the neighbours that tests look for."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    copy = folder / ROOT.name
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for original, link in ((ROOT / ".venv", copy / ".venv"), (ROOT.parent / "shared", folder / "shared")):
        if original.exists():
            link.symlink_to(original.resolve())
    # Each run imports hundreds of files, of which a fault changes one.
    compileall.compile_dir(str(copy), quiet=2, rx=None, maxlevels=20)
    return copy


@contextmanager
def planted(mutant: Mutant | None, copy: Path) -> Iterator[None]:
    """Have a copy hold a fault for a while; None plants nothing."""
    if mutant is None:
        yield
        return
    file = mutant.file(copy)
    text, times = file.read_text(), file.stat()
    file.write_text(mutant.planted(copy))
    # A compiled file is known by size and second: no second is so early.
    os.utime(file, (0, 0))
    try:
        yield
    finally:
        file.write_text(text)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
