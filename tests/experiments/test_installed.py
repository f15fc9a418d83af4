"""What is installed runs without the repository: its files, its program, and what that says of itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from experiments import run
from experiments.experiment_files.registry import EXPERIMENTS, experiment_names
from tests.helpers.commands import ROOT, environment

DATA_FILES = (".yaml", ".jinja")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel holds."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("datamodules", "experiments", "lightning_modules"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "-w", str(source), str(source)],
        check=True,
    )
    with zipfile.ZipFile(next(source.glob("smallspatial-*.whl"))) as wheel:
        wheel.extractall(target)
    return target


def smallspatial(installed: Path, folder: Path, *typed: str) -> subprocess.CompletedProcess[str]:
    """Run the console script as pip writes it, where the package is found before the repository."""
    script = folder / "smallspatial"
    script.write_text("import sys\nfrom experiments.run import main\nsys.exit(main())\n")
    return subprocess.run(
        [sys.executable, str(script), *typed],
        cwd=folder,
        env=environment(PYTHONPATH=str(installed)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_holds_the_experiments_and_all_that_is_read(installed: Path) -> None:
    packages = ("datamodules", "experiments", "lightning_modules")
    files = {
        path.relative_to(ROOT)
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in (*DATA_FILES, ".py")
    }
    assert {path.suffix for path in files} == {*DATA_FILES, ".py"}
    missing = [file for file in files if not (installed / file).is_file()]
    assert not missing
    script = (next(installed.glob("smallspatial-*.dist-info")) / "entry_points.txt").read_text()
    assert "smallspatial = experiments.run:main" in script
    assert EXPERIMENTS.parent == ROOT


def test_the_program_runs_from_any_folder_and_speaks_of_itself(installed: Path, tmp_path: Path) -> None:
    listed = smallspatial(installed, tmp_path, "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == experiment_names(), listed.stderr
    overview = smallspatial(installed, tmp_path)
    assert all(f"  smallspatial {name} " in overview.stdout for name in (*run.VERBS, *run.COMMANDS))
    wrong = smallspatial(installed, tmp_path, "fit", "-c", "quickstrat")
    assert (
        wrong.returncode == 1 and "mean quickstart?" in wrong.stderr and "`smallspatial list`" in wrong.stderr
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["smallspatial"]


@pytest.mark.every_file
def test_what_is_installed_parses_an_experiment(installed: Path, tmp_path: Path) -> None:
    config = smallspatial(installed, tmp_path, "print", "-c", "quickstart", "--scale", "tiny")
    assert "class_path: lightning_modules.tiny_giant.module.TinyGiant" in config.stdout, config.stderr
    assert f"{installed}" in config.stdout  # where the file lies that has set it


@pytest.mark.parametrize("name", sorted(run.COMMANDS.keys() - {"cache-teacher"}))  # has that of `experiment`
def test_every_command_has_help(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["run", name, "--help"])
    try:
        run.main()
    except SystemExit as ended:
        assert ended.code == 0
    assert f"python -m experiments.run {name}" in capsys.readouterr().out


def test_the_verbs_are_those_of_the_command_line() -> None:
    from experiments.command_line.cli import SpatialCLI

    assert run.VERBS.keys() == SpatialCLI.subcommands().keys()


@pytest.mark.parametrize("typed", [["comapre"], ["lsit"], ["train"]])
def test_a_command_that_is_none_is_said_so(
    typed: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["run", *typed])
    with pytest.raises(SystemExit, match="1"):
        run.main()
    said = capsys.readouterr().err
    assert f"There is no command {typed[0]!r}." in said and "There are experiment, fit" in said
