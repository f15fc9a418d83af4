"""The scores of CV-Bench, OmniSpatial and SpaceThinker against their rules written down once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datamodules.samples import Answer, AnswerType, DataError, SpatialSample
from datamodules.scoring.baselines import best_fixed_answers
from datamodules.scoring.choice_metrics import (
    ChoiceMetric,
    CvBenchMetric,
    OmniSpatialMetric,
    SpaceThinkerMetric,
    cv_bench_score,
)
from datamodules.scoring.metrics import Judgement
from datamodules.scoring.official_rules import asks_for_answer_line, omni_spatial_official

SCORE = {"score", "n", "interval"}


def choice(
    name: object,
    raw: str,
    truth: str | None,
    task: str,
    source: str,
    choices: Sequence[str] = ("4", "3", "2"),
) -> Answer:
    sample = SpatialSample(
        str(name),
        "How many?",
        choices=tuple(choices),
        answer=truth,
        answer_type=AnswerType.LETTER,
        task=task,
        source=source,
        group=f"image {int(str(name)) // 3}" if str(name).isdigit() else "",
    )
    return Answer(sample, raw)


def scored(metric: ChoiceMetric, answers: list[Answer]) -> dict[str, Any]:
    metric.update(answers)
    metric.update(answers[:2])  # a padded sampler shows some questions twice
    result: dict[str, Any] = metric.compute()
    return result


QUESTION = st.tuples(
    st.sampled_from(["(A) 4", "The answer is B.", "2", "I cannot tell."]),
    st.sampled_from("ABC"),
    st.sampled_from([("Count", "ADE20K"), ("Relation", "COCO"), ("Count", "COCO"), ("Depth", "Omni3D")]),
)
READ = {"(A) 4": "A", "The answer is B.": "B", "2": "C", "I cannot tell.": None}


@settings(deadline=None, max_examples=40)
@given(st.lists(QUESTION, min_size=1, max_size=30))
def test_cv_bench_equals_the_reference(questions: list[tuple[str, str, tuple[str, str]]]) -> None:
    answers = [choice(number, raw, truth, *place) for number, (raw, truth, place) in enumerate(questions)]
    result = scored(CvBenchMetric(), answers)
    verdicts = [(READ[raw] == truth, place) for raw, truth, place in questions]

    def accuracy(source: str) -> list[float]:
        of_source = [100 * right for right, (_, named) in verdicts if named == source]
        return [sum(of_source) / len(of_source)] if of_source else []

    flat = accuracy("ADE20K") + accuracy("COCO")
    parts = ([sum(flat) / len(flat)] if flat else []) + accuracy("Omni3D")
    assert result["score"] == pytest.approx(sum(parts) / len(parts))
    assert result["ours"]["score"] == pytest.approx(100 * np.mean([right for right, _ in verdicts]))
    assert result["official"] == {key: result[key] for key in SCORE}
    assert result["n"] == result["ours"]["n"] == len(questions)
    assert result["unreadable"] == sum(READ[raw] is None for raw, _, _ in questions)
    assert sum(part["n"] for part in result["sources"].values()) == len(questions)
    assert sum(part["n"] for part in result["tasks"].values()) == len(questions)
    for part in [result, result["ours"], *result["sources"].values(), *result["tasks"].values()]:
        assert part.keys() >= SCORE
        assert -1e-9 <= part["interval"][0] <= part["interval"][1] <= 100 + 1e-9


def test_cv_bench_by_hand() -> None:
    """ADE20K 1 of 1, COCO 1 of 2, Omni3D 2 of 4: 2D is 75, 3D is 50, so 62.5; of all seven, 4 are right."""
    places = [("Count", "ADE20K"), *[("Relation", "COCO")] * 2, *[("Depth", "Omni3D")] * 4]
    said = ["A", "A", "B", "A", "B", "A", "?"]
    answers = [choice(number, said[number], "A", *place) for number, place in enumerate(places)]
    result = scored(CvBenchMetric(), answers)
    assert result["official"]["score"] == result["score"] == pytest.approx(62.5)
    assert result["ours"]["score"] == pytest.approx(100 * 4 / 7)
    assert result["unreadable"] == 1


def test_cv_bench_of_the_published_size() -> None:
    """2D = (ADE20K + COCO) / 2, so that a question of the smaller source weighs more."""
    correct, count = np.array([10.0, 60.0, 90.0]), np.array([100.0, 100.0, 100.0])
    assert cv_bench_score(correct, count) == pytest.approx(((10 + 60) / 2 + 90) / 2)
    many = cv_bench_score(
        np.stack([correct] * 3), np.array([[100, 100, 100], [100, 100, 0], [0, 100, 100.0]])
    )
    assert many == pytest.approx([62.5, 35, 75])


def test_the_official_interval_is_wider_than_that_of_all_questions_together() -> None:
    """With few ADE20K questions the official score hangs on them; the micro-accuracy does not."""
    random = np.random.default_rng(0)
    answers = [
        choice(f"{number}x", "A" if random.random() < 0.5 else "B", "A", "Count", source)
        for number, source in enumerate(["ADE20K"] * 12 + ["COCO"] * 300 + ["Omni3D"] * 300)
    ]
    result = scored(CvBenchMetric(), answers)
    widths = [high - low for low, high in (result["interval"], result["ours"]["interval"])]
    # Its variance is a quarter of (ADE20K's and COCO's quarter) plus Omni3D's.
    deviation = 50 * np.sqrt((1 / 12 / 4 + 1 / 300 / 4 + 1 / 300) / 4)
    assert widths[0] == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    assert widths[1] == pytest.approx(2 * 1.96 * 50 / np.sqrt(612), rel=0.1)


def test_cv_bench_needs_a_source_that_the_score_combines() -> None:
    with pytest.raises(DataError, match="Question 1 has the source 'rendered'; the official score"):
        CvBenchMetric().update([choice(1, "A", "A", "Count", "rendered")])


OMNI = [
    ("A", "A"),  # official: A for want of a line; ours: A
    ("Hard to say.", "A"),  # official: A; ours: unreadable
    ("(B)", "B"),  # official: A; ours: B
    ("Answer: A is near.\nAnswer: B", "B"),  # both: the last one
    ("So it must be C. answer: c", "C"),  # official: c, which is no letter; ours: C
]
"""By hand: officially 1, 1, 0, 1, 0 are right, and by our rules 1, 0, 1, 1, 1."""
LINE = "Which is it? Think, then write Answer: X, where X is the letter."


def omni(asked: str | None) -> list[Answer]:
    return [
        Answer(
            choice(number, raw, truth, "Complex_Logic", "Pattern_Recognition", choices=()).sample, raw, asked
        )
        for number, (raw, truth) in enumerate(OMNI)
    ]


@pytest.mark.parametrize("asked", [LINE, None])
def test_omni_spatial_by_hand(asked: str | None) -> None:
    result = scored(OmniSpatialMetric(), omni(asked))
    assert result["official"]["score"] == pytest.approx(60)
    assert result["score"] == result["ours"]["score"] == pytest.approx(80)
    assert result["unreadable"] == 1
    assert "official_reason" not in result
    assert result["sources"].keys() == {"Pattern_Recognition"}
    assert result["tasks"]["Complex_Logic"]["n"] == result["official"]["n"] == 5


@pytest.mark.parametrize("asked", ["", "Which is it? Answer with the option's letter."])
def test_a_run_that_was_not_asked_for_the_official_form_has_no_official_score(asked: str) -> None:
    """One question that was asked otherwise is enough."""
    result = scored(OmniSpatialMetric(), [*omni(LINE)[:-1], omni(asked)[-1]])
    assert result["official"] is None
    assert "`Answer: X`" in result["official_reason"]
    assert result["score"] == result["ours"]["score"] == pytest.approx(80)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("End with a line `Answer: X` where X is one of A to D.", True),
        ("Write\n\nAnswer: <letter>", True),
        ("Finish with: answer: [the letter]", True),
        ("Write Answer: A, Answer: B, Answer: C or Answer: D.", True),
        ("Which is nearer?\nAnswer:", False),
        ("Which sign says answer: a red one?", False),
        ("Answer: a number.", False),
        ("Answer with the option's letter.", False),
        ("", False),
    ],
)
def test_words_that_ask_for_the_official_form(asked: str, expected: bool) -> None:
    assert asks_for_answer_line(asked) is expected


PIECES = st.sampled_from(["Answer: ", "answer :", "ANSWER:\n", "A", "B", "d", "E", "The", "**", "\n", " "])


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_official_letter_equals_the_reference(text: str) -> None:
    """Walked through from the end, without the pattern of the official code."""
    expected = "A"
    for start in range(len(text) - 6, -1, -1):
        if text[start : start + 6].lower() == "answer":
            colon = text[start + 6 :].lstrip()
            letter = colon[1:].lstrip()[:2] if colon.startswith(":") else ""
            if letter[:1] in tuple("ABCDabcd") and not letter[1:].isalnum():
                expected = letter[0]
                break
    assert omni_spatial_official(text) == expected


def test_an_unknown_kind_of_question_is_counted_but_has_no_row_of_its_own() -> None:
    answers = [
        choice(1, "A", "A", "Complex_Logic", "new"),
        choice(2, "A", "B", "Complex_Logic", "Egocentric"),
    ]
    result = scored(OmniSpatialMetric(), answers)
    assert (result["n"], result["score"]) == (2, 50)
    assert {name: part["n"] for name, part in result["sources"].items()} == {"Egocentric": 1}


def test_letters_are_read_with_the_choices_of_the_question() -> None:
    metric = OmniSpatialMetric()
    answers = [
        choice(0, "It is three.", "B", "Complex_Logic", "", ("4", "3")),
        choice(1, "E", "B", "Complex_Logic", "", ("4", "3")),
    ]
    assert [metric.judge(answer).prediction for answer in answers] == ["B", None]


def test_what_is_no_multiple_choice_question_is_refused() -> None:
    answer = Answer(SpatialSample("q", "How far?", answer="2 m", answer_type=AnswerType.DISTANCE), "A")
    with pytest.raises(DataError, match="Question q is no multiple-choice question"):
        OmniSpatialMetric().judge(answer)


@pytest.mark.parametrize("metric", [CvBenchMetric(), OmniSpatialMetric(), SpaceThinkerMetric()])
def test_a_question_without_truth_cannot_be_scored(metric: ChoiceMetric) -> None:
    with pytest.raises(DataError, match="Question 1 has no known answer"):
        metric.judge(choice(1, "A", None, "Count", "COCO"))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("metric", [CvBenchMetric(), OmniSpatialMetric(), SpaceThinkerMetric()])
def test_a_metric_that_saw_nothing(metric: ChoiceMetric) -> None:
    result = metric.compute()
    assert (result["score"], result["n"], result["unreadable"], result["tasks"]) == (0.0, 0, 0, {})
    assert result.get("official", {"n": 0})["n"] == result.get("ours", {"n": 0})["n"] == 0


def thought(raw: str, truth: str, form: AnswerType | None, task: str = "distance") -> Answer:
    return Answer(SpatialSample(f"{raw} {truth}", "?", answer=truth, answer_type=form, task=task), raw)


@pytest.mark.parametrize(
    ("raw", "truth", "form", "prediction", "correct", "strict"),
    [
        ("2–3 feet", "2–3 feet", AnswerType.DISTANCE, "0.6096-0.9144 m", True, True),  # noqa: RUF001
        (
            "<think>It is far.</think><answer>1 meter</answer>",
            "2-3 feet",
            AnswerType.DISTANCE,
            "1 m",
            True,
            True,
        ),
        ("1.2 m", "2-3 feet", AnswerType.DISTANCE, "1.2 m", True, False),
        ("1.9 m", "2-3 feet", AnswerType.DISTANCE, "1.9 m", False, False),
        ("About 5 meters", "10 m", AnswerType.DISTANCE, "5 m", True, False),
        ("4.99 m", "10 m", AnswerType.DISTANCE, "4.99 m", False, False),
        ("0.1 m", "0 m", AnswerType.DISTANCE, "0.1 m", False, False),
        ("2.5", "2.4 m", AnswerType.DISTANCE, "2.5 m", True, True),
        ("far away", "10 m", AnswerType.DISTANCE, None, False, False),
        ("There are three chairs.", "3", AnswerType.COUNT, "3", True, False),
        ("4", "three", AnswerType.COUNT, "4", False, False),
        ("many", "3", AnswerType.COUNT, None, False, False),
        ("The chair.", "chair", AnswerType.TEXT, "The chair.", True, False),
        ("the two chairs", "2 chairs", AnswerType.TEXT, "the two chairs", True, False),
        ("table", "chair", AnswerType.TEXT, "table", False, False),
        ("", "chair", AnswerType.TEXT, None, False, False),
        ("Very near", "very near", AnswerType.DISTANCE, "Very near", True, False),
        ("on the left", "On the left.", None, "on the left", True, False),
    ],
)
def test_space_thinker_rules(
    raw: str, truth: str, form: AnswerType | None, prediction: str | None, correct: bool, strict: bool
) -> None:
    judgement = SpaceThinkerMetric().judge(thought(raw, truth, form))
    is_length = form is AnswerType.DISTANCE and truth != "very near"
    assert judgement == Judgement(prediction, correct, (is_length, strict))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 30), st.sampled_from(["feet", "m"])), min_size=1)
)
@example([(1, 21, "feet"), (27, 0, "m"), (88, 0, "feet")])  # the first ends where the last begins
def test_no_fixed_length_beats_the_baseline(lengths: list[tuple[int, int, str]]) -> None:
    """Tried against every tenth of a metre."""
    truths = [f"{low}-{low + more} {unit}" for low, more, unit in lengths]
    fixed = best_fixed_answers([("size", truth) for truth in truths], {"size": AnswerType.DISTANCE})["size"]
    metres = {"feet": 0.3048, "m": 1.0}
    ends = [(low * metres[unit] / 2, 2 * (low + more) * metres[unit]) for low, more, unit in lengths]
    judge = SpaceThinkerMetric().judge
    reached = sum(judge(thought(fixed, truth, AnswerType.DISTANCE, "size")).correct for truth in truths)
    best = max(sum(low <= tenth / 10 <= high for low, high in ends) for tenth in range(2500))
    assert reached >= best


def test_space_thinker_counts_lengths_apart() -> None:
    answers = [
        thought("2 m", "2 m", AnswerType.DISTANCE),
        thought("3 m", "2 m", AnswerType.DISTANCE, "size"),
        thought("9 m", "2 m", AnswerType.DISTANCE, "size"),
        thought("2", "2", AnswerType.COUNT, "count"),
        thought("left", "right", AnswerType.TEXT, "relation"),
    ]
    result = scored(SpaceThinkerMetric(), answers)
    assert result["score"] == pytest.approx(60)
    assert (result["within_factor_2"]["n"], result["within_25_percent"]["n"]) == (3, 3)
    assert result["within_factor_2"]["score"] == pytest.approx(200 / 3)
    assert result["within_25_percent"]["score"] == pytest.approx(100 / 3)
    assert {task: part["n"] for task, part in result["tasks"].items()} == {
        "distance": 1, "size": 2, "count": 1, "relation": 1,
    }  # fmt: skip
