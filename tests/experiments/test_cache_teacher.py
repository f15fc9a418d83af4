"""`make cache-teacher`: every training question once, on its own or before the training that wants it."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning import seed_everything
from PIL import Image

from datamodules.cv_bench import CvBench
from datamodules.samples import UnreadableImage
from experiments.command_line import teacher_outputs
from experiments.command_line.cli import SpatialCLI
from experiments.commands.cache_teacher import cache_teacher
from experiments.experiment_files.config_files import compose
from experiments.run_folders.loggers import read_rows
from experiments.run_folders.run_folder import RunError
from lightning_modules.distillation.output_writing import OutputWriting
from lightning_modules.distillation.teachers.cache_files import CacheWriter, TeacherCache, is_complete
from lightning_modules.distillation.teachers.manifest import CacheError
from lightning_modules.distillation.teachers.output_keys import output_key
from tests.helpers.cli_in_process import DryRunCLI

SIZE = {"width": 64, "layers": 2, "vision_layers": 2}
TINY_MODEL = {"model": "smolvlm_500m", "random_weights": True, "tiny_size": SIZE}
TIMES = {"batch/tokens_per_second"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the rendered scenes lie, which all tests share."""
    return str(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def experiment(tmp_path: Path, scenes: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a student and its cached teacher, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    content = {
        "name": "stub",
        "model": {
            "class_path": "lightning_modules.distillation.module.DistilledStudent",
            "init_args": {**TINY_MODEL, "teacher": {**TINY_MODEL, "cache": "outputs", "cache_k": 8}},
        },
        "data": {
            "class_path": "datamodules.cv_bench.CvBench",
            "init_args": {
                "scenes": {"train": 5, "val": 1, "test": 2},
                "size": [112, 80],
                "cache": scenes,
                "num_workers": 0,
                "batch_size": 2,
                "questions_per_image": 1,
            },
        },
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "limit_val_batches": 0, "log_every_n_steps": 1},
    }
    file = tmp_path / "stub.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def training_keys(data: CvBench) -> set[str]:
    """The keys of all training questions, however many of an image an epoch would ask."""
    split = data.split("train")
    return {
        output_key(sample, False)
        for group, size in enumerate(split.group_sizes())
        for sample in split.samples(group, range(size))
    }


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_training_question_is_written_down_once(
    experiment: Path, dry_run: type[DryRunCLI], capsys: pytest.CaptureFixture[str]
) -> None:
    cache_teacher(["-c", str(experiment)])
    shown = capsys.readouterr().out
    data: Any = dry_run(["experiment", "-c", str(experiment)]).datamodule
    cache = TeacherCache("outputs")
    keys = training_keys(data)
    assert len(cache) == len(keys) > 5
    assert all(key in cache for key in keys)
    assert f"teacher: {len(keys)} of {len(keys)} questions (100%)" in shown
    assert f"outputs holds teacher outputs on {len(keys)} questions" in shown
    assert "of the teacher's probability lies outside of its 8 likeliest tokens" in shown
    assert "make experiment NAME=stub" in shown
    summary = json.loads(Path("outputs/complete.json").read_text())
    assert summary["outputs"] == len(keys)
    assert 0 < summary["tail_mass"] < 1


def test_it_leaves_no_run(experiment: Path) -> None:
    cache_teacher(["-c", str(experiment)])
    assert not Path("runs").exists()


def test_an_interrupted_command_goes_on(
    experiment: Path, scenes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_teacher(["-c", str(experiment)])
    Path("outputs").rename("whole")
    outputs_of = OutputWriting.outputs
    asked: list[int] = []

    def dying(self: OutputWriting, batch: Any) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(batch["output_keys"]))
        return outputs_of(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(CacheWriter.__init__, "__defaults__", (1,))
        patch.setattr(OutputWriting, "outputs", dying)
        with pytest.raises(KeyboardInterrupt):
            cache_teacher(["-c", str(experiment)])
    assert not is_complete("outputs")
    assert len(TeacherCache("outputs")) == sum(asked) > 0
    cache_teacher(["-c", str(experiment)])
    whole, goes_on = TeacherCache("whole"), TeacherCache("outputs")
    assert len(whole) == len(goes_on)
    data = CvBench(scenes={"train": 5, "val": 1, "test": 2}, size=(112, 80), cache=scenes)
    for key in training_keys(data):
        assert all(
            one is other is None or one.equal(other)
            for one, other in (
                (getattr(whole[key], name), getattr(goes_on[key], name))
                for name in ("targets", "values", "indices", "tail", "maps")
            )
        )


def test_what_is_written_already_is_not_asked_again(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_teacher(["-c", str(experiment)])
    before = files(Path("outputs"))

    def asked(*_: Any) -> Any:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(OutputWriting, "outputs", asked)
    cache_teacher(["-c", str(experiment)])
    assert files(Path("outputs")) == before


def test_an_image_that_cannot_be_read_is_passed_over_with_a_warning(
    experiment: Path, dry_run: type[DryRunCLI], monkeypatch: pytest.MonkeyPatch
) -> None:
    data: Any = dry_run(["experiment", "-c", str(experiment)]).datamodule
    data.prepare_split("train")
    keys = training_keys(data)
    broken = data.split("train").samples(1, [0])[0].image
    kind, opened = type(broken), type(broken).open

    def opening(self: Any) -> Image.Image:
        if self == broken:
            raise UnreadableImage(f"The image {self.name} cannot be read: it is half.")
        return opened(self)

    monkeypatch.setattr(kind, "open", opening)
    with pytest.warns(UserWarning, match="Passing over an image that cannot be read"):
        cache_teacher(["-c", str(experiment)])
    cache = TeacherCache("outputs")
    lost = len(keys) - len(cache)
    assert lost == data.split("train").group_sizes()[1]
    assert sum(key in cache for key in keys) == len(cache)


def rows(name: str) -> list[dict[str, Any]]:
    return [
        {column: value for column, value in row.items() if column not in TIMES}
        for row in read_rows(Path(f"runs/{name}/latest/metrics.csv"))
    ]


def test_a_training_writes_what_is_missing_and_then_learns_the_same(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    SpatialCLI(compose(["fit", "-c", str(experiment), "--name", "first"]))
    assert "not all in outputs yet: they are written first" in capsys.readouterr().out
    monkeypatch.setattr(OutputWriting, "outputs", lambda *_: pytest.fail("they were there"))
    SpatialCLI(compose(["fit", "-c", str(experiment), "--name", "second"]))
    assert rows("first") == rows("second")
    assert any(row.get("train/divergence") for row in rows("first"))


def test_no_random_number_of_the_training_depends_on_it(
    experiment: Path, dry_run: type[DryRunCLI], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a teacher or a view draws meanwhile, from whichever generator."""
    outputs_of = OutputWriting.outputs

    def drawing(self: OutputWriting, batch: Any) -> Any:
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        return outputs_of(self, batch)

    def next_numbers() -> list[float]:
        return [float(torch.rand(())), float(np.random.random()), random.random()]

    monkeypatch.setattr(OutputWriting, "outputs", drawing)
    cli = dry_run(["experiment", "-c", str(experiment)])
    seed_everything(3, verbose=False)
    undisturbed = next_numbers()
    seed_everything(3, verbose=False)
    teacher_outputs.write_missing(cli.model, cli.datamodule, cli.trainer)
    assert is_complete("outputs")
    assert next_numbers() == undisturbed


def test_of_two_runs_one_writes_and_the_other_waits(
    experiment: Path, dry_run: type[DryRunCLI], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_teacher(["-c", str(experiment)])
    Path("outputs").rename("written")
    waits = threading.Event()

    def shown(text: str, **_: Any) -> None:
        if "waiting for it" in text:
            waits.set()

    monkeypatch.setattr(teacher_outputs, "print", shown, raising=False)
    monkeypatch.setattr(OutputWriting, "outputs", lambda *_: pytest.fail("both wrote"))
    cli: Any = dry_run(["experiment", "-c", str(experiment)])
    with ThreadPoolExecutor(1) as pool:
        with Path(".outputs.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            other = pool.submit(teacher_outputs.write_missing, cli.model, cli.datamodule, cli.trainer)
            waits.wait(60)
            Path("written").rename("outputs")
        other.result()
    assert waits.is_set()


def test_teacher_outputs_of_another_teacher_are_refused_and_kept(experiment: Path) -> None:
    cache_teacher(["-c", str(experiment)])
    before = files(Path("outputs"))
    another = ["-c", str(experiment), "--model.init_args.teacher.weights_seed=7"]
    for start in (cache_teacher, lambda typed: SpatialCLI(compose(["fit", *typed]))):
        with pytest.raises(CacheError, match=r"teacher\.weights_seed is 1 there, and 7"):
            start(another)
    assert files(Path("outputs")) == before


def test_an_experiment_without_a_cached_teacher_is_told_so(experiment: Path) -> None:
    live = experiment.with_name("live.yaml")
    live.write_text(experiment.read_text().replace("cache: outputs", "cache: null"))
    with pytest.raises(RunError, match=r"stub does not learn from a cached teacher: name a folder"):
        cache_teacher(["-c", str(live)])


def test_a_blind_baseline_is_refused_at_once(experiment: Path) -> None:
    with pytest.raises(RunError, match=r"set baselines\.blind: false"):
        SpatialCLI(compose(["experiment", "-c", str(experiment), "--baselines.blind=true"]))
    assert not Path("outputs").exists()
    shutil.rmtree("runs")
