from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.tiny_giant.geometry import (
    MASK_FEATURES,
    MASK_RELATIONS,
    NO_FLOOR,
    Geometry,
    describe_regions,
    feature_count,
    fill_rows,
    fit_floor,
    relation_count,
)
from tests.helpers.scenes import FIELD_OF_VIEW, as_image, floor_depth

HEIGHT, WIDTH = 128, 224


@settings(max_examples=40, deadline=None)
# With a wall nearer than twice the height of the camera there is hardly any floor to measure.
@given(st.floats(4, 7), st.floats(20, 50), st.floats(14, 40))
def test_the_pitch_is_found_within_a_degree_and_positions_within_three_percent(
    camera_m: float, degrees: float, wall_m: float
) -> None:
    pitch = np.radians(degrees)
    metres = floor_depth(HEIGHT, WIDTH, camera_m, pitch, wall_m)
    fit = fit_floor(as_image(metres), FIELD_OF_VIEW)
    assert abs(np.degrees(fit.pitch) - degrees) < 1.0
    row = int(HEIGHT * 0.9)
    focal = WIDTH / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    slope = (row + 0.5 - HEIGHT / 2) / focal
    z = metres[row, 0]
    _, ahead, above = fit.points(as_image(metres)[row, :1].astype(float), np.zeros(1), np.array([slope]))
    true_ahead = z * (np.cos(pitch) - slope * np.sin(pitch)) / camera_m
    assert ahead[0] == pytest.approx(true_ahead, rel=0.03)
    assert abs(above[0]) < 0.03


def test_things_that_stand_on_the_floor_do_not_move_the_fit() -> None:
    rng = np.random.default_rng(0)
    metres = floor_depth(HEIGHT, WIDTH, 5.0, 0.6)
    for _ in range(25):
        top, left = rng.integers(0, HEIGHT - 30), rng.integers(0, WIDTH - 40)
        metres[top : top + 30, left : left + 40] *= rng.uniform(0.6, 0.95)
    assert abs(fit_floor(as_image(metres), FIELD_OF_VIEW).pitch - 0.6) < 0.02


def test_a_wall_is_not_taken_for_a_floor() -> None:
    wall = np.tile(np.linspace(0, 255, WIDTH), (HEIGHT, 1)).astype(np.uint8)
    assert fit_floor(wall, FIELD_OF_VIEW) == NO_FLOOR


def test_distances_between_regions_on_the_floor_are_those_of_the_scene_in_camera_heights() -> None:
    camera_m, pitch = 5.0, 0.7
    metres = floor_depth(HEIGHT, WIDTH, camera_m, pitch)
    focal = WIDTH / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    places = [(70, 30), (110, 180)]
    points = []
    for mask, (row, column) in zip(masks, places, strict=True):
        mask[row - 2 : row + 3, column - 2 : column + 3] = True
        slope_y, slope_x = (row + 0.5 - HEIGHT / 2) / focal, (column + 0.5 - WIDTH / 2) / focal
        z = metres[row, column]
        points.append((slope_x * z, z * (np.cos(pitch) - slope_y * np.sin(pitch))))
    first, second = points
    truth = np.hypot(first[0] - second[0], first[1] - second[1]) / camera_m
    _, relations = describe_regions(masks, as_image(metres), "floor_fit", FIELD_OF_VIEW)
    assert relations[0, 1, MASK_RELATIONS + 2] == pytest.approx(truth, rel=0.03)
    assert relations[0, 1, MASK_RELATIONS + 3] == pytest.approx(np.log(truth + 0.05), abs=0.03)


def test_what_stands_in_a_zone_is_inside_it_and_not_the_other_way_round() -> None:
    zone = np.zeros((HEIGHT, WIDTH), bool)
    zone[40:100, 40:180] = True
    thing = np.zeros_like(zone)
    thing[50:70, 60:80] = True
    elsewhere = np.zeros_like(zone)
    elsewhere[5:20, 60:80] = True
    masks = np.stack([zone & ~thing, thing, elsewhere])
    _, relations = describe_regions(masks, None, "mask", FIELD_OF_VIEW)
    inside = relations[..., 3]
    assert inside[1, 0] == 1.0
    assert inside[2, 0] == 0.0
    assert inside[0, 1] < 0.2
    assert np.array_equal(fill_rows(masks)[0], zone)


@pytest.mark.parametrize("geometry", ["none", "mask", "floor_fit"])
@pytest.mark.parametrize("depth", [None, as_image(floor_depth(HEIGHT, WIDTH, 5.0, 0.5))])
def test_empty_masks_and_missing_depth_give_finite_numbers(
    geometry: Geometry, depth: np.ndarray | None
) -> None:
    masks = np.zeros((3, HEIGHT, WIDTH), bool)
    masks[0, 3, 4] = True
    features, relations = describe_regions(masks, depth, geometry, FIELD_OF_VIEW)
    assert features.shape == (3, feature_count(geometry))
    assert relations.shape == (3, 3, relation_count(geometry))
    assert np.isfinite(features).all() and np.isfinite(relations).all()
    assert not features[1:, :MASK_FEATURES].any()


def test_mirroring_the_image_mirrors_the_places() -> None:
    rng = np.random.default_rng(1)
    masks = rng.random((2, HEIGHT, WIDTH)) > 0.97
    depth = as_image(floor_depth(HEIGHT, WIDTH, 5.0, 0.6))
    there, _ = describe_regions(masks, depth, "floor_fit", FIELD_OF_VIEW)
    back, _ = describe_regions(masks[:, :, ::-1], depth[:, ::-1], "floor_fit", FIELD_OF_VIEW)
    assert back[:, 0] == pytest.approx(-there[:, 0], abs=1e-5)
    assert back[:, 1] == pytest.approx(there[:, 1], abs=1e-5)
