"""Every layout without its answers: it can be predicted, and says why it cannot be scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.cv_bench import CvBench
from datamodules.layouts import OfficialLayout
from datamodules.mixture import Mixture
from datamodules.samples import AnswerType, DataError, SpatialSample
from datamodules.space_thinker import SpaceThinker
from datamodules.views import AsMultipleChoice, RotatedChoices
from experiments.commands.score import SCORERS
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.unanswered_files import ROWS, cv_bench, omni_spatial, space_thinker, track3

Layout = Callable[[Path, bool], OfficialLayout]
every_layout = pytest.mark.parametrize("layout", [track3, cv_bench, omni_spatial, space_thinker])


def predicted(data: OfficialLayout) -> dict[str, SpatialSample]:
    return {sample.id: sample for batch in data.predict_dataloader() for sample in batch["samples"]}


@every_layout
def test_the_same_questions_are_asked_without_answers(tmp_path: Path, layout: Layout) -> None:
    with_answers = predicted(layout(tmp_path / "with", True))
    without = predicted(layout(tmp_path / "without", False))
    assert len(without) == ROWS
    for name, sample in without.items():
        assert sample.answer is None
        for field in ("question", "choices", "answer_type", "task", "source", "letters"):
            assert getattr(sample, field) == getattr(with_answers[name], field), field


@every_layout
def test_without_answers_nothing_is_scored(tmp_path: Path, layout: Layout) -> None:
    data = layout(tmp_path, False)
    with pytest.raises(DataError, match=r"4 of the 4 questions of the test split have no answer"):
        data.require_answers("test")
    with pytest.raises(DataError, match="4 of the 4"):
        Mixture([data], data).require_answers("test")


@every_layout
def test_views_take_questions_without_answers(tmp_path: Path, layout: Layout) -> None:
    data = layout(tmp_path, False)
    data.views = (AsMultipleChoice(), RotatedChoices(1))
    assert {sample.answer for sample in predicted(data).values()} == {None}


@pytest.mark.parametrize(
    ("layout", "benchmark", "file"),
    [
        (cv_bench, "cv_bench", "test_2d.parquet"),
        (omni_spatial, "omni_spatial", "data.json"),
        (space_thinker, "space_thinker", "data/test-00000-of-00001.parquet"),
    ],
)
def test_a_file_without_answers_is_no_truth(
    tmp_path: Path, layout: Layout, benchmark: str, file: str
) -> None:
    ids = predicted(layout(tmp_path, False))
    answers = tmp_path / "answers.json"
    answers.write_text("[" + ", ".join(f'{{"id": "{name}", "answer": "A"}}' for name in ids) + "]")
    with pytest.raises(DataError, match="has no known answer"):
        SCORERS[benchmark](tmp_path / file, answers)


@pytest.mark.parametrize("empty", [None, ""])
def test_some_answers_may_be_empty(tmp_path: Path, empty: str | None) -> None:
    rows = [cv_bench_row(0), cv_bench_row(1, answer=empty)]
    write_cv_bench(tmp_path / "test_2d.parquet", rows)
    data = CvBench(root=str(tmp_path), cache=str(tmp_path / "cache"), num_workers=0)
    assert [sample.answer for sample in predicted(data).values()] == ["A", None]
    with pytest.raises(DataError, match=r"1 of the 2 .*the first is 2D/1"):
        data.require_answers("test")


def test_the_form_of_an_unknown_answer_follows_from_the_question(tmp_path: Path) -> None:
    questions = ("How many chairs are there?", "How tall is the door?", "Is it left of the lamp?")
    rows = [space_thinker_row(number, input=question) for number, question in enumerate(questions)]
    write_space_thinker(tmp_path / "data" / "test-00000-of-00001.parquet", rows, without=("output",))
    data = SpaceThinker(root=str(tmp_path), cache=str(tmp_path / "cache"), num_workers=0)
    forms = [sample.answer_type for _, sample in sorted(predicted(data).items())]
    assert forms == [AnswerType.COUNT, AnswerType.DISTANCE, AnswerType.TEXT]
