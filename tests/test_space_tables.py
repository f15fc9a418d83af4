"""The tables of `measure_space` hold what a count by hand gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.space_tables import (
    BANDS_M,
    Judged,
    Row,
    alone_against_all,
    as_markdown,
    by_category,
    by_steps,
    consistency,
    distance_bands,
    is_consistent,
    names_pallets,
    paired,
    share_row,
)
from datamodules.benchmarks.track3_records import CATEGORIES
from datamodules.samples import Answer, SpatialSample
from datamodules.scoring.metrics import Track3Metric, track3_correct

PAIR = "How far is the pallet <mask> from the shelf <mask>?"
BARE = "Given the buffer regions <mask> <mask>, how many pallets are in the leftmost buffer region?"
LISTED = "How many of the pallets <mask> <mask> are in the buffer region <mask>?"
STEP = "[Region 0] is the leftmost pallet."
APART = "[Region 0] and [Region 1] are 2.50 meters apart."


def judged(
    name: str,
    task: str,
    truth: str,
    prediction: str | None,
    *,
    question: str = PAIR,
    rationale: str = APART,
    image: str | None = None,
) -> Judged:
    sample = SpatialSample(
        id=name,
        question=question,
        answer=truth,
        answer_type=CATEGORIES[task],
        rationale=rationale,
        task=task,
        group=image or f"{name}.png",
    )
    return Judged(
        sample, prediction, bool(prediction is not None and track3_correct(task, truth, prediction))
    )


def answers(*each: Judged) -> dict[str, Judged]:
    return {one.sample.id: one for one in each}


def row(rows: list[Row], what: str) -> Row:
    (found,) = (each for each in rows if each["what"] == what)
    return found


def many(seed: int, count: int = 60) -> dict[str, Judged]:
    """Random answers to random questions, several an image."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        task = list(CATEGORIES)[number % 4]
        truth = {"left_right": "left", "distance": f"{rng.uniform(0.5, 9):.2f}"}.get(
            task, str(rng.integers(4))
        )
        guess = str(rng.choice(["left", "right"])) if task == "left_right" else str(rng.integers(4))
        guess = str(round(float(truth) * rng.uniform(0.8, 1.2), 2)) if task == "distance" else guess
        made.append(judged(f"q{number}", task, truth, guess, image=f"{number // 5}.png"))
    return answers(*made)


def test_the_score_is_the_benchmarks_own() -> None:
    """Each row's figures are those that a test of the same answers would write down."""
    chosen = many(0)
    metric = Track3Metric()
    metric.update([Answer(each.sample, each.prediction or "") for each in chosen.values()])
    expected = metric.compute()
    total, *tasks = by_category(chosen)
    assert (total["score"], total["n"], total["interval"]) == (
        pytest.approx(expected["score"]),
        expected["n"],
        pytest.approx(expected["interval"], abs=2.0),  # the same images, drawn in another order
    )
    for each in tasks:
        wanted = expected["tasks"][each["what"]]
        assert (each["score"], each["n"]) == (pytest.approx(wanted["score"]), wanted["n"])


def test_questions_stand_by_their_steps_and_counts_by_what_they_name() -> None:
    chosen = answers(
        judged("a", "distance", "2.5", "2.6"),
        judged("b", "distance", "2.5", "9"),
        judged("c", "distance", "2.5", "2.5", rationale=f"{STEP} {APART}"),
        judged("d", "distance", "2.5", "9", rationale=f"{STEP} {STEP} {APART}"),
        judged("e", "distance", "2.5", "2.5", rationale=f"{STEP} {STEP} {STEP} {APART}"),
        judged("f", "count", "2", "2", question=BARE),
        judged("g", "count", "2", "3", question=LISTED),
        judged("h", "mcq", "1", "0"),
    )
    rows = by_steps(chosen)
    found = {each["what"]: (each["n"], each["score"]) for each in rows}
    assert found == {
        "mcq after 0": (1, 0.0),
        "distance after 0": (2, 50.0),
        "distance after 1": (1, 100.0),
        "distance after 2": (1, 0.0),
        "distance after 3": (1, 100.0),
        "count after 0": (2, 50.0),
        "bare counts": (1, 100.0),
    }


@pytest.mark.parametrize(
    ("question", "named"),
    [
        (PAIR, True),
        (LISTED, True),
        (BARE, False),
        ("How many pallets are in the buffer region <mask>?", False),
        ("Given the Pallets <mask> <mask>, which is nearest to the shelf <mask>?", True),
        ("How far is the transporter <mask> from the shelf <mask>?", False),
    ],
)
def test_a_pallet_is_named_where_its_mark_follows_the_word(question: str, named: bool) -> None:
    assert names_pallets(question) == named


