"""Short class paths: `class_path: TinyGiant` in a file and on the command line."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
import yaml

from datamodules import views
from datamodules.base import SpatialDataModule
from datamodules.layouts import OfficialLayout, ParquetLayout
from experiments.experiment_files.class_names import CLASSES, typed_in_full, whole_path, with_whole_paths
from experiments.experiment_files.config_files import compose
from lightning_modules.base import SpatialModule

CV_BENCH = "datamodules.cv_bench.CvBench"
BLIND = "datamodules.views.Blind"


def subclasses(kind: type) -> set[type]:
    found: set[type] = set(kind.__subclasses__())
    return found.union(*map(subclasses, found))


@pytest.mark.parametrize("name", CLASSES)
def test_a_short_name_is_that_of_a_class(name: str) -> None:
    module, _, last = whole_path(name).rpartition(".")
    assert last == name and inspect.isclass(getattr(importlib.import_module(module), name))


def test_every_module_data_set_and_view_has_one() -> None:
    for module in CLASSES.values():
        importlib.import_module(module)
    kinds = subclasses(SpatialModule) | subclasses(SpatialDataModule) - {OfficialLayout, ParquetLayout}
    ours = {kind.__name__ for kind in kinds if kind.__module__.startswith(("lightning_m", "datamodules"))}
    seen = {name for name in views.__all__ if not name.endswith("Image")} | {"DepthAsImage"}
    # Another picture is dealt out among samples, in Python alone.
    assert ours | (seen - {"View", "NotApplicable", "OtherPicture"}) <= CLASSES.keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data:\n  class_path: CvBench", f"data:\n  class_path: {CV_BENCH}"),
        ("data: {class_path: CvBench, init_args: {}}", f"data: {{class_path: {CV_BENCH}, init_args: {{}}}}"),
        ('{"class_path": "CvBench"}', f'{{"class_path": "{CV_BENCH}"}}'),
        ("views: [Blind]", f"views: [{BLIND}]"),
        ("views: [{class_path: Blind}]", f"views: [{{class_path: {BLIND}}}]"),
        ("# class_path: CvBench is short", "# class_path: CvBench is short"),
        ("class_path: mine.CvBench", "class_path: mine.CvBench"),
        ("class_path: CvBench.Inner", "class_path: CvBench.Inner"),
        ("class_path: EarlyStopping", "class_path: EarlyStopping"),
        ("name: CvBench", "name: CvBench"),
        ("tasks: [Blind]", "tasks: [Blind]"),
    ],
)
def test_class_paths_of_a_file_become_whole_and_nothing_else_changes(text: str, expected: str) -> None:
    assert with_whole_paths(text) == expected
    assert with_whole_paths(expected) == expected
    yaml.safe_load(expected)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--data", "CvBench"], ["--data", CV_BENCH]),
        (["--data=CvBench"], [f"--data={CV_BENCH}"]),
        (["--data.help", "CvBench"], ["--data.help", CV_BENCH]),
        (["--data.views", "[Blind]"], ["--data.views", f"[{BLIND}]"]),
        (["--data.views=[{class_path: Blind}]"], [f"--data.views=[{{class_path: {BLIND}}}]"]),
        (["--data.views+=Blind"], [f"--data.views+={BLIND}"]),
        (["--name", "CvBench"], ["--name", "CvBench"]),
        (["--name=CvBench", "--ckpt_path", "Blind"], ["--name=CvBench", "--ckpt_path", "Blind"]),
        (["--data.root", "Blind/folder"], ["--data.root", "Blind/folder"]),
    ],
)
def test_typed_names_become_whole(typed: list[str], expected: list[str]) -> None:
    assert typed_in_full(typed) == expected


def test_the_list_of_experiments_needs_neither_torch_nor_lightning() -> None:
    """Nor does finding out what a short name means."""
    composition = compose(["fit", "-c", "quickstart", "--data", "CvBench"])
    assert "lightning_modules.tiny_giant.module.TinyGiant" in composition.arguments[2]
    script = (
        "import sys; sys.argv = ['run', 'list']; from experiments import run; run.main();"
        "from experiments.experiment_files.config_files import compose; compose(['fit', '-c', 'quickstart']);"
        "sys.exit(' '.join({'torch', 'lightning', 'transformers'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0 and "quickstart" in finished.stdout, finished.stderr
