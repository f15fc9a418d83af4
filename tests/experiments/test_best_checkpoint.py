"""The best checkpoint beside the last, which of them is tested, and when none may be chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from datamodules.samples import DataError
from experiments.callbacks.checkpoint_callbacks import checkpoints
from experiments.callbacks.checkpoint_choice import (
    Best,
    Tested,
    refuse_looking_at_the_test,
    said_of,
    whose_weights,
)
from experiments.experiment_files.registry import BASE, read_yaml
from experiments.run_folders.loggers import read_rows
from experiments.run_folders.run_folder import RunError, RunFolder
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.cli_in_process import run
from tests.helpers.commands import Command
from tests.helpers.observer import OBSERVE, OBSERVED
from tests.helpers.stub import StubData, StubModule

WORST = ("--best.monitor=val/loss", "--best.mode=max")
"""A figure by which the last epoch is not the best: the loss falls."""


def validations(folder: RunFolder, figure: str) -> list[float]:
    return [float(row[figure]) for row in read_rows(folder.metrics) if row.get(figure)]


def epoch_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=True)["epoch"]


class Judged(StubModule):
    """Whose validations, one an epoch, log given figures."""

    def __init__(self, figures: list[float]) -> None:
        super().__init__()
        self.figures = figures

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.log("val/own", self.figures[self.current_epoch])


@pytest.mark.parametrize(
    ("best", "figures", "epoch"),
    [
        (Best("val/own", "max"), [0.2, 0.9, 0.5], 1),
        (Best("val/own", "min"), [0.2, 0.9, 0.1, 0.3], 2),
        (Best("val/own", "min"), [-3.0, 0.9], 0),
        (Best("val/own", "max"), [-3.0, -2.0], 1),
    ],
)
def test_the_best_is_the_highest_or_the_lowest_as_one_says(
    tmp_path: Path, best: Best, figures: list[float], epoch: int
) -> None:
    folder = RunFolder(tmp_path)
    trainer = bare_trainer(
        max_epochs=len(figures),
        limit_val_batches=1.0,
        num_sanity_val_steps=0,
        enable_checkpointing=True,
        default_root_dir=tmp_path,
        callbacks=checkpoints(best, True),
    )
    trainer.fit(Judged(figures), datamodule=StubData(images=4, num_workers=0))
    assert {file.name for file in folder.checkpoint.parent.iterdir()} == {"last.ckpt", "best.ckpt"}
    assert (epoch_of(folder.best), epoch_of(folder.checkpoint)) == (epoch, len(figures) - 1)
    word = {"max": "highest", "min": "lowest"}[best.mode]
    assert whose_weights(folder.best, folder, best) == (
        f"the best checkpoint, by {word} val/own, of epoch {epoch + 1}"
    )
    assert whose_weights(folder.checkpoint, folder, best) == f"the last checkpoint, of epoch {len(figures)}"
    elsewhere = RunFolder(tmp_path / "elsewhere")
    assert whose_weights(folder.best, elsewhere, best) == f"{folder.best}, of epoch {epoch + 1}"


@pytest.mark.parametrize(
    ("tested", "best", "said"),
    [
        ("last", Best("val/loss", "min"), "the last checkpoint"),
        ("best", Best(), "the best checkpoint, by highest val/score"),
        ("best", Best("val/loss", "min"), "the best checkpoint, by lowest val/loss"),
    ],
)
def test_what_is_tested_is_said_in_words(tested: Tested, best: Best, said: str) -> None:
    assert said_of(tested, best) == said


def test_base_keeps_the_best_score_and_tests_the_last() -> None:
    base = read_yaml(BASE)
    assert Best(**base["best"]) == Best() == Best("val/score", "max")
    assert base["tested"] == "last"


def test_the_best_by_a_figure_is_kept_and_the_last_is_tested(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    said = command("experiment", "-c", str(stub), *WORST).stdout
    folder = RunFolder((tmp_path / "runs/stub/latest").resolve())
    losses = validations(folder, "val/loss")
    assert len(losses) == 4, "one an epoch: the sanity validation is none of them"
    assert epoch_of(folder.best) == losses.index(max(losses)) < 3
    assert epoch_of(folder.checkpoint) == 3
    assert "optimizer_states" not in torch.load(folder.best, weights_only=True)
    assert "the last checkpoint" in said
    assert json.loads(folder.results.read_text())["tested"] == "the last checkpoint, of epoch 4"
    assert folder.asked == folder.checkpoint


def test_the_best_is_tested_where_one_says_so_and_asked_from_then_on(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    said = command("experiment", "-c", str(stub), *WORST, "--tested=best").stdout
    folder = RunFolder((tmp_path / "runs/stub/latest").resolve())
    best = epoch_of(folder.best) + 1
    assert best < 4
    tested = f"the best checkpoint, by highest val/loss, of epoch {best}"
    assert "the best checkpoint, by highest val/loss" in said
    assert json.loads(folder.results.read_text())["tested"] == tested
    for page in (folder.results_page, folder.report):
        assert tested in page.read_text()
    assert f"--ckpt_path {folder.best.relative_to(tmp_path)}" in said
    again = command("test", "-c", str(folder.config)).stdout
    assert "checkpoints/best.ckpt" in again
    scores = [
        json.loads(path.read_text())["score"] for path in (tmp_path / "runs/stub").glob("*/results.json")
    ]
    assert len(scores) >= 2 and len(set(scores)) == 1


def test_a_figure_that_no_validation_logs_is_noticed_before_the_first_step(
    stub: Path, command: Command
) -> None:
    ended = command("experiment", "-c", str(stub), "--best.monitor=val/los", code=1)
    assert (
        "best.monitor is val/los, which the validation does not log. Did you mean val/loss?" in ended.stderr
    )
    assert "epoch 1/" not in ended.stdout
    assert len(ended.stderr.splitlines()) <= 6


@pytest.mark.parametrize(
    ("typed", "first"),
    [([], ["sanity", "sanity", "train"]), (["--trainer.num_sanity_val_steps=0"], ["train"] * 3)],
    ids=["by itself", "switched off"],
)
def test_a_look_at_the_validation_comes_first_unless_switched_off(
    tmp_path: Path, stub: Path, command: Command, typed: list[str], first: list[str]
) -> None:
    observed = f"--trainer.callbacks+={OBSERVE['class_path']}"
    command("fit", "-c", str(stub), observed, *typed)
    stages = [json.loads(line)["stage"] for line in (tmp_path / OBSERVED).read_text().splitlines()]
    assert stages[:3] == first


@pytest.mark.parametrize("how", ["tested", "early stopping"])
def test_nothing_is_chosen_by_the_questions_of_the_test(
    track3: list[str], how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Track 3 as it is published: without answers for its test split, which is scored on val."""
    stopping = [
        "--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping",
        "--trainer.callbacks.monitor=val/score",
    ]
    with pytest.raises(RunError, match="by the questions that they are tested on"):
        run("experiment", *track3, *(["--tested=best"] if how == "tested" else stopping))


