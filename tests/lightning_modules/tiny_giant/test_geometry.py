from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.tiny_giant.geometry import (
    LOG_DISTANCE,
    LOG_SIZE,
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
from tests.helpers import plain_geometry
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


def test_noise_and_grey_range_do_not_move_the_fit() -> None:
    rng, clean = np.random.default_rng(2), as_image(floor_depth(HEIGHT, WIDTH, 5.0, 0.6))
    noise = rng.integers(0, 256, clean.shape)
    for depth in (np.where(rng.random(clean.shape) < 0.01, noise, clean), np.round(clean * 0.7 + 50)):
        assert abs(fit_floor(depth.astype(np.uint8), FIELD_OF_VIEW).pitch - 0.6) < 0.01


@pytest.mark.parametrize(("degrees", "wall_m"), [(20, 9.0), (10, 14.0), (30, 8.0), (20, 14.0)])
def test_a_floor_that_fills_only_the_lowest_rows_is_found(degrees: float, wall_m: float) -> None:
    metres = floor_depth(HEIGHT, WIDTH, 5.0, np.radians(degrees), wall_m)
    assert abs(np.degrees(fit_floor(as_image(metres), FIELD_OF_VIEW).pitch) - degrees) < 1.0


def test_neither_a_wall_nor_a_few_rows_are_taken_for_a_floor() -> None:
    wall = np.tile(np.linspace(0, 255, WIDTH), (HEIGHT, 1)).astype(np.uint8)
    assert fit_floor(wall, FIELD_OF_VIEW) == NO_FLOOR
    hidden, shades = np.arange(HEIGHT) % 5 != 0, np.random.default_rng(5).uniform(0.3, 0.9, (HEIGHT, 1))
    few = as_image(floor_depth(HEIGHT, WIDTH, 5.0, 0.5)) * np.where(hidden[:, None], shades, 1.0)
    assert fit_floor(few.astype(np.uint8), FIELD_OF_VIEW) == NO_FLOOR


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 160])
def test_a_turned_pallet_keeps_its_footprint(degrees: float) -> None:
    camera_m, pitch, angle = 4.0, 0.7, np.radians(degrees)
    metres = floor_depth(HEIGHT, WIDTH, camera_m, pitch)
    slopes = (np.indices((HEIGHT, WIDTH)) + 0.5 - np.array([HEIGHT, WIDTH])[:, None, None] / 2) / (
        WIDTH / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    )
    right, ahead = slopes[1] * metres, metres * (np.cos(pitch) - slopes[0] * np.sin(pitch))
    x, z = right - 0.5, ahead - 5.0
    along, across = x * np.cos(angle) + z * np.sin(angle), z * np.cos(angle) - x * np.sin(angle)
    pallet = (np.abs(along) < 1.5) & (np.abs(across) < 0.5)
    features, _ = describe_regions(pallet[None], as_image(metres), "floor_fit", FIELD_OF_VIEW)
    length, breadth, size = np.exp(features[0, 20:23]) - 0.02
    assert (length, breadth) == pytest.approx((3 / camera_m, 1 / camera_m), rel=0.15)
    assert size == pytest.approx(np.sqrt(3) / camera_m, rel=0.1)


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


def scattered_regions() -> np.ndarray:
    """A zone with a thing in its hole, one at the left edge, one at the upper edge and the horizon."""
    rng, masks = np.random.default_rng(3), np.zeros((4, 64, 112), bool)
    masks[0, 30:60, 20:90], masks[1, 36:50, 40:52] = True, True
    masks[0] &= ~masks[1]
    masks[2, 24:61, :17], masks[3, :31, 70:101] = True, True
    return masks & (rng.random(masks.shape) > 0.1)


@pytest.mark.parametrize("camera_m", [2.0, 5.0])
@pytest.mark.parametrize("seen", ["depth", "no depth", "a wall"])
@pytest.mark.parametrize("geometry", ["mask", "floor_fit"])
def test_every_number_is_what_its_description_says(geometry: Geometry, seen: str, camera_m: float) -> None:
    masks, rng = list(scattered_regions()), np.random.default_rng(4)
    depth = as_image(floor_depth(64, 112, camera_m, 0.5))
    # Things stand on the floor, so that pixels of a region lie at several heights.
    depth = (depth * np.where(rng.random(depth.shape) < 0.4, 0.8, 1.0)).astype(np.uint8)
    depth = {"depth": depth, "no depth": depth * 0, "a wall": np.tile(depth[::-1, :1], (1, 112))}[seen]
    features, relations = describe_regions(
        np.stack(masks), None if seen == "no depth" else depth, geometry, FIELD_OF_VIEW
    )
    expected = np.array([plain_geometry.mask_features(mask, depth) for mask in masks])
    pairs = np.array([[plain_geometry.mask_relation(one, other, depth) for other in masks] for one in masks])
    assert features[:, :14] == pytest.approx(expected, abs=1e-5)
    assert relations[..., :9] == pytest.approx(pairs, abs=1e-5)
    fit = fit_floor(depth, FIELD_OF_VIEW)
    if geometry == "mask" or seen != "depth":
        assert not features[:, 14:].any() and not relations[..., 9:].any()
        return
    assert fit.support > 0.2
    floor = [
        plain_geometry.floor_features(plain_geometry.on_the_floor(mask, depth, fit, FIELD_OF_VIEW), fit)
        for mask in masks
    ]
    assert features[:, 14:] == pytest.approx(np.array(floor), rel=1e-3, abs=1e-3)
    distances = [[plain_geometry.floor_relation(one, other) for other in floor] for one in floor]
    assert relations[..., 9:] == pytest.approx(np.array(distances), rel=1e-3, abs=1e-3)
    assert features[:, LOG_SIZE] == pytest.approx(np.array(floor)[:, 8], abs=1e-3)
    assert relations[..., LOG_DISTANCE] == pytest.approx(np.array(distances)[..., 3], abs=1e-3)
