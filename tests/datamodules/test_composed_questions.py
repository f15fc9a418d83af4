"""Composed questions take two or three steps, one after the other, and their rationales say how many."""

import json
import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.benchmarks.reasoning_steps import steps_before_answer
from datamodules.rendered.candidates import Candidate
from datamodules.rendered.levels import level_of
from datamodules.rendered.selection import Balance
from datamodules.rendered.warehouse import draw_warehouse, write_warehouse

SIZE = (224, 128)
SCENES = 40


def chosen(difficulty: str, split: str, number: int = SCENES) -> list[Candidate]:
    balance = Balance(level_of(difficulty, split))
    return [
        question
        for index in range(number)
        for question in balance.choose(draw_warehouse(difficulty, split, index, SIZE, 0)[2], Random(index))
    ]


@pytest.fixture(scope="module", params=["val", "test"])
def composed(request: pytest.FixtureRequest) -> list[Candidate]:
    return chosen("composed", request.param)


def test_each_depth_has_as_many_questions_of_each_category(composed: list[Candidate]) -> None:
    """At least one a scene of each depth: 300 scenes have 300 and more."""
    cells = Counter((question.category, question.depth) for question in composed)
    assert set(cells) == {(category, depth) for category in ("mcq", "distance", "count") for depth in (2, 3)}
    assert min(cells.values()) > 0.12 * len(composed) and max(cells.values()) < 0.22 * len(composed)
    depths = Counter(question.depth for question in composed)
    assert min(depths.values()) >= SCENES
    counts = Counter(question.answer for question in composed if question.category == "count")
    assert set(counts) == {1, 2, 3, 4} and min(counts.values()) > 0.1 * counts.total()
    places = Counter(question.answer for question in composed if question.category == "mcq")
    assert set(places) >= set("01234567")


def test_a_question_names_as_many_relations_as_it_takes_steps(composed: list[Candidate]) -> None:
    relation = r"\b(?:closest|nearest) to\b|\b(?:left|right)most\b|\bon the (?:left|right)\b"
    for question in composed:
        asked = question.category == "mcq"  # the answer is the closest itself
        assert len(re.findall(relation, question.question)) == question.depth + asked


def test_each_step_begins_where_the_last_one_ended(composed: list[Candidate]) -> None:
    for question in composed:
        sentences = re.split(r"(?<=[.]) ", question.freeform)
        marks = [re.findall(r"\[Region (\d+)\]", sentence) for sentence in sentences]
        found = [marked[0] for marked in marks[: question.depth]]
        assert len(set(found)) == question.depth
        assert all(
            last in further[1:] for last, further in zip(found, marks[1 : question.depth], strict=False)
        )
        assert found[-1] in marks[question.depth]


def test_the_rationale_tells_the_depth(composed: list[Candidate]) -> None:
    for question in composed:
        assert steps_before_answer(question.freeform) == question.depth


@pytest.mark.parametrize(("difficulty", "split"), [("easy", "train"), ("real", "train"), ("real", "val")])
def test_the_rationales_of_other_levels_tell_their_steps(difficulty: str, split: str) -> None:
    questions = chosen(difficulty, split, 25)
    for question in questions:
        steps = steps_before_answer(question.freeform)
        assert (steps > 0) == question.chained
        # A distance between two extremes finds both, though neither needs the other.
        assert steps == question.depth or (
            question.category == "distance" and (steps, question.depth) == (2, 1)
        )
    assert {0, 1} <= {question.depth for question in questions} <= {0, 1, 2}


def test_listings_and_decimals_are_no_steps() -> None:
    assert steps_before_answer("") == steps_before_answer("It is 3.50 meters away.") == 0
    listed = "I see pallets [Region 1] [Region 2] in the buffer region [Region 0]. So there are two pallets."
    assert steps_before_answer(listed) == 0
    assert steps_before_answer(f"[Region 0] is the leftmost buffer region. {listed}") == 1


def test_only_held_out_questions_differ_from_real_ones(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"scenes": {"train": 4, "val": 4}, "size": SIZE, "seed": 2, "processes": 1}
    for difficulty in ("real", "composed"):
        write_warehouse(tmp_path / difficulty, difficulty=difficulty, **arguments)
    texts = {
        (difficulty, split): (tmp_path / difficulty / f"{split}.json").read_text()
        for difficulty in ("real", "composed")
        for split in ("train", "val")
    }
    assert texts["real", "train"] == texts["composed", "train"]
    assert {record["category"] for record in json.loads(texts["composed", "val"])} == {
        *("mcq", "distance", "count")
    }


def test_the_depth_is_read_from_loaded_questions(tmp_path: Path) -> None:
    data = AiCityTrack3(
        difficulty="composed",
        crowding="few",
        scenes={"train": 1, "val": 6, "test": 1},
        size=SIZE,
        cache=str(tmp_path),
        num_workers=0,
    )
    data.prepare_data()
    data.setup("validate")
    batches: Any = data.val_dataloader()
    depths = Counter(
        steps_before_answer(sample.rationale) for batch in batches for sample in batch["samples"]
    )
    assert set(depths) == {2, 3}
