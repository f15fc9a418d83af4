"""The figures of audits, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from datamodules.samples import AnswerType, Region, SpatialSample
from experiments.audits.figures import Paired, above_chance, chance_of, figures, gap, rotations


def sample(
    name: str, form: AnswerType | None, choices: int = 0, regions: int = 0, **more: Any
) -> SpatialSample:
    region = Region.from_mask(np.ones((2, 2), bool))
    return SpatialSample(
        id=name,
        question="?",
        choices=tuple(map(str, range(choices))),
        regions=(region,) * regions,
        answer_type=form,
        **more,
    )


def line(correct: bool, prediction: str | None = "A") -> dict[str, Any]:
    return {"correct": correct, "prediction": prediction}


def test_chance_is_one_of_the_possible_answers() -> None:
    assert chance_of(sample("a", AnswerType.LETTER, choices=4)) == 1 / 4
    assert chance_of(sample("a", AnswerType.LETTER, choices=6)) == 1 / 6
    assert chance_of(sample("a", AnswerType.LETTER)) == 1 / 4  # drawn in the picture
    assert chance_of(sample("a", AnswerType.SIDE)) == 1 / 2
    assert chance_of(sample("a", AnswerType.REGION, regions=5)) == 1 / 5
    for form in (AnswerType.COUNT, AnswerType.DISTANCE, AnswerType.TEXT, None):
        assert chance_of(sample("a", form, regions=3)) == 0


def test_what_is_above_chance_weighs_questions_by_what_a_guess_lacks() -> None:
    right, chance = np.array([True, False, True]), np.array([1 / 2, 1 / 4, 0.0])
    # (1/2 - 1/4) of (1/2 + 3/4); the third question has no fixed set of answers.
    assert above_chance(right, chance) == pytest.approx(100 * 0.25 / 1.25)
    assert above_chance(np.array([True]), np.array([0.0])) is None


def test_every_figure_of_a_pass() -> None:
    samples = {
        str(number): sample(
            str(number), AnswerType.SIDE, task="a" if number < 2 else "b", group=f"g{number // 2}"
        )
        for number in range(6)
    }
    before = {str(n): line(right) for n, right in enumerate((True, True, True, False, False, True))}
    after = {
        "0": line(True),
        "1": line(False, None),
        "2": line(False, "B"),
        "3": line(True, "B"),
        "4": line(False),
        "left out of the data": line(True),
    }
    made = figures(Paired.of(before, after, samples))
    assert (made["n"], made["images"]) == (5, 3)
    assert made["before"]["score"] == 60 and made["after"]["score"] == 40
    assert made["difference"] == pytest.approx(-20)
    assert (made["newly_wrong"], made["newly_right"], made["both_right"], made["both_wrong"]) == (2, 1, 1, 1)
    assert made["unreadable"] == [0, 1] and made["answers_changed"] == 3
    assert made["tasks"] == {
        "a": {"n": 2, "before": 100, "after": 50},
        "b": {"n": 3, "before": pytest.approx(100 / 3), "after": pytest.approx(100 / 3)},
    }
    assert made["largest_loss"] >= 20
    one = figures(Paired.of({"0": line(True)}, {"0": line(False)}, samples))
    assert one["p"] is None and one["can_show"] is None and one["images"] == 1


def test_rotations_are_scored_plainly_on_average_and_strictly() -> None:
    samples = {"two": sample("two", AnswerType.LETTER, 2), "three": sample("three", AnswerType.LETTER, 3)}
    samples |= {"seven": sample("seven", AnswerType.LETTER, 7), "none": sample("none", AnswerType.SIDE)}
    asked = [
        {name: line(True, "A") for name in samples},
        {"two": line(True, "B"), "three": line(False, "B"), "seven": line(True, "B")},
        {"three": line(True, "C"), "seven": line(True, "C")},
    ]
    turned = rotations(asked, samples)
    assert turned is not None
    assert (turned["n"], turned["left_out"]) == (2, 1)
    assert turned["plain"]["score"] == 100 and turned["strict"]["score"] == 50
    assert turned["mean"]["score"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert turned["letters"] == {"A": 2, "B": 2, "C": 1}
    assert rotations(asked[:1], {"none": samples["none"]}) is None


def test_the_gap_of_two_kinds_of_question_is_drawn_over_images() -> None:
    random = np.random.default_rng(0)
    images = np.repeat(np.arange(200), 2)
    kind = np.tile([True, False], 200)
    right = random.random(400) < np.where(kind, 0.8, 0.5)
    found = gap(right, images, kind, ~kind)
    assert found["difference"] == pytest.approx(100 * (right[kind].mean() - right[~kind].mean()))
    low, high = found["interval"]
    # As wide as that of two shares of 200 questions that have nothing to do with each other.
    width = 2 * 1.96 * 100 * np.sqrt(0.8 * 0.2 / 200 + 0.25 / 200)
    assert high - low == pytest.approx(width, rel=0.2) and low < found["difference"] < high
