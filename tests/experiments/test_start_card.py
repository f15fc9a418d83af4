"""What the start card says of a step, and what is said after the first batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from datamodules.loading.batching import TrainingBatches
from experiments.callbacks.start_card import StartCard, said_of_tokens
from experiments.run_folders.run_folder import RunFolder
from tests.helpers.commands import Command
from tests.helpers.plain_halves import PlainData, PlainModule
from tests.helpers.stub import StubData, StubModule


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 6))
def test_no_batch_is_larger_than_the_largest(sizes: list[int], batch_size: int, each: int) -> None:
    batches = TrainingBatches(np.array(sizes), batch_size, each, 0, 0, 1)
    found = []
    for epoch in range(6):
        batches.epoch = epoch
        found += [sum(len(image.questions) for image in batch.images) for batch in batches]
    assert max(found) <= batches.largest <= batch_size * each
    if len(sizes) <= batch_size:
        assert max(found) == batches.largest


def test_the_card_says_how_many_sequences_make_a_step_and_then_how_long_they_are(command: Command) -> None:
    """`batch_size: 2` is images: of up to four questions each here, and four batches make a step."""
    said = command(
        *("fit", "-c", "small_vlm/smolvlm_500m_lora", "--scale", "tiny"),
        *("--data.init_args.batch_size=2", "--data.init_args.questions_per_image=4"),
        *("--trainer.accumulate_grad_batches=4", "--trainer.limit_val_batches=0"),
    ).stdout
    card = " ".join(said.replace("│", " ").split())
    assert "step up to 8 questions on 2 images at once, up to 32 questions of 4 batches" in card
    assert said.count("The first batch: ") == 1
    line = next(line for line in said.splitlines() if line.startswith("The first batch: "))
    assert "sequences of" in line and "tokens in all" in line


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (
            (8, 1500, 2000),
            "The first batch: 8 sequences of 1,500 tokens in all, 25% of the places are padding.",
        ),
        ((1, 77, 77), "The first batch: 1 sequence of 77 tokens in all."),
    ],
)
def test_padding_is_said_where_there_is_some(numbers: tuple[int, int, int], said: str) -> None:
    assert said_of_tokens(*numbers) == said


Rows = Callable[..., dict[str, str]]


class OnlyVal(StubData):
    """Data whose test answers nobody knows."""

    @property
    def scored(self) -> Any:
        return "val"


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rows:
    """The card of a trainer that stands still: its rows by name."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def show(
        stage: str = "train", module: Any = None, data: Any = None, card: Any = None, **changes: Any
    ) -> dict[str, str]:
        start_card = StartCard("title", "go on", "the last checkpoint")
        start_card.folder = RunFolder(Path("runs/x/1"))
        start_card.folder.write_card({"subcommand": "fit", "seed": 3, "commit": "abc", **(card or {})})
        data = data or StubData(images=10, batch_size=4, num_workers=0)
        trainer = SimpleNamespace(
            **{
                **{"is_global_zero": True, "world_size": 1, "precision": "32-true", "loggers": []},
                **{"num_training_batches": 1234, "max_epochs": 2, "max_steps": -1, "current_epoch": 0},
                **{"global_step": 0, "accumulate_grad_batches": 1, "ckpt_path": None, "datamodule": data},
                **{
                    "strategy": SimpleNamespace(root_device=torch.device("cpu")),
                    "training": stage == "train",
                },
                **{"estimated_stepping_batches": 2468, **changes},
            }
        )
        if not hasattr(trainer, "train_dataloader"):
            trainer.train_dataloader = data.train_dataloader()
        for _ in range(2):  # a card is shown once
            getattr(start_card, f"on_{stage}_start")(trainer, module or StubModule())
        said = capsys.readouterr().out
        assert ("To go on after an interruption: go on" in said) == (stage == "train")
        lines = [line.strip("│ ") for line in said.splitlines() if line.startswith("│")]
        found = {line.split("  ")[0]: line.partition("  ")[2].strip() for line in lines}
        assert len(found) == len(lines)
        return found

    return show


ALWAYS = {
    "model": "StubModule, 42 parameters: 42 trainable, 0 frozen",
    "device": "1 x cpu, precision 32-true",
    "seed": "3",
    "commit": "abc",
    "logs": "",
    "folder": "runs/x/1",
}
TRAINED_ON = {
    "data": "StubData, 20 questions on 10 images, 1,234 batches an epoch, 2 epochs",
    "step": "up to 8 questions on 4 images at once",
}


