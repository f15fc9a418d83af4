"""Any metric of torchmetrics gives a run its one number, and says of how many answers it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy
from torchmetrics.regression import MeanAbsoluteError
from torchmetrics.text import CharErrorRate

from datamodules.answers import read_answer
from datamodules.samples import Answer, AnswerType, SpatialSample
from datamodules.scoring.metrics import Track3Metric
from lightning_modules.one_number import MetricError, OneNumber, taking_answers
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.stub import StubData, StubModule


def answers(form: AnswerType | None, *pairs: tuple[str, str], choices: tuple[str, ...] = ()) -> list[Answer]:
    """Of pairs of what was written and what is true."""
    return [
        Answer(SpatialSample(str(index), "?", answer=true, answer_type=form, choices=choices), written)
        for index, (written, true) in enumerate(pairs)
    ]


class ShareOfLong(Metric):
    """Takes answers, as a metric of one's own does."""

    long: torch.Tensor
    all: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("long", torch.tensor(0.0), "sum")
        self.add_state("all", torch.tensor(0), "sum")

    def update(self, answers: list[Answer]) -> None:
        self.long += sum(len(answer.raw) > 3 for answer in answers)
        self.all += len(answers)

    def compute(self) -> torch.Tensor:
        return self.long / self.all


SIDES = answers(
    AnswerType.SIDE, ("on the left", "left"), ("right", "left"), ("Right.", "right"), ("?", "left")
)
LETTERS = answers(AnswerType.LETTER, ("(B) b", "B"), ("A", "C"), ("c", "C"), choices=("a", "b", "c"))


@pytest.mark.parametrize(
    ("metric", "given", "number", "n", "unreadable"),
    [
        (ShareOfLong(), SIDES, 0.75, 4, 0),
        (BinaryAccuracy(), SIDES, 0.5, 4, 1),
        (MulticlassAccuracy(3, average="micro"), LETTERS, 2 / 3, 3, 0),
        (
            MeanAbsoluteError(),
            answers(AnswerType.DISTANCE, ("2.5 m", "2"), ("far", "3"), ("3", "3")),
            0.25,
            2,
            1,
        ),
        (CharErrorRate(), answers(None, ("table", "tables"), ("door", "door")), 0.1, 2, 0),
        (MeanMetric(), answers(None, ("table", "tables"), ("door ", "door")), 0.5, 2, 0),
        (MeanMetric(), [], None, 0, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Metric) else "",
)
def test_a_plain_metric_gives_its_number(
    metric: Metric, given: list[Answer], number: float | None, n: int, unreadable: int
) -> None:
    score = taking_answers(metric, read_answer)
    for some in (given, given[-1:], given):
        score.reset()
        for answer in some:
            score.update([answer])
        summary = score.compute()
        if some != given:
            continue
        assert summary["score"] == (None if number is None else pytest.approx(number))
        assert (summary["n"], summary["unreadable"], summary["interval"]) == (n, unreadable, None)
        assert summary["metric"] == type(metric).__name__


class Seen(Metric):
    """Keeps the numbers it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[float, float]] = []

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        self.pairs += zip(preds.tolist(), target.tolist(), strict=True)

    def compute(self) -> torch.Tensor:
        return torch.tensor(0.0)


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (SIDES, [(0, 0), (1, 0), (1, 1), (1, 0)]),
        (LETTERS, [(1, 1), (0, 2), (2, 2)]),
        (answers(AnswerType.LETTER, ("?", "A"), ("?", "C"), choices=("x", "y", "z")), [(1, 0), (0, 2)]),
        (answers(AnswerType.REGION, ("2", "0"), ("nothing", "3")), [(2, 0), (0, 3)]),
        (answers(AnswerType.COUNT, ("12", "11"), ("many", "3"), ("4", "4")), [(12, 11), (4, 4)]),
        (answers(AnswerType.DISTANCE, ("2.5 m", "2"), ("far", "3")), [(2.5, 2.0)]),
        (answers(None, ("y", "x"), ("z", "z"), choices=("x", "y", "z")), [(1, 0), (2, 2)]),
    ],
)
def test_answers_are_numbers_of_their_kind(given: list[Answer], numbers: list[tuple[float, float]]) -> None:
    """An unreadable answer is a wrong class, or no amount."""
    seen = Seen()
    score = taking_answers(seen, read_answer)
    score.update(given)
    assert seen.pairs == numbers
    assert score.compute()["n"] == len(numbers)


def test_processes_add_up_how_many_answers_there_are() -> None:
    score = taking_answers(BinaryAccuracy(), read_answer)
    score.update(SIDES)
    score.sync(dist_sync_fn=lambda own, group: [own, own * 2], distributed_available=lambda: True)
    assert (int(score.counted), int(score.unread)) == (12, 3)  # type: ignore[arg-type]


def test_a_benchmarks_own_metric_stays_as_it_is() -> None:
    metric = Track3Metric()
    assert taking_answers(metric) is metric


def test_a_metric_that_cannot_be_a_score_is_refused_in_a_sentence() -> None:
    with pytest.raises(MetricError, match="returned a MetricCollection"):
        taking_answers(MetricCollection([BinaryAccuracy()]))  # type: ignore[arg-type]
    several = taking_answers(MulticlassAccuracy(3, average=None), read_answer)
    several.update(LETTERS)
    with pytest.raises(MetricError, match="MulticlassAccuracy returns 3 numbers"):
        several.compute()
    numbers = taking_answers(BinaryAccuracy(), read_answer)
    with pytest.raises(MetricError, match=r"compares numbers.*question 0, 'a table'"):
        numbers.update(answers(None, ("a table", "a table")))


def test_a_module_is_scored_by_a_plain_metric_of_its_data() -> None:
    class Data(StubData):
        def metric(self, stage: str = "test") -> Any:
            return BinaryAccuracy()

    module, trainer = StubModule(epochs=1), bare_trainer(max_epochs=1, limit_val_batches=1.0)
    trainer.fit(module, Data(num_workers=0))
    assert isinstance(module.metric, OneNumber)
    trainer.test(module, Data(num_workers=0), verbose=False)
    assert module.summary is not None and module.summary["n"] == 22
    assert float(trainer.callback_metrics["test/score"]) == pytest.approx(module.summary["score"])
    official = StubModule(epochs=1)
    official.load_state_dict(module.state_dict(), strict=False)
    trainer.test(official, StubData(num_workers=0), verbose=False)
    assert official.summary is not None
    assert module.summary["score"] == pytest.approx(official.summary["score"] / 100)
