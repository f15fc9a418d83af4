"""What is said of figures: a loss only where interval and test agree, no loss only where none is possible."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.audits.findings import MARGIN, findings_of, in_short, leans_on_height, verdict


def row(**changes: Any) -> dict[str, Any]:
    """The figures of a pass that changes nothing to speak of."""
    return {
        "said": "no colours",
        "n": 400,
        "images": 200,
        "before": {"score": 60.0, "n": 400, "interval": [55.0, 65.0]},
        "after": {"score": 60.0, "n": 400, "interval": [55.0, 65.0]},
        "above_chance": [20.0, 20.0],
        "difference": 0.0,
        "interval": [-1.0, 1.0],
        "largest_loss": 1.0,
        "p": 0.9,
        "newly_wrong": 3,
        "newly_right": 3,
        "answers_changed": 6,
        "unreadable": [0, 0],
        "changed": 1.0,
        "left_out": {},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "holds"),
        ({"interval": [-8.0, -1.0], "largest_loss": 8.0, "p": 0.0625}, "unclear"),
        ({"interval": [-8.0, -1.0], "largest_loss": 8.0, "p": 0.01}, "loses"),
        ({"interval": [-8.0, -1.0], "largest_loss": 8.0, "p": 0.01, "holm": 0.06}, "unclear"),
        ({"interval": [-1.5, -0.1], "largest_loss": 1.5, "p": 0.01}, "loses"),
        ({"interval": [-1.5, 0.5], "largest_loss": MARGIN}, "unclear"),
        ({"images": 39}, "unclear"),
        ({"p": None, "images": 1}, "unclear"),
    ],
)
def test_a_verdict_needs_interval_and_test(changes: dict[str, Any], expected: str) -> None:
    figures = row(**changes)
    assert verdict(figures) == expected
    audits = {"grayscale": {"expects": "stays", "passes": {"grayscale": figures}}}
    said = findings_of("grayscale", audits["grayscale"])[0]
    words = {"holds": "loses less than 2 points", "loses": "It loses with", "unclear": "is not clear"}
    short = {"holds": "It loses less", "loses": "It loses with", "unclear": "Not clear"}
    assert words[expected] in said
    assert in_short(audits)[-1].startswith(short[expected])


def test_what_was_taken_away_may_be_missed_or_not() -> None:
    none = {"expects": "falls", "passes": {"no_depth": row(said="no depth")}}
    assert "nothing shows that it uses the depth" in findings_of("no_depth", none)[0]
    assert "nothing shows that it looks" in findings_of("blindfolded", none)[0]
    some = {"expects": "falls", "passes": {"no_depth": row(interval=[-9.0, -3.0])}}
    assert "shows" not in findings_of("no_depth", some)[0]


def test_cautions_stand_behind_the_sentence() -> None:
    figures = row(changed=0.25, left_out={"it has none": 1200}, unreadable=[1, 8], images=12)
    said = findings_of("mirrored", {"expects": "stays", "passes": {"mirrored": figures}})[0]
    for words in (
        "Only 25.0 % of the questions",
        "1,200 questions could not be asked so.",
        "7 more answers cannot be read.",
        "There are 12 images only",
    ):
        assert words in said


def test_height_is_leant_on_where_the_gap_is_above_nothing_and_both_classes_are_there() -> None:
    def said(low: float, high: float, counter: int = 30) -> str:
        part = {"score": 70.0, "interval": [60.0, 80.0]}
        classes = {"consistent": {**part, "n": 90}, "counter": {**part, "n": counter}}
        gap = {"difference": (low + high) / 2, "interval": [low, high]}
        return leans_on_height({"classes": classes, "gap": gap})

    assert said(2.0, 9.0).startswith("It leans on height: +5.5 points")
    assert "is not shown" in said(-1.0, 9.0)
    assert said(2.0, 9.0, counter=9).startswith("With 9 questions of one class nothing")
