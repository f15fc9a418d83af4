"""What height says of questions for distance, against counts of pixels made anew."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.cv_bench import read_rows
from datamodules.rendered.rooms.cv_bench_writer import write_cv_bench
from datamodules.samples import AnswerType, Box, Region, SpatialSample
from datamodules.statistics.height_for_distance import answer_by_height, class_of_lead, height_class
from datamodules.views import AsMultipleChoice, Blind, RotatedChoices

HEIGHT = 200
"""Of the images of the questions below, in pixels: 5 % are 10 of them."""

DEPTH = (
    "Which object is closer to the camera taking this photo, the sink (highlighted by a red box) or the "
    "water bottle (highlighted by a blue box)?"
)
DISTANCE = (
    "Estimate the real-world distances between objects in this image. Which object is closer to the bed "
    "(highlighted by a red box), the sink (highlighted by a blue box) or the water bottle (highlighted by a "
    "green box)?"
)


def box(row: float, column: float = 50, tall: float = 30) -> Box:
    """A box whose centre is in a row and a column."""
    return column - 10, row - tall / 2, column + 10, row + tall / 2


def depth(first: float, second: float, answer: str | None = "A", **changes: Any) -> SpatialSample:
    """Which of two things is closer to the camera, whose centres are in two rows."""
    return cv_bench("Depth", DEPTH, (box(first), box(second, 90, 12)), answer, **changes)


def distance(*rows: float, answer: str = "A", **changes: Any) -> SpatialSample:
    """Which of two things is closer to a third, whose row comes first."""
    boxes = (box(rows[0], 20, 44), box(rows[1]), box(rows[2], 90, 12))
    return cv_bench("Distance", DISTANCE, boxes, answer, **changes)


def cv_bench(
    task: str, question: str, boxes: tuple[Box, ...], answer: str | None, /, **changes: Any
) -> SpatialSample:
    sample = SpatialSample(
        id="3D/1",
        question=question,
        choices=("sink", "water bottle"),
        answer=answer,
        answer_type=AnswerType.LETTER,
        task=task,
        boxes=boxes,
    )
    return sample.replace(**changes)


@pytest.mark.parametrize(
    ("sample", "by_height", "found"),
    [
        (depth(120, 80), "A", "consistent"),  # the lower one is said to be nearer, and is
        (depth(80, 120), "B", "counter"),
        (depth(80, 120, "B"), "B", "consistent"),
        (depth(120, 80, "B"), "A", "counter"),
        (depth(100, 109.5), "B", "ambiguous"),
        (depth(109.5, 100), "A", "ambiguous"),
        (depth(100, 110), "B", "counter"),  # just 5 % are enough
        (depth(110, 100), "A", "consistent"),
        (depth(100, 100), "A", "ambiguous"),
        (distance(100, 110, 60), "A", "consistent"),  # by 10 rows and by 40
        (distance(100, 60, 110), "B", "counter"),
        (distance(100, 140, 95), "B", "counter"),
        (distance(100, 60, 110, answer="B"), "B", "consistent"),
        (distance(100, 90, 119), "A", "ambiguous"),  # by 10 and by 19, on two sides
        (distance(100, 90, 120), "A", "consistent"),
        (distance(10, 90, 120), "A", "consistent"),
        (distance(190, 90, 120), "B", "counter"),
    ],
)
def test_what_height_says_of_two_things(sample: SpatialSample, by_height: str, found: str) -> None:
    assert (answer_by_height(sample), height_class(sample, HEIGHT)) == (by_height, found)


def test_five_percent_are_those_of_the_image() -> None:
    classes = [height_class(depth(100, 112), height) for height in (100, 240, 241, 400)]
    assert classes == ["counter", "counter", "ambiguous", "ambiguous"]
    assert [class_of_lead(lead, 240) for lead in (12, 11.9, -11.9, -12)] == [
        "consistent",
        "ambiguous",
        "ambiguous",
        "counter",
    ]


ROWS = st.integers(16, 184)


@given(st.lists(ROWS, min_size=3, max_size=3), st.sampled_from("AB"), st.sampled_from((120, 200, 333)))
def test_classes_are_those_of_a_second_rule(rows: list[int], answer: str, height: int) -> None:
    """Twentieths of the height in whole numbers."""
    anchor, first, second = rows
    for sample, lead in (
        (depth(first, second, answer), Fraction(first - second)),
        (distance(*rows, answer=answer), Fraction(abs(second - anchor) - abs(first - anchor))),
    ):
        towards_right = lead if answer == "A" else -lead
        expected = "consistent" if towards_right > 0 else "counter"
        if 20 * abs(lead) < height:
            expected = "ambiguous"
        assert height_class(sample, height) == expected
        assert answer_by_height(sample) == ("A" if lead >= 0 else "B")


def test_choices_in_another_order_are_the_same_things() -> None:
    """As a view turns them: the boxes stay in the order of the question."""
    for sample in (depth(120, 80), distance(100, 60, 110)):
        turned = sample.replace(choices=("water bottle", "sink"), answer="B")
        assert height_class(turned, HEIGHT) == height_class(sample, HEIGHT)
        assert {answer_by_height(turned), answer_by_height(sample)} == {"A", "B"}
    seen = [RotatedChoices(shift)(depth(120, 80)) for shift in (0, 1)]
    assert len({sample.choices for sample in seen}) == 2
    assert {height_class(sample, HEIGHT) for sample in seen} == {"consistent"}
    assert all(answer_by_height(sample) == sample.answer for sample in seen)
    with_articles = depth(120, 80, choices=("the water bottle", "The sink"))
    assert answer_by_height(with_articles) == "B"


@pytest.mark.parametrize(
    "sample",
    [
        depth(120, 80, task="Relation"),
        depth(120, 80, task="Count"),
        depth(120, 80, boxes=()),
        depth(120, 80, boxes=(box(9),)),
        depth(120, 80, boxes=(box(9), box(50), box(80))),
        distance(100, 60, 110, boxes=(box(9), box(50))),
        depth(120, 80, task="Distance"),
        distance(100, 60, 110, task="Depth"),
        depth(120, 80, question="Which one is closer to the camera?"),
        depth(120, 80, choices=("sink", "lamp")),
        depth(120, 80, choices=("sink", "water bottle", "lamp")),
        depth(120, 80, boxes=((50, 60, 20, 80), box(80))),  # left, top, width and height
        depth(120, 80, boxes=(box(80), (50, 60, 70, 20))),
        distance(100, 60, 110, boxes=((50, 60, 20, 80), box(60), box(110))),
        Blind()(depth(120, 80)),
    ],
)
def test_height_says_nothing_where_something_is_missing(sample: SpatialSample) -> None:
    assert answer_by_height(sample) is height_class(sample, HEIGHT) is None


def test_without_the_right_answer_there_is_no_class_but_an_answer_by_height() -> None:
    for unknown in (None, "C"):
        assert answer_by_height(depth(120, 80, unknown)) == "A"
        assert height_class(depth(120, 80, unknown), HEIGHT) is None


# --- Regions of a warehouse ---


def region(left: int, top: int, right: int, bottom: int) -> Region:
    mask = np.zeros((HEIGHT, 300), bool)
    mask[top:bottom, left:right] = True
    return Region.from_mask(mask)


def nearest(*regions: Region, answer: str, target: str = "the shelf <mask>") -> SpatialSample:
    """Which of all regions but the last one is nearest to it, or, of all of them, to the camera."""
    pallets = len(regions) - ("mask" in target)
    question = f"Which of the pallets{' <mask>' * pallets} is closest to {target}?"
    return SpatialSample("1", question, regions=regions, answer=answer, answer_type=AnswerType.REGION)


BESIDE, UNDER, AWAY = region(140, 90, 160, 110), region(95, 140, 105, 160), region(200, 20, 240, 60)
SHELF = region(90, 60, 110, 140)


@pytest.mark.parametrize(
    ("answer", "found"),
    # From the shelf's middle (100, 100): 50 to the right, 50 below, and sqrt(120^2 + 60^2) = 134.
    [("0", "ambiguous"), ("1", "ambiguous"), ("2", "counter"), ("3", None)],
)
def test_the_nearest_in_the_image_is_that_by_centres_of_boxes(answer: str, found: str | None) -> None:
    sample = nearest(BESIDE, UNDER, AWAY, SHELF, answer=answer)
    assert (answer_by_height(sample), height_class(sample, HEIGHT)) == ("0", found)


def test_columns_count_as_rows_do_and_to_the_camera_only_rows() -> None:
    sample = nearest(AWAY, UNDER, SHELF, answer="1")
    assert (answer_by_height(sample), height_class(sample, HEIGHT)) == ("1", "consistent")
    right_below = nearest(region(160, 60, 180, 140), region(90, 150, 110, 190), SHELF, answer="1")
    assert (answer_by_height(right_below), height_class(right_below, HEIGHT)) == (
        "0" if 70 <= 70 else "1",
        "ambiguous",
    )
    to_camera = nearest(BESIDE, AWAY, UNDER, answer="1", target="the camera")
    assert (answer_by_height(to_camera), height_class(to_camera, HEIGHT)) == ("2", "counter")
    assert height_class(to_camera.replace(answer="2"), HEIGHT) == "consistent"
    assert height_class(to_camera.replace(answer_type=AnswerType.COUNT), HEIGHT) is None
    assert answer_by_height(AsMultipleChoice()(to_camera)) is None
    assert answer_by_height(Blind()(to_camera)) is None


def test_the_right_answer_is_held_against_the_nearest_of_all_others() -> None:
    """Two others that are equally near do not make ambiguous what is far."""
    near = region(95, 120, 105, 140), region(95, 60, 105, 80)
    assert height_class(nearest(*near, AWAY, SHELF, answer="2"), HEIGHT) == "counter"


def test_rendered_warehouses_have_questions_of_all_classes(tmp_path: Path) -> None:
    data = AiCityTrack3(
        scenes={"train": 40, "val": 1, "test": 1}, size=(224, 128), cache=str(tmp_path), num_workers=0
    )
    data.prepare_split("train")
    split = data.split("train")
    classes: dict[str, list[bool]] = {}
    for group, size in enumerate(split.group_sizes()):
        for sample in split.samples(group, range(int(size))):
            if (found := height_class(sample, 128)) is not None:
                classes.setdefault(found, []).append(answer_by_height(sample) == sample.answer)
    assert set(classes) == {"consistent", "counter", "ambiguous"}
    assert all(classes["consistent"]) and not any(classes["counter"])
    assert len(classes["consistent"]) > 2 * len(classes["counter"])


# --- Rendered rooms ---


def test_height_is_right_of_ordinary_rooms_and_of_half_of_the_others(tmp_path: Path) -> None:
    shares: dict[str, dict[str, float]] = {}
    kinds: tuple[Any, ...] = ("ordinary", "counter_intuitive")
    for kind in kinds:
        write_cv_bench(
            tmp_path / kind, scenes={"test": 16}, size=(128, 96), seed=2, processes=1, difficulty=kind
        )
        asked = list(read_rows(tmp_path / kind))
        assert all(
            (answer_by_height(sample) is None) == (sample.task in ("Count", "Relation")) for sample in asked
        )
        shares[kind] = {
            task: float(
                np.mean([answer_by_height(each) == each.answer for each in asked if each.task == task])
            )
            for task in ("Depth", "Distance")
        }
    assert shares["ordinary"]["Depth"] > 0.8
    assert shares["counter_intuitive"] == {"Depth": 0.5, "Distance": 0.5}


def test_a_level_camera_over_flat_ground_is_where_height_is_right() -> None:
    """Feet of equal things at any two places: the lower one in the image is nearer."""
    random = Random(0)
    for _ in range(100):
        near, far = sorted(random.uniform(2, 9) for _ in range(2))
        rows = [HEIGHT / 2 + 160 * 1.5 / y for y in (near, far)]  # 1.5 m below the camera
        assert answer_by_height(depth(rows[0], rows[1])) == "A"
