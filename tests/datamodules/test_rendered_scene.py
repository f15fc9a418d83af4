"""The geometry of rendered scenes: camera, placement, depth and masks."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from datamodules.rendered.camera import HEIGHT_RANGE_M, HORIZONTAL_FIELD_OF_VIEW_DEG, PITCH_RANGE_DEG, Camera
from datamodules.rendered.levels import EASY, REAL_HELD_OUT, REAL_TRAIN, Level, level_of
from datamodules.rendered.render import Rendering
from datamodules.rendered.scene import Kind, SceneObject, draw_scene
from datamodules.rendered.sight import look

WIDTH, HEIGHT = 224, 128
LEVELS = [EASY, REAL_TRAIN, REAL_HELD_OUT, level_of("varied", "train"), level_of("varied", "val")]

cameras = st.builds(
    Camera,
    height_m=st.floats(*HEIGHT_RANGE_M),
    pitch_deg=st.floats(*PITCH_RANGE_DEG),
    yaw_deg=st.floats(-40, 40),
    width=st.just(WIDTH),
    height=st.just(HEIGHT),
    roll_deg=st.just(0.0) | st.floats(-5, 5),
    field_of_view_deg=st.just(70.0) | st.floats(60, 70),
)


@given(camera=cameras, column=st.floats(0, WIDTH), row=st.floats(0, HEIGHT))
def test_a_floor_point_projects_back_to_its_pixel(camera: Camera, column: float, row: float) -> None:
    assume(camera.roll_deg == 0 or row > 30)  # a rolled camera may see above the horizon in one corner
    point = camera.floor_point(column, row)
    assert point is not None
    assert camera.project(np.array([*point, 0.0]))[:2] == pytest.approx((column, row), abs=1e-3)


@given(camera=cameras, columns=st.lists(st.floats(0, WIDTH), min_size=1, max_size=5), depth=st.floats(1, 20))
def test_rays_have_unit_depth_along_the_optical_axis(
    camera: Camera, columns: list[float], depth: float
) -> None:
    drawn = np.array(columns)
    directions = camera.directions(drawn, np.full(len(columns), 40.0))
    image = camera.project(camera.position + depth * directions)
    assert image[:, 0] == pytest.approx(drawn, abs=0.02)
    assert image[:, 2] == pytest.approx(np.full(len(columns), depth), rel=1e-4)


def test_the_image_borders_span_the_field_of_view() -> None:
    left, right = Camera(5, 30, 0, WIDTH, HEIGHT).directions(np.array([0.0, WIDTH]), np.full(2, HEIGHT / 2))
    cosine = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
    assert math.degrees(math.acos(cosine)) == pytest.approx(HORIZONTAL_FIELD_OF_VIEW_DEG, abs=1e-3)


def corners(thing: SceneObject) -> np.ndarray:
    """The corners of a footprint, `[4, 2]` in metres."""
    x = np.array([1, 1, -1, -1]) * thing.length / 2
    y = np.array([1, -1, -1, 1]) * thing.width / 2
    cosine, sine = math.cos(thing.yaw), math.sin(thing.yaw)
    return np.stack([thing.x + x * cosine - y * sine, thing.y + x * sine + y * cosine], axis=1)


def overlap(first: SceneObject, second: SceneObject) -> bool:
    """Whether two footprints overlap: no edge of either separates them."""
    for thing in (first, second):
        for angle in (thing.yaw, thing.yaw + math.pi / 2):
            axis = np.array([math.cos(angle), math.sin(angle)])
            one, other = corners(first) @ axis, corners(second) @ axis
            if one.max() <= other.min() or other.max() <= one.min():
                return False
    return True


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), level=st.sampled_from(LEVELS))
def test_objects_stand_apart_and_inside_the_room(seed: int, level: Level) -> None:
    scene = draw_scene(Random(seed), level, (WIDTH, HEIGHT))
    solid = [thing for thing in scene.objects if thing.kind is not Kind.BUFFER]
    for place, first in enumerate(solid):
        assert corners(first)[:, 0].min() > scene.room[0] and corners(first)[:, 0].max() < scene.room[2]
        assert corners(first)[:, 1].min() > scene.room[1] and corners(first)[:, 1].max() < scene.room[3]
        for second in solid[:place]:
            assert not overlap(first, second)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), level=st.sampled_from(LEVELS))
def test_pallets_are_clearly_inside_or_outside_of_a_buffer_region(seed: int, level: Level) -> None:
    scene = draw_scene(Random(seed), level, (WIDTH, HEIGHT))
    for index, region in enumerate(scene.objects):
        if region.kind is not Kind.BUFFER:
            continue
        for thing in scene.objects:
            if thing.kind is Kind.PALLET and thing.inside == index:
                assert abs(thing.x - region.x) < region.length / 2 - 0.5
                assert abs(thing.y - region.y) < region.width / 2 - 0.5
            elif thing.kind is not Kind.BUFFER:
                assert not overlap(thing, region)


def test_pallets_have_the_standard_size_within_three_percent() -> None:
    scene = draw_scene(Random(0), REAL_HELD_OUT, (WIDTH, HEIGHT))
    for thing in scene.objects:
        if thing.kind is Kind.PALLET:
            assert thing.length == pytest.approx(1.2, rel=0.031) and thing.width == pytest.approx(
                1.0, rel=0.031
            )


def floor_pixels(rendering: Rendering) -> tuple[np.ndarray, ...]:
    """Rows and columns of the bare floor inside buffer regions."""
    regions = [i for i, thing in enumerate(rendering.scene.objects) if thing.kind is Kind.BUFFER]
    return np.nonzero(np.isin(rendering.labels, regions))


@pytest.mark.parametrize("seed", range(4))
def test_the_inverse_of_the_floor_depth_is_linear_in_the_row(seed: int) -> None:
    rendering = Rendering(draw_scene(Random(seed), EASY, (WIDTH, HEIGHT)))
    rows, columns = floor_pixels(rendering)
    assert len(rows) > 200
    slope, offset = np.polyfit(rows + 0.5, 1 / rendering.depths[rows, columns], 1)
    assert 1 / rendering.depths[rows, columns] == pytest.approx(slope * (rows + 0.5) + offset, rel=1e-3)
    # 1 / z = (sin(pitch) + slope of the row * cos(pitch)) / height: the line gives the camera back.
    camera = rendering.scene.camera
    focal = WIDTH / 2 / math.tan(math.radians(HORIZONTAL_FIELD_OF_VIEW_DEG / 2))
    pitch = math.atan2(offset + slope * HEIGHT / 2, slope * focal)
    assert math.degrees(pitch) == pytest.approx(camera.pitch_deg, abs=0.05)
    assert math.cos(pitch) / (slope * focal) == pytest.approx(camera.height_m, rel=1e-3)


def test_the_depth_image_scales_the_depth_to_the_whole_range() -> None:
    rendering = Rendering(draw_scene(Random(1), EASY, (WIDTH, HEIGHT)))
    image = rendering.depth_image()
    assert image.dtype == np.uint8 and image.min() == 0 and image.max() == 255
    nearest, farthest = rendering.depths.min(), rendering.depths.max()
    restored = nearest + image / 255 * (farthest - nearest)
    assert np.abs(restored - rendering.depths).max() <= (farthest - nearest) / 255 * 0.51


def test_an_object_is_seen_where_it_projects() -> None:
    rendering = Rendering(draw_scene(Random(2), REAL_TRAIN, (WIDTH, HEIGHT)))
    scene = rendering.scene
    for index, thing in enumerate(scene.objects):
        rows, columns = np.nonzero(rendering.labels == index)
        if thing.kind is Kind.BUFFER or not len(rows):
            continue
        hull = scene.camera.project(
            np.array([[x, y, z] for x, y in corners(thing) for z in (0.0, thing.height)])
        )
        # Forks and tyres may reach a few centimetres out of the stated footprint.
        assert columns.min() >= hull[:, 0].min() - 4 and columns.max() <= hull[:, 0].max() + 4
        assert rows.min() >= hull[:, 1].min() - 4 and rows.max() <= hull[:, 1].max() + 4


def test_a_hidden_pallet_takes_its_buffer_region_out_of_the_counting() -> None:
    rendering = Rendering(draw_scene(Random(7), REAL_TRAIN, (WIDTH, HEIGHT)))
    labels = rendering.labels.copy()
    before = look(rendering.scene, labels)
    region, pallets = next((region, pallets) for region, pallets in before.pallets_inside.items() if pallets)
    hidden = pallets[0].index
    rows, columns = np.nonzero(labels == hidden)
    labels[rows[15:], columns[15:]] = -1
    after = look(rendering.scene, labels)
    assert hidden not in [thing.index for thing in after.seen]
    assert region in [thing.index for thing in after.seen] and region not in after.pallets_inside


def test_colours_are_the_same_every_time_and_not_flat() -> None:
    first, second = (Rendering(draw_scene(Random(5), EASY, (WIDTH, HEIGHT))).colour_image() for _ in range(2))
    assert first.shape == (HEIGHT, WIDTH, 3) and first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert first.std() > 15 and 40 < first.mean() < 200