REFUSED: dict[str, tuple[Callable[[], StubData], dict[str, object], str]] = {
    "nothing validated": (StubData, {"limit_val_batches": 0}, "needs a validation, and there is none"),
    "no checkpoints": (
        StubData,
        {"limit_val_batches": 1.0, "enable_checkpointing": False},
        "needs checkpoints",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_tested_as_the_best_is_refused(case: str) -> None:
    data, options, sentence = REFUSED[case]
    with pytest.raises(RunError, match=sentence):
        refuse_looking_at_the_test(bare_trainer(**{"enable_checkpointing": True, **options}), data(), "best")


def test_early_stopping_by_a_validation_of_its_own_is_allowed() -> None:
    stopping = EarlyStopping("val/score")
    trainer = bare_trainer(limit_val_batches=1.0, callbacks=[stopping])
    refuse_looking_at_the_test(trainer, StubData(), "last")
    with pytest.raises(RunError, match="EarlyStopping needs a validation"):
        refuse_looking_at_the_test(bare_trainer(callbacks=[stopping]), StubData(), "last")
    by_training = bare_trainer(callbacks=[EarlyStopping("train/loss")])
    refuse_looking_at_the_test(by_training, StubData(), "last")


def test_data_that_are_not_validated_on_keep_no_best_and_are_no_error(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    command("experiment", "-c", str(stub), "--trainer.limit_val_batches=0")
    folder = RunFolder((tmp_path / "runs/stub/latest").resolve())
    assert folder.checkpoint.exists() and not folder.best.exists()
    with pytest.raises((RunError, DataError)):
        refuse_looking_at_the_test(bare_trainer(enable_checkpointing=True), StubData(), "best")