def test_every_row_of_a_fit(rows: Rows) -> None:
    assert rows() == {**ALWAYS, **TRAINED_ON}
    assert RunFolder(Path("runs/x/1")).read_card()["steps"] == 2468
    one_epoch = rows(max_epochs=1, num_training_batches=3)
    assert one_epoch["data"] == "StubData, 20 questions on 10 images, 3 batches an epoch, 1 epoch"
    assert rows(max_epochs=-1, max_steps=5000)["data"].endswith(", 5,000 steps")
    assert rows(max_epochs=None)["data"].endswith(", for as long as it may")
    assert rows(card={"data_seed": 3})["seed"] == "3"
    assert rows(card={"data_seed": 8})["seed"] == "3, of the data 8"


def test_of_an_experiment_it_says_what_is_tested(rows: Rows) -> None:
    assert rows(card={"subcommand": "experiment"}) == {
        **ALWAYS,
        **TRAINED_ON,
        "tested": "the last checkpoint",
    }
    scored = (
        "the val split, since the answers of the test split are not known; `predict` takes the test split"
    )
    data = OnlyVal(images=10, batch_size=4, num_workers=0)
    assert rows(card={"subcommand": "experiment"}, data=data)["scored on"] == scored
    assert rows("test", card={"subcommand": "test"}, data=data)["scored on"] == scored
    assert "scored on" not in rows(card={"subcommand": "fit"}, data=data)


@pytest.mark.parametrize(
    ("batches", "processes", "said"),
    [
        (3, 1, "up to 24 questions of 3 batches"),
        (1, 2, "up to 16 questions of 2 processes"),
        (3, 2, "up to 48 questions of 3 batches in 2 processes"),
    ],
)
def test_a_step_of_several_batches(rows: Rows, batches: int, processes: int, said: str) -> None:
    shown = rows(accumulate_grad_batches=batches, world_size=processes)
    assert shown["step"] == f"up to 8 questions on 4 images at once, {said}"
    assert shown["device"] == f"{processes} x cpu, precision 32-true"
    one = StubData(images=1, batch_size=1, questions_per_image=1, num_workers=0)
    assert rows(data=one)["step"] == "up to 1 question on 1 image at once"


def test_a_run_that_goes_on_says_from_where_and_how_far(rows: Rows) -> None:
    goes_on = {"ckpt_path": "runs/x/1/checkpoints/last.ckpt", "global_step": 617, "current_epoch": 1}
    resumed = {**ALWAYS, **TRAINED_ON, "resumed": "goes on in epoch 2, step 617"}
    assert rows(card={"steps": 2468}, **goes_on) == resumed
    stretched = "stretched from 1,234 to 2,468 steps, "
    assert rows(card={"steps": 1234}, **goes_on) == {
        **resumed,
        "schedule": stretched + "and the learning rate with it",
    }
    other = rows(card={"steps": 1234}, module=PlainModule(), **goes_on)
    assert other["schedule"] == stretched + "which the learning rate takes no notice of"
    assert rows(estimated_stepping_batches=math.inf)["schedule"].startswith("without an end, since nothing")


def test_a_run_that_only_asks_says_whose_weights_it_asks(rows: Rows, tmp_path: Path) -> None:
    assert rows("predict") == {**ALWAYS, "data": "StubData, predictions only"}
    assert rows("test", ckpt_path=str(tmp_path / "runs/y/last.ckpt")) == {
        **ALWAYS,
        "data": "StubData, test only",
        "trained": "weights of runs/y/last.ckpt",
    }


def test_what_is_validated_on_is_said_where_it_is_not_a_split(rows: Rows) -> None:
    held_back = StubData(images=10, batch_size=4, num_workers=0, val_fraction=0.3)
    shown = rows(data=held_back)
    assert shown["validation"] == "on 3 training images, which are not trained on"
    assert shown["data"].startswith("StubData, 14 questions on 7 images")
    assert rows(data=PlainData(), train_dataloader=[])["validation"] == "none, the data have no val split"


def test_a_loader_of_ones_own_is_shared_by_the_processes_or_not(rows: Rows) -> None:
    numbers: Any = list(range(6))
    own = rows(train_dataloader=DataLoader(numbers), num_training_batches=math.inf)
    assert own["data"] == "StubData, an unknown number of batches an epoch, 2 epochs"
    assert "step" not in own
    two = rows(train_dataloader=DataLoader(numbers), world_size=2, num_training_batches=6)
    assert two["data"] == "StubData, 6 batches an epoch, 2 epochs; each process trains on all of it"
    sampler: Any = DistributedSampler(numbers, num_replicas=2, rank=0)
    dealt_out = rows(train_dataloader=DataLoader(numbers, sampler=sampler), world_size=2)
    assert dealt_out["data"].endswith(", 2 epochs")
