"""What guessers score: what their chances say, and nothing where there is nothing to guess."""

from __future__ import annotations

import pytest

from datamodules.samples import AnswerType, SpatialSample
from datamodules.scoring.chance_baseline import GUESSERS, chance_baseline
from datamodules.scoring.choice_metrics import CvBenchMetric
from datamodules.scoring.metrics import Track3Metric
from tests.helpers.listed_data import ListedData


def chosen(number: int, choices: int, task: str = "Count") -> SpatialSample:
    return SpatialSample(
        id=str(number),
        question="How many?",
        choices=tuple(map(str, range(choices))),
        answer="B",
        answer_type=AnswerType.LETTER,
        task=task,
        source="ADE20K",
    )


def test_guessers_are_right_as_often_as_their_chances_say() -> None:
    samples = [chosen(number, 2 if number % 2 else 4) for number in range(800)]
    result = chance_baseline(ListedData(samples), CvBenchMetric())
    assert result is not None
    # A standard deviation of the mean of all guesses.
    spread = 100 * (0.24 / (GUESSERS * len(samples))) ** 0.5
    assert result["tasks"]["Count"]["score"] == pytest.approx(100 * (1 / 2 + 1 / 4) / 2, abs=4 * spread)
    assert result["n"] == 800 and result["tasks"]["Count"]["n"] == 800
    assert result == chance_baseline(ListedData(samples), CvBenchMetric())


def test_sides_regions_and_counts_have_their_own_chances() -> None:
    def side(number: int) -> SpatialSample:
        return SpatialSample(
            id=str(number),
            question="Left or right?",
            answer="left",
            answer_type=AnswerType.SIDE,
            task="left_right",
        )

    result = chance_baseline(ListedData([side(number) for number in range(400)]), Track3Metric())
    assert result is not None
    assert result["score"] == pytest.approx(50, abs=4 * 100 * (0.25 / (400 * GUESSERS)) ** 0.5)


def test_free_answers_have_no_chance() -> None:
    free = SpatialSample(id="1", question="What is it?", answer="a door", answer_type=AnswerType.TEXT)
    assert chance_baseline(ListedData([free]), CvBenchMetric()) is None
