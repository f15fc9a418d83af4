"""Which code a run says it was, and how large its model is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from torch import nn

from experiments.run_folders import provenance
from experiments.run_folders.provenance import git_commit, parameter_counts
from tests.helpers.commands import ROOT


def git(folder: Path, *typed: str) -> str:
    author = ("-c", "user.name=x", "-c", "user.email=x@x")
    return subprocess.run(
        ["git", *author, *typed], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--message", "One")
    return tmp_path


def test_the_commit_is_that_of_this_project_wherever_one_types(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = git(repository, "rev-parse", "HEAD")
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    monkeypatch.chdir(repository)
    ours = git_commit().removesuffix(" with local changes")
    assert not theirs.startswith(ours)
    assert ours == (asked.stdout[:12] if asked.returncode == 0 else "unknown")


def test_code_that_differs_from_its_commit_is_marked(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(provenance, "ROOT", repository)
    commit = git(repository, "rev-parse", "HEAD")[:12]
    (repository / "notes.txt").write_text("not part of it\n")
    assert git_commit() == commit
    (repository / "code.py").write_text("2\n")
    assert git_commit() == f"{commit} with local changes"
    monkeypatch.setattr(provenance, "ROOT", tmp_path_factory.mktemp("elsewhere"))
    assert git_commit() == "unknown"


def test_frozen_parameters_count_and_are_not_trained() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5), nn.BatchNorm1d(5))
    assert parameter_counts(module) == (9 + 20 + 10, 39)
    module[1].requires_grad_(False)
    assert parameter_counts(module) == (39, 19)
