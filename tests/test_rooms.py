"""The three rooms know each other in one direction only, and no machine's paths are written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("experiments", "lightning_modules", "datamodules")
MAY_IMPORT = {
    "experiments": {"experiments", "lightning_modules", "datamodules"},
    "lightning_modules": {"lightning_modules", "datamodules.samples"},
    "datamodules": {"datamodules"},
}
TEXT_FILES = ("*.py", "*.yaml", "*.md", "*.toml", "*.txt", "*.jinja", "Makefile", ".ci/run")


def imports(file: Path) -> Iterator[str]:
    """The modules a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            yield node.module or ""


def files_of_the_project() -> Iterator[Path]:
    places = [ROOT / room for room in (*ROOMS, "tests", "benchmarks")]
    for pattern in TEXT_FILES:
        yield from ROOT.glob(pattern)
        for place in places:
            yield from place.rglob(pattern)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        for module in imports(file):
            if module.partition(".")[0] in (*ROOMS, "tests"):
                allowed = any(
                    module == name or (name in ROOMS and module.startswith(f"{name}."))
                    for name in MAY_IMPORT[room]
                )
                assert allowed, f"{file.relative_to(ROOT)} imports {module}"


def test_no_path_of_a_machine_is_written_down() -> None:
    machine = re.compile(
        "|".join(["/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "/ro" + "ot/", "/m" + "nt/"])
    )
    for file in files_of_the_project():
        found = machine.search(file.read_text())
        assert not found, f"{file.relative_to(ROOT)} holds {found and found[0]!r}"
