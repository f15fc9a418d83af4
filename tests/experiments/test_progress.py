"""What is printed while a run goes on, by a clock that is told what time it is."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from experiments.callbacks import progress as progress_module
from experiments.callbacks.progress import LineProgress, Throughput, progress, questions_in
from tests.helpers.known_answers import Clock

ANY: Any = None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    told = Clock()
    told.now = 1000
    monkeypatch.setattr(progress_module, "time", told)
    return told


def processes(count: int, **changes: Any) -> Any:
    return SimpleNamespace(world_size=count, **changes)


def test_questions_a_second_are_those_of_all_processes(clock: Clock) -> None:
    throughput = Throughput()
    clock.now += 99  # before the start
    throughput.start()
    for size in (4, 8):
        throughput.count({"samples": list(range(size)), "ids": torch.zeros(99)}, processes(2))
    clock.now += 3
    assert throughput.columns()["questions/s"] == "8"
    throughput.start()
    throughput.count(torch.zeros(5, 2), processes(1))
    clock.now += 0.5
    assert throughput.columns()["questions/s"] == "10"
    assert re.fullmatch(r"\d+\.\d GB", throughput.columns()["memory"])
    assert [questions_in(batch) for batch in ({"samples": "abc"}, (torch.zeros(6), 1), "", None)] == [
        3,
        6,
        0,
        0,
    ]


def test_a_line_every_ten_seconds_and_one_at_each_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two epochs of four batches, four seconds each; then a test."""
    lines = LineProgress(title="blind: ")
    trainer = processes(
        1,
        max_epochs=2,
        is_global_zero=True,
        num_training_batches=4,
        num_test_batches=[3],
        progress_bar_metrics={"train/loss": 0.12345, "v_num": 7},
        loggers=[],
        current_epoch=0,
    )
    lines.setup(trainer, ANY, "fit")
    lines.on_train_start(trainer, ANY)
    module: Any = SimpleNamespace()
    for epoch in range(2):
        trainer.current_epoch = epoch
        for batch in range(4):
            clock.now += 4
            lines.on_train_batch_end(trainer, module, ANY, {"samples": range(20)}, batch)
    lines.on_test_start(trainer, ANY)
    for batch in range(3):
        clock.now += 1
        lines.on_test_batch_end(trainer, module, ANY, {"samples": [1, 2]}, batch)
    lines.disable()
    lines.on_test_batch_end(trainer, module, ANY, {"samples": [1, 2]}, 2)
    said = re.sub(r"  memory \d+\.\d GB", "", capsys.readouterr().out)
    assert said.splitlines() == [
        "blind: epoch 1/2, batch 1/4  train/loss 0.123  questions/s 5",
        "blind: epoch 1/2, batch 4/4  train/loss 0.123  questions/s 5",
        "blind: epoch 2/2, batch 3/4  train/loss 0.123  questions/s 5",
        "blind: epoch 2/2, batch 4/4  train/loss 0.123  questions/s 5",
        "blind: test, batch 3/3  questions/s 2",
    ]


def test_a_bar_is_drawn_where_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    for watched in (True, False):
        monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda here=watched: here))
        assert isinstance(progress(), TQDMProgressBar) == watched
        assert isinstance(progress("baseline"), LineProgress)
