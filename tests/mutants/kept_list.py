"""The kept list of mutants: what each changes, what that would break, and which tests should tell.

Each file `tests/mutants/PACKAGE.yaml` holds those of one package.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datamodules.errors.nearest_names import did_you_mean
from datamodules.samples import SmallSpatialError

LIST = Path(__file__).parent
BY_HAND = "hand"


class MutantError(SmallSpatialError):
    """The list of mutants does not fit the code."""


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: what is wrong, in a few words; unique.
        package: the file of the list that holds it.
        place: `module:qualified.name` of a function, a class or a constant; or a file.
        old: text that occurs there once.
        new: what stands there instead.
        breaks: what somebody would get wrong by it.
        tests: the test files, or tests in them, that should tell.
        proposed_by: `hand`, or the library that proposed it.
        excused: why no test tells, where that is known and accepted.
    """

    name: str
    package: str
    place: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]
    proposed_by: str = BY_HAND
    excused: str = ""

    def file(self, root: Path) -> Path:
        """Where in a copy of the project the fault lies."""
        module = self.place.partition(":")[0]
        if "/" in module:
            return root / module
        file = root / module.replace(".", "/")
        return file / "__init__.py" if file.is_dir() else file.with_suffix(".py")

    def planted(self, root: Path) -> str:
        """The whole text of its file with the fault in it.

        Raises:
            MutantError: the place or the old text is gone, or the old text stands there more than once.
        """
        file = self.file(root)
        if not file.is_file():
            raise MutantError(f"{self}: there is no {file.name} at {self.place}. Mend the list.")
        text = file.read_text()
        start, end = self._place_in(text)
        count = text.count(self.old, start, end)
        if count != 1:
            raise MutantError(
                f"{self}: its old text occurs {count} times in {self.place}, and not once. Mend the list."
            )
        at = text.index(self.old, start, end)
        planted = text[:at] + self.new + text[at + len(self.old) :]
        try:
            if file.suffix == ".py":
                ast.parse(planted)
            elif file.suffix == ".yaml":
                yaml.safe_load(planted)
        except (SyntaxError, yaml.YAMLError) as error:
            raise MutantError(f"{self}: {file.name} cannot be read with the fault: {error}.") from error
        return planted

    def _place_in(self, text: str) -> tuple[int, int]:
        """From which letter of the file to which its place goes."""
        qualified = self.place.partition(":")[2]
        if not qualified:
            return 0, len(text)
        scope: list[ast.stmt] = ast.parse(text).body
        found: list[ast.stmt] = []
        for part in qualified.split("."):
            found = [node for node in scope if part in _names(node)]
            if not found:
                raise MutantError(f"{self}: {self.place} is gone. Mend the list.")
            scope = getattr(found[-1], "body", [])
        decorators = getattr(found[-1], "decorator_list", [])
        first = min(node.lineno for node in (found[-1], *decorators))
        lines = text.splitlines(keepends=True)
        return len("".join(lines[: first - 1])), len("".join(lines[: found[-1].end_lineno]))

    def __str__(self) -> str:
        return f"{self.package}.yaml, '{self.name}'"


def _names(node: ast.stmt) -> list[str]:
    """What a statement defines."""
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []


def kept_mutants(folder: Path = LIST, package: str | None = None) -> list[Mutant]:
    """All mutants of a list, or those of one package.

    Args:
        folder: where the list lies, one file a package.
        package: one of its files.

    Raises:
        MutantError: there is no such package; two mutants share a name; an entry lacks something.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    if package is not None and package not in files:
        raise MutantError(
            f"The list of mutants has no package '{package}', but {', '.join(files)}."
            f"{did_you_mean(package, files)}"
        )
    mutants = [mutant for file in files.values() for mutant in _read(file)]
    names: set[str] = set()
    for mutant in mutants:
        if mutant.name in names:
            raise MutantError(f"{mutant}: this name is there twice. Rename one.")
        names.add(mutant.name)
    return [mutant for mutant in mutants if package in (None, mutant.package)]


def _read(file: Path) -> list[Mutant]:
    entries: list[dict[str, Any]] = yaml.safe_load(file.read_text())
    try:
        return [Mutant(package=file.stem, **{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    except (TypeError, KeyError) as error:
        raise MutantError(f"{file.name}: an entry lacks a key or has one too many: {error}.") from error