def test_distances_stand_in_the_band_of_the_true_one() -> None:
    shelf = "How far is the transporter <mask> from the shelf <mask>?"
    chosen = answers(
        judged("a", "distance", "1.99", "1.99"),
        judged("b", "distance", "2.0", "1.0"),
        judged("c", "distance", "4.0", "4.2", question=shelf),
        judged("d", "distance", "5.0", "4.0"),
        judged("e", "distance", "10.0", None),
        judged("f", "distance", "8.0", "8.4"),
        judged("g", "count", "1", "1"),
    )
    rows = distance_bands(chosen)
    assert len(rows) == 3 * len(BANDS_M)
    assert row(rows, "0 to 2 m")["n"] == 1
    middle = row(rows, "2 to 5 m")
    assert (middle["n"], middle["score"], middle["median relative error"]) == (2, 50.0, pytest.approx(27.5))
    assert row(rows, "2 to 5 m, with a pallet")["score"] == 0.0
    assert row(rows, "2 to 5 m, without")["median relative error"] == pytest.approx(5.0)
    far = row(rows, "5 m and more")
    # An answer that cannot be read is as wrong as can be.
    assert (far["n"], far["median relative error"]) == (3, pytest.approx(20.0))
    assert row(rows, "0 to 2 m, without") == {
        "what": "0 to 2 m, without",
        "n": 0,
        "score": None,
        "interval": None,
        "median relative error": None,
    }
    unreadable = distance_bands(
        answers(judged("a", "distance", "6", None), judged("b", "distance", "7", "far"))
    )
    assert row(unreadable, "5 m and more")["median relative error"] is None
    everything = sum(each["n"] for each in rows if "," not in each["what"])
    assert everything == sum(each["n"] for each in rows if "," in each["what"]) == 6


@pytest.mark.parametrize(
    ("task", "plain", "mirrored", "consistent"),
    [
        ("left_right", "left", "right", True),
        ("left_right", "left", "left", False),
        ("mcq", "2", "2", True),
        ("mcq", "2", "1", False),
        ("count", "3", "3", True),
        ("count", "3", "4", False),
        ("distance", "5.00", "5.49", True),
        ("distance", "5.00", "4.51", True),
        ("distance", "5.00", "5.51", False),
        ("distance", None, "5.0", False),
        ("distance", "5.0", None, False),
        ("left_right", "clockwise", "clockwise", False),
    ],
)
def test_a_mirrors_answer_is_brought_back_and_compared(
    task: str, plain: str | None, mirrored: str | None, consistent: bool
) -> None:
    """Whether the two are right has no say in it."""
    for truth in ("1", "2.5", "left"):
        pair = [Judged(judged("a", task, truth, None).sample, text, False) for text in (plain, mirrored)]
        assert is_consistent(*pair) == consistent


def test_consistency_counts_questions_of_each_category() -> None:
    plain = answers(
        judged("a", "left_right", "left", "left"),
        judged("b", "left_right", "left", "right"),
        judged("c", "count", "2", "1"),
    )
    mirrored = answers(
        judged("c", "count", "2", "2"),
        judged("b", "left_right", "right", "right"),
        judged("a", "left_right", "right", "right"),
    )
    rows = consistency(plain, mirrored)
    assert [(each["what"], each["n"]) for each in rows] == [("all", 3), ("left_right", 2), ("count", 1)]
    assert row(rows, "all")["consistent"] == pytest.approx(100 / 3)
    assert row(rows, "all")["mirrored right"] == pytest.approx(100.0)
    assert (row(rows, "left_right")["consistent"], row(rows, "count")["consistent"]) == (50.0, 0.0)


def test_questions_are_paired_by_their_ids_whatever_their_order() -> None:
    ours, other = many(1), many(2)
    turned = {name: other[name] for name in reversed(list(other))}
    assert paired(ours, other) == paired(ours, turned)
    assert alone_against_all(ours, other) == alone_against_all(ours, turned)
    first, *_ = paired(ours, other)
    right = [np.mean([each.correct for each in some.values()]) * 100 for some in (ours, other)]
    assert (first["this run"], first["other run"]) == (pytest.approx(right[0]), pytest.approx(right[1]))
    *_, difference = alone_against_all(ours, other)
    assert difference["score"] == pytest.approx(right[1] - right[0])
    changed = np.mean([ours[name].prediction != other[name].prediction for name in ours]) * 100
    assert difference["other answers"] == pytest.approx(changed)
    assert alone_against_all(ours, ours)[-1]["other answers"] == 0.0


def test_intervals_draw_images_and_not_questions() -> None:
    """Of questions that rise and fall with their image the interval is wider than of as many images."""

    def width(images: int) -> float:
        some = [
            judged(f"q{number}", "count", "1", str(number % images % 2), image=f"{number % images}.png")
            for number in range(40)
        ]
        low, high = share_row("all", some)["interval"]
        return float(high - low)

    assert width(8) > 1.5 * width(40)


def test_a_table_has_a_column_for_whatever_a_row_holds() -> None:
    rows: list[dict[str, Any]] = [
        {"what": "all", "n": 1234, "score": 93.28, "interval": [92.0, 94.51]},
        {"what": "none", "n": 0, "score": None, "p": 0.00012},
    ]
    text = as_markdown("Some", rows)
    assert text.splitlines() == [
        "## Some",
        "",
        "| what | n | score | interval | p |",
        "|---|---|---|---|---|",
        "| all | 1,234 | 93.3 | 92.0 to 94.5 |  |",
        "| none | 0 |  |  | 0.00012 |",
    ]
