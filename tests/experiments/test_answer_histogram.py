"""The histogram of answers beside the true ones."""

from __future__ import annotations

from experiments.report.answer_histogram import MOST_ANSWERS, UNREADABLE, answer_histogram


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


def test_of_many_answers_the_most_frequent_are_shown() -> None:
    lines = {f"{a} {b}": line("distance", f"{a}.5", "1.5") for a in range(40) for b in range(a + 1)}
    shown = answer_histogram(lines)["distance"]
    assert set(shown) == {f"{a}.5" for a in range(40 - MOST_ANSWERS, 40)} | {"1.5"}
    assert shown["39.5"] == (40, 0) and shown["1.5"] == (2, 820)
