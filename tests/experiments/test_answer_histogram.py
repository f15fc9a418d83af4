"""The histogram of answers beside the true ones."""

from __future__ import annotations

from experiments.report.answer_histogram import (
    MOST_ANSWERS,
    MOST_GIVEN,
    UNREADABLE,
    answer_histogram,
)


def line(task: str, answer: str | None, prediction: str | None) -> dict[str, str | None]:
    return {"task": task, "answer": answer, "prediction": prediction}


def test_answers_are_counted_by_task() -> None:
    lines = {
        "1": line("Depth", "A", "B"),
        "2": line("Depth", "B", "B"),
        "3": line("Depth", "A", None),
        "4": line("Count", "A", "A"),
    }
    assert answer_histogram(lines) == {
        "Count": {"A": (1, 1)},
        "Depth": {"A": (2, 0), "B": (1, 2), UNREADABLE: (0, 1)},
    }
    assert answer_histogram({"1": line("Depth", None, "B")}) == {}


def test_answers_that_hardly_repeat_are_left_out() -> None:
    few = {str(n): line("count", str(n % MOST_ANSWERS), "1") for n in range(40)}
    many = {f"m{n}": line("distance", str(n % (MOST_ANSWERS + 1)), "1") for n in range(40)}
    assert list(answer_histogram({**few, **many})) == ["count"]
    assert len(answer_histogram(few)["count"]) == MOST_ANSWERS


def test_of_many_given_answers_the_most_frequent_are_shown() -> None:
    lines = {f"{a} {b}": line("count", "1", f"{a} boxes") for a in range(20) for b in range(a + 1)}
    shown = answer_histogram(lines)["count"]
    assert set(shown) == {f"{a} boxes" for a in range(20 - MOST_GIVEN, 20)} | {"1"}
    assert shown["19 boxes"] == (0, 20) and shown["1"] == (210, 0)
