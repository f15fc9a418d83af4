"""Who may import whom is one table, which CONTRIBUTING.md shows; and no machine's paths are written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP = ("experiments", "lightning_modules", "datamodules")
TEXT_FILES = ("*.py", "*.yaml", "*.md", "*.toml", "*.txt", "*.jinja", "Makefile", ".ci/run")


def dotted(file: Path) -> str:
    """A file's name as a module."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {dotted(file): file for top in TOP for file in (ROOT / top).rglob("*.py")}
FILES = {module: file for module, file in FILES.items() if module not in ("datamodules", "experiments")}
DATA_SETS = [
    f"datamodules.{name}"
    for name in ("ai_city_track3", "cv_bench", "omni_spatial", "space_thinker", "own_images", "mixture")
]


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """What is imported, in functions too, but not for the types alone."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in FILES else module
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        yield from imported(node.orelse if for_types else ast.iter_child_nodes(node))  # type: ignore[attr-defined]


IMPORTS = {
    module: {name for name in imported([ast.parse(file.read_text())]) if name.partition(".")[0] in TOP}
    for module, file in FILES.items()
}


def table() -> dict[str, set[str]]:
    """CONTRIBUTING.md's table: a file or package, and what of this project it may import beside itself."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("| Here | may import |\n")[2].partition("\n\n")[0]
    rows = [re.findall(r"`([\w.]+)`", line) for line in text.splitlines() if "`" in line]
    here = [re.findall(r"`([\w.]+)`", line.split("|")[1]) for line in text.splitlines() if "`" in line]
    return {name: set(row[len(names) :]) for row, names in zip(rows, here, strict=True) for name in names}


def place(module: str, places: Iterable[str]) -> str:
    """The row that a module belongs to: the longest that it begins with."""
    return max((name for name in places if f"{module}.".startswith(f"{name}.")), key=len, default="")


def files_of_the_project() -> Iterator[Path]:
    places = [ROOT / room for room in (*TOP, "tests", "benchmarks")]
    for pattern in TEXT_FILES:
        yield from ROOT.glob(pattern)
        for place in places:
            yield from place.rglob(pattern)


def may_import(allowed: set[str], there: str) -> bool:
    """Whether a row allows another one; `datamodules` stands for all of its rows."""
    return there in allowed or (there.startswith("datamodules.") and "datamodules" in allowed)


def test_whoever_imports_may_do_so() -> None:
    allowed = table()
    wrong = []
    for module, names in IMPORTS.items():
        here = place(module, allowed)
        assert here, f"{module} has no row in the table"
        for name in names:
            there = place(name, allowed)
            if there != here and not may_import(allowed[here], there):
                wrong.append(f"{module} imports {name}")
    assert not wrong


def test_every_row_of_the_table_is_there_and_needed() -> None:
    allowed = table()
    packages = {place(module, allowed) for module in FILES}
    assert packages == allowed.keys()
    for here, others in allowed.items():
        found = {
            place(name, allowed)
            for module in FILES
            if place(module, allowed) == here
            for name in IMPORTS[module]
        }
        if here not in DATA_SETS:  # they share a row
            assert all(any(may_import({other}, name) for name in found) for other in others), here


def test_nothing_goes_round_in_a_circle() -> None:
    """Neither among the files nor among the rows of the table."""
    rows: dict[str, set[str]] = {}
    allowed = table()
    for module, names in IMPORTS.items():
        here = place(module, allowed)
        rows.setdefault(here, set()).update({place(name, allowed) for name in names} - {here})
    for graph in (IMPORTS, rows):
        TopologicalSorter({module: names - {module} for module, names in graph.items()}).prepare()


def test_a_forbidden_import_and_a_circle_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IMPORTS, "datamodules.samples", {"datamodules.base"})
    with pytest.raises(AssertionError, match=r"datamodules\.samples imports datamodules\.base"):
        test_whoever_imports_may_do_so()
    with pytest.raises(CycleError):
        test_nothing_goes_round_in_a_circle()
    code = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c import d\n"
    assert list(imported([ast.parse(code)])) == ["b", "c"]


def test_the_walks_name_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    walks = text.partition("## Two walks\n")[2].partition("\n## ")[0].split("\n\nWhere ")
    assert len(walks) == 2
    for walk in walks:
        steps = re.findall(r"(?m)^\d\. `([\w/]+\.py)`, `([\w.]+)`", walk)
        assert 4 <= len(steps) <= 6
        for name, thing in steps:
            scope: list[ast.stmt] = ast.parse((ROOT / name).read_text()).body
            for part in thing.split("."):
                found = [node for node in scope if getattr(node, "name", None) == part]
                assert found, f"{name} has no {thing}"
                scope = getattr(found[0], "body", [])


def test_no_path_of_a_machine_is_written_down() -> None:
    machine = re.compile(
        "|".join(["/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "/ro" + "ot/", "/m" + "nt/"])
    )
    for file in files_of_the_project():
        found = machine.search(file.read_text())
        assert not found, f"{file.relative_to(ROOT)} holds {found and found[0]!r}"
