"""The score of a plain module: whose metric it is, and of how many questions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import Tensor
from torchmetrics import Metric, SumMetric

from datamodules.samples import Answer
from experiments.callbacks.logged_score import LoggedScore, answers_in
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.plain_halves import PlainModule
from tests.helpers.stub import StubData

SCORES = {"test": 3.0, "validate": 50.0}


class OfTheStage(StubData):
    """Data whose metric counts answers, each for as much as the stage is worth."""

    def metric(self, stage: str = "test") -> Metric:  # type: ignore[override]
        class Worth(SumMetric):
            def update(self, answers: Any) -> None:
                super().update(torch.tensor(SCORES[stage] * len(answers)))

        return Worth()


class Answering(PlainModule):
    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return [*[Answer(sample, "left") for sample in batch["samples"]], "no answer"]

    validation_step = test_step


@pytest.mark.parametrize("stage", SCORES)
def test_answers_are_judged_by_the_metric_of_the_stage(stage: str) -> None:
    score = LoggedScore()
    trainer = bare_trainer(limit_val_batches=1.0, callbacks=[score], logger=False)
    data, module = OfTheStage(num_workers=0), Answering()
    data.collator = lambda samples: {"samples": samples}
    ask = {"test": trainer.test, "validate": trainer.validate}[stage]
    ask(module, datamodule=data, verbose=False)
    assert score.judged
    assert score.summary == {
        "score": 22 * SCORES[stage],
        "n": 22,
        "interval": None,
        "unreadable": 0,
        "tasks": {},
        "metric": "Worth",
    }


class TwoProcesses:
    """A strategy of two processes that have seen the same number of questions."""

    root_device = torch.device("cpu")

    def reduce(self, tensor: Tensor, reduce_op: str) -> Tensor:
        return {"sum": 2 * tensor, "mean": tensor}[reduce_op]


@pytest.mark.parametrize(
    ("logged", "metric"),
    [
        ({"test/loss": 0.7, "test/accuracy": 0.25, "test/f1": 0.5}, "test/accuracy"),
        ({"test/Loss": 0.7, "test/none": float("nan"), "test/f1": 0.5}, "test/f1"),
        ({"test/endless": float("inf"), "test/loss": 0.7}, "test/loss"),
        ({}, None),
    ],
)
def test_without_answers_it_is_the_first_number_that_is_no_loss(
    logged: dict[str, float], metric: str | None
) -> None:
    score, module = LoggedScore(), LightningModule()
    trainer: Any = SimpleNamespace(
        datamodule=None, state=SimpleNamespace(fn="test"), strategy=TwoProcesses(), callback_metrics=logged
    )
    score.on_test_start(trainer, module)
    for size in (4, 3):
        score.on_test_batch_end(trainer, module, None, {"samples": list(range(size))}, 0)
    score.on_test_batch_end(trainer, module, None, torch.zeros(5, 2), 0)
    score.on_test_end(trainer, module)
    assert not score.judged
    if metric is None:
        assert score.summary is None
        return
    assert score.summary == {
        "score": logged[metric],
        "n": 24,
        "interval": None,
        "unreadable": 0,
        "tasks": {},
        "metric": metric,
    }
    trainer.state.fn = "fit"
    score.on_validation_start(trainer, module)
    score.on_validation_end(trainer, module)
    assert score.summary is None, "a validation within a fit is not the run's score"


def test_only_answers_are_answers() -> None:
    answer = Answer(sample=Any, raw="x")  # type: ignore[arg-type]
    assert answers_in([answer, 3, None, answer]) == [answer, answer]
    assert answers_in({"loss": 1}) == answers_in(None) == []
