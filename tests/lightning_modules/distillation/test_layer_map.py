from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.layer_map import LayerMap, pair_layers


@given(student=st.integers(2, 60), teacher=st.integers(1, 90))
def test_the_linear_map_is_the_published_one_to_the_nearest_layer(student: int, teacher: int) -> None:
    pairs = pair_layers(student, teacher, "linear")
    assert [ours for ours, _ in pairs] == list(range(student))
    for ours, theirs in pairs:
        assert abs(theirs - (teacher - 1) / (student - 1) * ours) <= 0.5 + 1e-9
    assert pairs[0] == (0, 0)
    assert pairs[-1] == (student - 1, teacher - 1)


def test_halves_go_up_every_time() -> None:
    assert pair_layers(3, 6, "linear") == [(0, 0), (1, 3), (2, 5)]
    assert pair_layers(3, 4, "linear") == [(0, 0), (1, 2), (2, 3)]


def test_equal_depths_are_paired_layer_by_layer() -> None:
    assert pair_layers(5, 5, "linear") == [(layer, layer) for layer in range(5)]


def test_a_single_layer_is_the_last_one() -> None:
    assert pair_layers(1, 4, "linear") == [(0, 3)]


def test_first_and_last_count_from_both_ends() -> None:
    assert pair_layers(2, 5, "first") == [(0, 0), (1, 1)]
    assert pair_layers(2, 5, "last") == [(0, 3), (1, 4)]


def test_a_list_is_taken_as_it_is_and_may_leave_layers_out() -> None:
    assert pair_layers(4, 8, [(0, 7), (3, 1)]) == [(0, 7), (3, 1)]


@pytest.mark.parametrize(
    ("layer_map", "names"),
    [
        ([(4, 0)], "student's layer 4, but the student has 4 layers, 0 to 3"),
        ([(0, 0), (1, 3)], "teacher's layer 3, but the teacher has 3 layers, 0 to 2"),
        ([(-1, 0)], "student's layer -1"),
        ([], "empty list"),
        ("first", "teacher's layer 3, but the teacher has 3"),
        ("last", "teacher's layer -1"),
    ],
)
def test_layers_that_do_not_exist_are_named(layer_map: LayerMap, names: str) -> None:
    with pytest.raises(ModelError, match=names):
        pair_layers(4, 3, layer_map)
