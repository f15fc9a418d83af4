"""Rectangles on the floor: they are found however they are turned, and say who stands inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.tiny_giant.floor_rectangles import OUTSIDE, inside_relations, rectangle_under
from lightning_modules.tiny_giant.geometry import (
    FLOOR_RELATIONS,
    IS_HIDDEN,
    LOG_DISTANCE,
    MASK_RELATIONS,
    describe_regions,
    relation_count,
)
from tests.helpers.scenes import FIELD_OF_VIEW, as_image, floor_depth

HEIGHT, WIDTH, PITCH, CAMERA_M = 128, 224, 0.6, 4.0


def corners_of(centre: tuple[float, float], size: tuple[float, float], degrees: float) -> np.ndarray:
    """The corners of a rectangle on the floor, right and ahead, `[4, 2]`."""
    turn = np.radians(degrees)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    offsets = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) / 2 * np.array(size)
    return np.array(centre) + offsets @ axes


def is_inside(places: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether places lie on the same side of all edges, `[places]`."""
    sides = [
        (b[0] - a[0]) * (places[:, 1] - a[1]) - (b[1] - a[1]) * (places[:, 0] - a[0])
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ]
    return np.all(np.array(sides) <= 0, axis=0) | np.all(np.array(sides) >= 0, axis=0)


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.floats(-3, 3), st.floats(1, 6)),
    st.tuples(st.floats(0.3, 2), st.floats(0.3, 2)),
    st.floats(-360, 360),
    st.integers(0, 9),
)
def test_who_is_inside_is_inside(
    centre: tuple[float, float], size: tuple[float, float], degrees: float, seed: int
) -> None:
    corners = corners_of(centre, size, degrees)
    rng = np.random.default_rng(seed)
    points = rng.uniform(corners.min(0), corners.max(0), (60_000, 2))
    points = points[is_inside(points, corners)]
    found = rectangle_under(points[:, 0], points[:, 1])
    assert found is not None
    places = rng.uniform(corners.min(0) - 1, corners.max(0) + 1, (2000, 2))
    margins = found.margins(places[:, 0], places[:, 1])
    # Angles are tried in steps of five degrees, and a percent is trimmed.
    clear = np.abs(margins) > 0.06 * max(size)
    assert ((margins > 0) == is_inside(places, corners))[clear].all() and clear.mean() > 0.5
    middle = found.margins(*(np.array([value]) for value in centre))
    # Half a step of the angle turns a long side by so much.
    assert middle[0] == pytest.approx(min(size) / 2, abs=0.05 * min(size) + 0.03 * max(size))


def mask_of(corners: np.ndarray) -> np.ndarray:
    """The pixels that see a part of the floor, by the plane's equation, `[height, width]`."""
    depth = floor_depth(HEIGHT, WIDTH, CAMERA_M, PITCH, wall_m=1e6)
    focal = WIDTH / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    columns = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / focal
    rows = (np.arange(HEIGHT) + 0.5 - HEIGHT / 2) / focal
    right = columns[None] * depth
    ahead = depth * (np.cos(PITCH) - rows[:, None] * np.sin(PITCH))
    return is_inside(np.stack([right.ravel(), ahead.ravel()], axis=1), corners).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize("degrees", [0.0, 20.0, 45.0, 71.0])
def test_what_stands_in_a_zone_of_a_scene_is_inside_it(degrees: float) -> None:
    zone = corners_of((0.5, 6.0), (3.0, 2.4), degrees)
    things = [(0.5, 6.0), (-0.2, 6.4), (-2.6, 6.0), (0.5, 8.6), (3.4, 5.0)]
    masks = np.array([mask_of(zone), *(mask_of(corners_of(place, (0.5, 0.5), 10.0)) for place in things)])
    depth = as_image(floor_depth(HEIGHT, WIDTH, CAMERA_M, PITCH))
    _, relations = describe_regions(masks, depth, "containment", FIELD_OF_VIEW)
    inside = relations[1:, 0, MASK_RELATIONS + FLOOR_RELATIONS + 4 :]
    truth = is_inside(np.array(things), zone)
    assert truth.tolist() == [True, True, False, False, False]
    assert (inside[:, 1] > 0).tolist() == truth.tolist()
    assert ((inside[:, 0] > 0) == truth).all() and ((inside[:, 2] > 0) == truth).all()


def test_all_other_numbers_stay_what_they_are() -> None:
    masks = np.array([mask_of(corners_of((0.5, 6.0), (3.0, 2.4), 30.0)), np.zeros((HEIGHT, WIDTH), bool)])
    depth = as_image(floor_depth(HEIGHT, WIDTH, CAMERA_M, PITCH))
    features, relations = describe_regions(masks, depth, "containment", FIELD_OF_VIEW)
    plain_features, plain = describe_regions(masks, depth, "floor_fit", FIELD_OF_VIEW)
    assert relation_count("containment") == relations.shape[-1] == plain.shape[-1] + 4 + 3
    assert np.array_equal(features[:, : IS_HIDDEN.start], plain_features)
    others = ~np.eye(len(masks), dtype=bool)
    assert np.array_equal(relations[others][:, : plain.shape[-1]], plain[others])
    assert np.array_equal(relations[..., :MASK_RELATIONS], plain[..., :MASK_RELATIONS])


def test_beside_itself_a_region_stands_to_the_point_below_the_camera() -> None:
    places = [(0.5, 6.0), (-2.0, 9.0), (1.5, 4.5)]
    masks = np.array([mask_of(corners_of(place, (0.6, 0.6), 0.0)) for place in places])
    depth = as_image(floor_depth(HEIGHT, WIDTH, CAMERA_M, PITCH))
    _, relations = describe_regions(masks, depth, "containment", FIELD_OF_VIEW)
    own = relations[np.arange(3), np.arange(3)]
    expected = np.hypot(*np.array(places).T) / CAMERA_M
    assert np.exp(own[:, LOG_DISTANCE]) - 0.05 == pytest.approx(expected, rel=0.05)
    assert own[:, MASK_RELATIONS : MASK_RELATIONS + 2] * CAMERA_M == pytest.approx(np.array(places), abs=0.3)


def test_of_a_region_without_pixels_nothing_is_inside() -> None:
    assert rectangle_under(np.zeros(5), np.zeros(5)) is None
    relations = inside_relations(np.zeros((2, 2)), [None, None])
    assert relations.shape == (2, 2, 3) and np.isfinite(relations).all()
    assert not relations[..., 1].any() and (relations[..., 0] == -3).all() and OUTSIDE < 0
    without_depth = describe_regions(np.ones((1, 8, 8), bool), None, "containment", 70.0)
    without_floor = without_depth[1][0, 0, MASK_RELATIONS:]
    assert without_floor.tolist() == [0.0] * FLOOR_RELATIONS + [1.0] * 4 + [0.0] * 3
