"""Switches of Lightning's Trainer do here what Lightning says of them, for every module."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.commands import Command
from tests.helpers.observer import OBSERVE, OBSERVED

ONE_EPOCH = "max_epochs=1"


@dataclass(frozen=True)
class Run:
    """What an experiment has shown, left behind and done batch by batch."""

    shown: str
    folder: Path
    batches: list[dict[str, Any]]

    @property
    def stages(self) -> list[str]:
        """The stage of every batch, in their order."""
        return [batch["stage"] for batch in self.batches]

    def of(self, stage: str) -> list[dict[str, Any]]:
        """The batches of a stage."""
        return [batch for batch in self.batches if batch["stage"] == stage]

    def trained_on(self, epoch: int) -> list[list[str]]:
        """The questions of each batch of a training epoch."""
        return [batch["questions"] for batch in self.of("train") if batch["epoch"] == epoch]

    @property
    def updates(self) -> int:
        """The updates of the weights, as the checkpoint counts them."""
        return int(torch.load(self.folder / "checkpoints/last.ckpt", weights_only=True)["global_step"])


def counts(**stages: int) -> Callable[[Run], bool]:
    return lambda run: {stage: run.stages.count(stage) for stage in stages} == stages


def overfits(run: Run) -> bool:
    """The same two batches in both epochs, as large as those of a training."""
    first, second = run.trained_on(0), run.trained_on(1)
    return len(first) == 2 and first == second and not set(first[0]) & set(first[1])


def validates_within_epochs(run: Run) -> bool:
    fitted = [stage for stage in run.stages if stage not in ("test", "sanity")]
    return fitted[:3] == ["train", "train", "val"] and "val" in fitted[-1:]


def is_tested(run: Run) -> bool:
    return bool(run.of("test"))


# What is typed, and what then has to be so, beside a score and a report.
FLAGS: dict[str, tuple[Sequence[str], Callable[[Run], bool]]] = {
    "fast_dev_run": (["fast_dev_run=true"], counts(train=1, val=1, test=1)),
    "fast_dev_run 2": (["fast_dev_run=2"], counts(train=2, val=2, test=2)),
    "overfit_batches": (["overfit_batches=2", "limit_train_batches=null", "max_epochs=2"], overfits),
    "limit_*_batches": (
        ["limit_train_batches=3", "limit_val_batches=1", "limit_test_batches=1", "max_epochs=2"],
        counts(train=6, val=2, test=1),
    ),
    "max_steps": (["max_steps=3"], lambda run: run.updates == 3 == len(run.of("train"))),
    "max_time": (
        ["max_time=00:00:00:02", "max_epochs=100000"],
        lambda run: 0 < run.updates < 10000 and is_tested(run),
    ),
    "val_check_interval": (["val_check_interval=2", ONE_EPOCH], validates_within_epochs),
    "check_val_every_n_epoch": (
        ["check_val_every_n_epoch=2", "max_epochs=3"],
        lambda run: {batch["epoch"] for batch in run.of("val")} == {1},
    ),
    "num_sanity_val_steps": (
        ["num_sanity_val_steps=2", ONE_EPOCH],
        lambda run: run.stages[:3] == ["sanity", "sanity", "train"],
    ),
    "profiler simple": (["profiler=simple", ONE_EPOCH], lambda run: "run_training_batch" in run.shown),
    "detect_anomaly": (["detect_anomaly=true", ONE_EPOCH], is_tested),
    "logger false": (["logger=false", ONE_EPOCH], is_tested),
    "enable_progress_bar false": (
        ["enable_progress_bar=false", ONE_EPOCH],
        lambda run: "batch 1/" not in run.shown,
    ),
    "enable_checkpointing false": (
        ["enable_checkpointing=false", ONE_EPOCH],
        lambda run: not (run.folder / "checkpoints").exists(),
    ),
    "enable_model_summary": (
        ["enable_model_summary=true", ONE_EPOCH],
        lambda run: "Trainable params" in run.shown,
    ),
    "accumulate_grad_batches": (
        ["accumulate_grad_batches=2", ONE_EPOCH],
        lambda run: len(run.of("train")) == 4 and run.updates == 2,
    ),
    "precision bf16-mixed": (
        ["precision=bf16-mixed", ONE_EPOCH],
        lambda run: all("bfloat16" in batch["computed"] for batch in run.batches),
    ),
}

TOGETHER = (
    *("max_epochs=2", "limit_train_batches=3", "limit_val_batches=1", "limit_test_batches=1"),
    *("accumulate_grad_batches=2", "val_check_interval=2", "num_sanity_val_steps=1", "detect_anomaly=true"),
    *("profiler=simple", "logger=false", "precision=bf16-mixed", "enable_model_summary=true"),
)
"""What does not exclude each other, at once."""

ALSO_TOGETHER = ("limit_*_batches", "val_check_interval", "profiler simple", "logger false", "detect_anomaly")
"""Flags that a run with many switches shows as well as one of their own."""

BY_ITSELF = {"TinyGiant", "DistilledStudent"}
"""Modules whose runs with many switches take over half a minute: with the whole table."""

TABLE = {
    "TinyGiant": (
        "quickstart",
        "--data.init_args.scenes={train: 48, val: 34, test: 34}",
        "--trainer.limit_val_batches=2",
    ),
    "PeftSft": ("small_vlm/smolvlm_500m_lora", "--model.init_args.maximum_new_tokens=4"),
    "DistilledStudent": ("small_vlm/kd_smolvlm",),
}


def ran(folder: Path, command: Command, name: str, *options: str) -> Run:
    """An experiment and what was seen of it."""
    shown = command("experiment", "-c", name, *options, f"--trainer.callbacks={json.dumps([OBSERVE])}").stdout
    runs = folder / "runs" / Path(name).with_suffix("")
    lines = (folder / OBSERVED).read_text().splitlines()
    if "fast_dev_run" in " ".join(options):
        assert "A rehearsal" in shown and "Score" not in shown and not runs.exists()
    else:
        assert "Score" in shown and (runs / "latest/results.json").exists()
        assert (runs / "latest/report.html").exists()
    return Run(shown, runs / "latest", [json.loads(line) for line in lines])


def typed(flags: Sequence[str]) -> list[str]:
    return [f"--trainer.{flag}" for flag in flags]


@pytest.mark.parametrize(
    "flag",
    [pytest.param(flag, marks=[pytest.mark.every_file] if flag in ALSO_TOGETHER else []) for flag in FLAGS],
)
def test_an_experiment_runs_with(flag: str, tmp_path: Path, stub: Path, command: Command) -> None:
    flags, holds = FLAGS[flag]
    run = ran(tmp_path, command, stub.name, *typed(flags))
    assert holds(run), (run.stages, run.shown)


@pytest.mark.every_file
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("module", TABLE)
def test_every_module_runs_with(module: str, flag: str, tmp_path: Path, command: Command) -> None:
    flags, holds = FLAGS[flag]
    name, *options = TABLE[module]
    run = ran(tmp_path, command, name, "--scale=tiny", *options, *typed(flags))
    assert holds(run), (run.stages, run.shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=[pytest.mark.every_file] if name in BY_ITSELF else []) for name in TABLE],
)
def test_every_module_runs_with_many_switches_at_once(module: str, tmp_path: Path, command: Command) -> None:
    name, *options = TABLE[module]
    run = ran(tmp_path, command, name, "--scale=tiny", "--baselines.blind=false", *options, *typed(TOGETHER))
    epoch = ["train", "train", "val", "train"]
    assert run.stages == ["sanity", *epoch, *epoch, "test"]
    assert run.updates == 4
    assert all("bfloat16" in batch["computed"] for batch in run.batches)
    assert "run_training_batch" in run.shown and "Trainable params" in run.shown


def test_overfitting_takes_batches_of_the_size_that_is_trained_with(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    sizes = ("--data.init_args.batch_size=4", "--data.init_args.evaluation_batch_size=2")
    run = ran(tmp_path, command, stub.name, *sizes, *typed(FLAGS["overfit_batches"][0]))
    assert overfits(run)
    # Two questions an image.
    assert {len(batch["questions"]) for batch in run.of("train")} == {8}


def test_an_anomaly_is_detected_where_it_begins(stub: Path, command: Command) -> None:
    options = ("fit", "-c", str(stub), "--model=tests.helpers.faults.NotDifferentiable")
    assert "returned nan values" in command(*options, "--trainer.detect_anomaly=true", code=1).stderr
    said = command(*options, code=1).stderr
    assert "The loss is not finite at step 1" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("profiler", "word"),
    [("advanced", "function calls"), ("pytorch", "Self CPU"), ("simple", "optimizer_step")],
)
def test_a_profile_is_shown(profiler: str, word: str, stub: Path, command: Command) -> None:
    options = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=1")
    assert word in command("fit", "-c", str(stub), *options, f"--trainer.profiler={profiler}").stdout


def test_a_logger_that_is_asked_for_by_true_is_the_table(
    stub: Path, command: Command, tmp_path: Path
) -> None:
    command("fit", "-c", str(stub), "--trainer.logger=true", "--trainer.max_epochs=1")
    assert (tmp_path / "runs/stub/latest/metrics.csv").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["val_check_interval=100"], "`val_check_interval` (100) must be less than"),
        (["barebones=true"], "trainer.barebones is true"),
        (
            ["callbacks=lightning.pytorch.callbacks.EarlyStopping", "callbacks.monitor=val/scor"],
            "val/scor",
        ),
    ],
)
def test_what_lightning_refuses_late_is_a_sentence(
    flags: Sequence[str], words: str, stub: Path, command: Command
) -> None:
    said = command("experiment", "-c", str(stub), *typed(flags), code=1).stderr
    assert words in said and "Traceback" not in said and said.count("\n") <= 4


def test_a_run_without_a_checkpoint_takes_latest_from_none_that_has_one(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    command("experiment", "-c", str(stub))
    trained = (tmp_path / "runs/stub/latest").resolve()
    for flag in ("enable_checkpointing=false", "max_steps=0"):
        command("experiment", "-c", str(stub), f"--trainer.{flag}")
    assert (tmp_path / "runs/stub/latest").resolve() == trained
