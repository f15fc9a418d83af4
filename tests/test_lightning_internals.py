"""What is used of Lightning's private interfaces stands in one file a package, and is still as it was."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loops.fetchers import _PrefetchDataFetcher

from lightning_modules.lightning_internals import data_fetcher, is_attached

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("datamodules", "lightning_modules", "experiments")
PLACES = ("lightning_modules/lightning_internals.py", "experiments/lightning_internals.py")
KINDS = (LightningCLI, LightningModule, LightningDataModule, Trainer)
PRIVATE = {
    name
    for kind in (*KINDS, LightningModule(), LightningDataModule())
    for name in dir(kind)
    if name.startswith("_") and not name.startswith("__")
} | {"_data_fetcher", "_subcommand_parsers"}
OF_LIGHTNING = ("CLI", "Module", "Trainer", "Student", "Sft", "Giant")
"""How the names of this project's classes end that are made of Lightning's."""


def private_names(source: str) -> Iterator[str]:
    """The private names of Lightning that a file imports, asks an object for, or puts in the place of one."""
    tree = ast.parse(source)
    of_others = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.endswith(OF_LIGHTNING)
        for inner in ast.walk(node)
    ]
    own = {id(inner) for inner in of_others if not isinstance(inner, ast.Attribute) or _of_self(inner)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightning"):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
        if id(node) in own:
            continue
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            yield node.attr
        elif isinstance(node, ast.ClassDef):
            yield from (
                each.name for each in node.body if isinstance(each, ast.FunctionDef) and each.name in PRIVATE
            )


def _of_self(attribute: ast.Attribute) -> bool:
    return isinstance(attribute.value, ast.Name) and attribute.value.id in ("self", "cls")


def test_they_are_used_in_one_file_a_package() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): set(private_names(path.read_text()))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert {place: names for place, names in found.items() if names and place not in PLACES} == {}
    assert all(found[place] for place in PLACES)


@pytest.mark.parametrize(
    "source",
    [
        "trainer.fit_loop._data_fetcher",
        "class StubModule:\n def f(self): return self._trainer",
        "from lightning.fabric import _x",
        "class StubCLI:\n def _get(self): ...",
    ],
)
def test_a_use_elsewhere_is_seen(source: str) -> None:
    assert list(private_names(source))
    assert not list(private_names("self._mine; def_ = 3; from torch import _C"))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_prepare_subcommand_parser", ["self", "klass", "subcommand", "kwargs"]),
        ("_get", ["self", "config", "key", "default"]),
        ("_parser", ["self", "subcommand"]),
        ("_run_subcommand", ["self", "subcommand"]),
    ],
)
def test_the_command_lines_are_as_they_were(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(LightningCLI, name)).parameters) == parameters


def test_the_parsers_of_subcommands_are_kept_by_name() -> None:
    assert "self._subcommand_parsers[subcommand] = " in inspect.getsource(LightningCLI._add_subcommands)


def test_a_module_knows_whether_it_has_a_trainer() -> None:
    module = LightningModule()
    assert not is_attached(module)
    module.trainer = Trainer(accelerator="cpu", logger=False, barebones=True)
    assert is_attached(module)


def test_the_fetcher_has_its_iterator_and_what_it_has_fetched() -> None:
    seen = []

    class Looking(LightningModule):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
            fetcher = data_fetcher(self.trainer)
            seen.append((type(fetcher), len(fetcher.batches), hasattr(fetcher, "iterator")))

        def configure_optimizers(self) -> None:
            return None

    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, barebones=True)
    trainer.fit(Looking(), [torch.zeros(1) for _ in range(3)])
    assert seen and set(seen) == {(_PrefetchDataFetcher, 0, True)}
