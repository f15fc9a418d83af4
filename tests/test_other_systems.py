"""Nothing that only Linux has is needed to start."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from datamodules.loading.cores import available_cores
from experiments.command_line.cli import computing_threads

ROOT = Path(__file__).resolve().parents[1]
NOT_EVERYWHERE = {"fcntl", "resource", "pwd", "grp", "termios", "posix", "pty"}


def files() -> Iterator[Path]:
    for package in ("experiments", "lightning_modules", "datamodules"):
        yield from (ROOT / package).rglob("*.py")


def test_modules_of_one_system_are_imported_only_where_it_is_that_system() -> None:
    for file in files():
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not NOT_EVERYWHERE & set(names), f"{file.relative_to(ROOT)} imports {names} at its top"


def test_cores_are_counted_in_one_place() -> None:
    asked = [file.relative_to(ROOT).as_posix() for file in files() if "sched_getaffinity" in file.read_text()]
    assert asked == ["datamodules/loading/cores.py"]


def test_threads_are_dealt_out_where_the_system_does_not_say_which_cores_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert available_cores() == 8
    config = SimpleNamespace(
        trainer=SimpleNamespace(accelerator="cpu", devices=2),
        data={"init_args": {"num_workers": 1}},
    )
    assert computing_threads(config) == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert computing_threads(config) == 1
