"""Lists of regions in another order: the same pixels are right, and the way back leads back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.samples import AnswerType, DataError, Region, SpatialSample
from datamodules.views import AsMultipleChoice, Marked, NotApplicable, ShuffledRegions
from datamodules.views.shuffled_regions import reordered


def region(place: int) -> Region:
    mask = np.zeros((4, 40), bool)
    mask[1, place] = True
    return Region.from_mask(mask)


def asked(question: str, answer: str | None = "0", **changes: Any) -> SpatialSample:
    return SpatialSample(
        id="q-4",
        question=question,
        regions=tuple(map(region, range(question.count("<mask>")))),
        answer=answer,
        answer_type=AnswerType.REGION,
    ).replace(**changes)


WHICH = "Which of the pallets <mask> <mask>, <mask> and <mask> is closest to the shelf <mask>?"


@given(st.integers(0, 3), st.integers(0, 50), st.text(max_size=5))
def test_the_same_pixels_are_right_and_only_the_list_is_shuffled(right: int, seed: int, name: str) -> None:
    told = f"[Region {right}] is the closest to the shelf [Region 4]."
    sample = asked(WHICH, str(right), id=name, rationale=told)
    seen = ShuffledRegions(seed)(sample)
    assert seen.question == sample.question and seen.regions != sample.regions
    assert sorted(each.counts for each in seen.regions) == sorted(each.counts for each in sample.regions)
    assert seen.regions[4] == sample.regions[4]
    assert seen.regions[int(seen.answer or "")] == sample.regions[right]
    assert seen.rationale == f"[Region {seen.answer}] is the closest to the shelf [Region 4]."
    assert ShuffledRegions(seed)(sample) == seen


@given(st.integers(0, 3), st.integers(0, 50))
def test_the_inverse_order_leads_back(right: int, seed: int) -> None:
    sample = asked(WHICH, str(right), rationale=f"[Region {right}], and not [Region {3 - right}].")
    order = ShuffledRegions(seed).order(sample)
    inverse = sorted(range(len(order)), key=order.__getitem__)
    assert reordered(ShuffledRegions(seed)(sample), inverse) == sample


@pytest.mark.parametrize(
    ("question", "lists"),
    [
        (WHICH, [(0, 4)]),
        ("Given <mask> <mask> and the shelves <mask> or <mask>, which is it?", [(0, 2), (2, 4)]),
        ("Which of the pallet <mask>, the pallet <mask>, and the pallet <mask> is it?", [(0, 3)]),
        ("Which of the buffer region <mask> and the buffer region <mask> near <mask>?", [(0, 2)]),
        ("Is the pallet <mask>, the shelf <mask> or <mask> it?", [(1, 3)]),
    ],
)
def test_what_a_list_is(question: str, lists: list[tuple[int, int]]) -> None:
    sample = asked(question, None)
    orders = {ShuffledRegions(seed).order(sample) for seed in range(100)}
    for order in orders:
        for first, end in lists:
            assert sorted(order[first:end]) == list(range(first, end)) != list(order[first:end])
        listed = {index for first, end in lists for index in range(first, end)}
        assert all(order[index] == index for index in range(len(order)) if index not in listed)
    assert len(orders) > 1 or all(end - first == 2 for first, end in lists)


def test_every_other_order_is_drawn_and_the_id_decides() -> None:
    orders = [
        ShuffledRegions().order(asked("Of <mask> <mask> <mask>?", id=str(place))) for place in range(300)
    ]
    assert len(set(orders)) == 5
    assert min(orders.count(order) for order in set(orders)) > 30


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (asked("How far is <mask> from <mask>?"), "lists no two"),
        (asked("Which one is it?", regions=()), "lists no two"),
        (asked("The pallet <mask> and the shelf <mask>?"), "lists no two"),
        (Marked()(asked(WHICH)), "lists no two"),
        (asked(WHICH, regions=()), "other regions than it names"),
        (asked(WHICH, regions=(region(1),) * 5), "are the same"),
        (asked("Are <mask> and <mask> a box and a shelf, respectively?"), "order of regions"),
        (asked("Of <mask> and <mask>, is the first nearer?"), "order of regions"),
        (asked("Which of <mask> <mask>?", "2"), "none of its regions"),
        (asked("Which of <mask> <mask>?", "left"), "none of its regions"),
    ],
)
def test_what_has_no_list_to_shuffle(sample: SpatialSample, why: str) -> None:
    with pytest.raises(NotApplicable, match=rf"'q-4'.*{why}") as refused:
        ShuffledRegions()(sample)
    assert why in refused.value.reason
    assert reordered(asked(WHICH, None), (1, 0, 2, 3, 4)).answer is None


def test_other_answers_stay_and_reasonings_that_count_otherwise_go() -> None:
    sample = asked(WHICH, "2", answer_type=AnswerType.COUNT, rationale="Two: [Region 0] [Region 1], 2.50 m.")
    seen = ShuffledRegions()(sample)
    assert seen.answer == "2" and seen.rationale.endswith("2.50 m.")
    for told in ("The third one is.", "Region 2 is.", "The answer is 2."):
        assert ShuffledRegions()(sample.replace(rationale=told)).rationale == ""


def test_choices_that_name_regions_follow() -> None:
    sample = AsMultipleChoice()(asked(WHICH, "1"))
    seen = ShuffledRegions()(sample)
    right = "ABCD".index(sample.answer or "")
    assert seen.answer == sample.answer and seen.choices != sample.choices
    before, after = (int(each.choices[right].strip("[Region ]")) for each in (sample, seen))
    assert seen.regions[after] == sample.regions[before]


def test_a_seed_is_at_least_0_and_views_pickle() -> None:
    assert pickle.loads(pickle.dumps(ShuffledRegions(3))) == ShuffledRegions(3)
    assert pickle.loads(pickle.dumps(ShuffledRegions()(asked(WHICH)))) == ShuffledRegions()(asked(WHICH))
    with pytest.raises(DataError, match="`seed` of ShuffledRegions is -1"):
        ShuffledRegions(-1)


def test_real_questions(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ai_city_track3"
    real = AiCityTrack3(root=str(folder), splits={"test": "val"}, cache=str(tmp_path), num_workers=0)
    split = real.split("test")
    side, extreme = (split.samples(group, [0])[0] for group in (0, 1))
    with pytest.raises(NotApplicable):
        ShuffledRegions()(side)
    for seed in range(5):
        seen = ShuffledRegions(seed)(extreme)
        centres = [np.nonzero(each.mask())[1].mean() for each in seen.regions]
        assert int(np.argmin(centres)) == int(seen.answer or "")
        assert seen.rationale.startswith(f"The pallet [Region {seen.answer}] is the leftmost")
