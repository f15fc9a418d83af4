"""Rendered rooms and yards: geometry, masks, what counts as seen, marks and the balance of answers."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.rendered import benchmarks
from datamodules.rendered.rooms.balance import Balance, Tally
from datamodules.rendered.rooms.box_marks import MARK_COLOURS, around, line_width, with_boxes, with_letters
from datamodules.rendered.rooms.catalogue import KINDS, kinds_of
from datamodules.rendered.rooms.palette import COLOURS
from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.room_scene import draw_room, image_box
from datamodules.rendered.rooms.room_sight import LEAST_AREA, look
from datamodules.rendered.rooms.solids import Finish, Placed, Shape, Solid, collect_solids, extent, unit_mesh
from datamodules.samples import DataError

SIZE = (128, 96)


@pytest.fixture(scope="module")
def renderings() -> list[RoomRendering]:
    return [RoomRendering(draw_room(Random(f"room {number}"), SIZE)) for number in range(24)]


@pytest.mark.parametrize("shape", list(Shape))
def test_solids_are_closed_and_their_normals_point_outwards(shape: Shape) -> None:
    corners, normals = unit_mesh(shape)
    mesh = trimesh.Trimesh(**trimesh.triangles.to_kwargs(corners))
    mesh.merge_vertices()
    assert mesh.is_watertight and mesh.volume > 0
    assert np.abs(corners).max(axis=(0, 1)) == pytest.approx([1, 1, 1], abs=0.03)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sized = np.linalg.norm(flat, axis=1) > 1e-3
    assert (np.einsum("tx,tcx->tc", flat, normals)[sized] > 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_every_object_stands_on_the_floor_within_its_stated_size(name: str) -> None:
    kind = KINDS[name]
    for seed in range(8):
        random = Random(seed)
        parts = kind.make(random, kind.paint(random)[1])
        solids = collect_solids([Placed(parts, 0.0, 0.0, 0.0, 0)])
        least, most = solids.corners.min(axis=(0, 1)), solids.corners.max(axis=(0, 1))
        length, width, height = extent(parts)
        assert -0.03 <= least[2] <= 0.03
        assert most[2] == pytest.approx(height, abs=0.02)
        assert max(-least[0], most[0]) <= length / 2 + 0.01 and max(-least[1], most[1]) <= width / 2 + 0.01
        assert 0.25 < height < 3.5 and max(length, width) < 3.2
        assert set(kind.colours) <= set(COLOURS)


def test_both_places_offer_many_classes() -> None:
    assert len(kinds_of("room")) >= 12 and len(kinds_of("yard")) >= 10 and len(KINDS) >= 20


@given(
    turn=st.floats(-3.2, 3.2),
    yaw=st.floats(-3.2, 3.2),
    x=st.floats(-4, 4),
    y=st.floats(1, 6),
    size=st.floats(0.2, 2),
)
def test_a_turned_solid_lies_where_its_turn_puts_it(
    turn: float, yaw: float, x: float, y: float, size: float
) -> None:
    part = Solid(Shape.BOX, (0.5, 0.0, size / 2), (size, size / 2, size), Finish.MATT, (0.5, 0.5, 0.5), turn)
    corners = collect_solids([Placed([part], x, y, yaw, 0)]).corners.reshape(-1, 3)
    corner = complex(size / 2, size / 4) * np.exp(1j * (turn + yaw)) + 0.5 * np.exp(1j * yaw) + complex(x, y)
    away = np.abs(corners[:, 0] + 1j * corners[:, 1] - corner)
    assert away.min() < 1e-4


def test_objects_stand_apart_and_inside_the_walls(renderings: list[RoomRendering]) -> None:
    for rendering in renderings:
        scene = rendering.scene
        assert 4 <= len(scene.things) <= 14 and len({thing.kind for thing in scene.things}) >= 3
        for index in range(len(scene.things)):
            corners = rendering.solids.corners[rendering.solids.owners[rendering.solids.solids] == index]
            low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
            assert scene.bounds[0] < low[0] and high[0] < scene.bounds[2] and high[1] < scene.bounds[3]
            for other in range(index):
                others = rendering.solids.corners[rendering.solids.owners[rendering.solids.solids] == other]
                apart = np.maximum(others.min(axis=(0, 1)) - high, low - others.max(axis=(0, 1)))[:2]
                assert apart.max() > 0.1


def test_image_boxes_are_those_of_the_projected_corners(renderings: list[RoomRendering]) -> None:
    for rendering in renderings:
        for thing in rendering.scene.things:
            image = rendering.scene.camera.project(thing.corners())[:, :2]
            expected = [*image.min(axis=0), *image.max(axis=0)]
            assert image_box(rendering.scene.camera, thing) == pytest.approx(expected, abs=1e-3)


def test_masks_and_depths_are_those_of_the_nearest_triangle(renderings: list[RoomRendering]) -> None:
    """Every ray against every triangle, without an acceleration structure."""
    rendering = renderings[0]
    camera, solids = rendering.scene.camera, rendering.solids
    rows, columns = np.mgrid[3:96:9, 3:128:9].reshape(2, -1)
    directions = camera.directions(columns + 0.5, rows + 0.5).astype(float)
    corners = solids.corners.astype(float)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # Depth and barycentric coordinates solve: origin + depth * direction = corner + u * first + v * second.
    systems = np.empty((len(directions), len(corners), 3, 3))
    systems[..., 0], systems[..., 1], systems[..., 2] = -directions[:, None], first, second
    systems += np.eye(3) * 1e-12
    depths, u, v = np.moveaxis(
        np.linalg.solve(systems, (camera.position - corners[:, 0])[None, ..., None])[..., 0], -1, 0
    )
    depths[(u < 0) | (v < 0) | (u + v > 1) | (depths < 1e-6)] = np.inf
    nearest, met = depths.min(axis=1), depths.argmin(axis=1)
    found = np.isfinite(nearest)
    assert rendering.depths[rows[found], columns[found]] == pytest.approx(nearest[found], rel=1e-3)
    owners = solids.owners[solids.solids[met]][found]
    assert (rendering.labels[rows[found], columns[found]] == owners).mean() > 0.99
    assert (rendering.labels[rows[~found], columns[~found]] == -1).all()


def test_seen_objects_have_the_box_of_their_mask_and_little_hides_them(
    renderings: list[RoomRendering],
) -> None:
    for rendering in renderings:
        for seen in look(rendering).seen:
            rows, columns = np.nonzero(rendering.labels == seen.index)
            assert seen.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert len(rows) >= LEAST_AREA * 128 * 96
            alone = RoomRendering(replace(rendering.scene, things=(seen.thing,)))
            assert len(rows) >= 0.5 * np.count_nonzero(alone.labels == 0)


@pytest.mark.parametrize("axis", [0, 1])
def test_what_is_cut_off_in_height_or_width_is_not_asked_about(
    axis: int, renderings: list[RoomRendering]
) -> None:
    """As wide as it is and half as high, or as high and half as wide: other objects stay."""
    for rendering in renderings[:8]:
        for seen in look(rendering).seen:
            labels = rendering.labels.copy()
            low, high = seen.box[1 - axis], seen.box[3 - axis]
            far = np.arange(labels.shape[axis]) > (low + high) / 2
            labels[(labels == seen.index) & (far[:, None] if axis == 0 else far)] = -1
            cut = copy(rendering)
            cut.labels = labels
            rest = {found.index for found in look(cut).seen}
            assert seen.index not in rest
            assert rest >= {found.index for found in look(rendering).seen} - {seen.index}


def test_a_class_is_only_counted_where_every_object_of_it_is_seen(renderings: list[RoomRendering]) -> None:
    for rendering in renderings:
        sight = look(rendering)
        present = Counter(thing.kind for thing in rendering.scene.things)
        seen = Counter(found.thing.kind for found in sight.seen)
        assert sight.numbers == {kind: number for kind, number in present.items() if seen[kind] == number}


def test_images_are_varied_and_neither_dark_nor_blown_out(renderings: list[RoomRendering]) -> None:
    images = [rendering.colour_image() for rendering in renderings]
    means = [image.mean() for image in images]
    assert min(means) > 50 and max(means) < 200 and np.std(means) > 5
    assert all(image.dtype == np.uint8 and image.shape == (96, 128, 3) for image in images)
    assert all((image == 255).all(axis=2).mean() < 0.1 for image in images)


@settings(max_examples=30)
@given(left=st.integers(0, 100), top=st.integers(0, 70), wide=st.integers(6, 28), tall=st.integers(6, 26))
def test_a_mark_frames_its_box_and_covers_nothing_else(left: int, top: int, wide: int, tall: int) -> None:
    image = np.full((96, 128, 3), 90, np.uint8)
    box = (left, top, left + wide, top + tall)
    marked = with_boxes(image, [("blue", box)])
    assert (image == 90).all()
    drawn = (marked == MARK_COLOURS["blue"]).all(axis=2)
    outer = around(box, (128, 96))
    assert (drawn == (marked != image).any(axis=2)).all()
    rows, columns = np.nonzero(drawn)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == outer
    # At the image's border the frame covers the edge of the object, elsewhere nothing of it.
    if left >= 2 and top >= 2 and left + wide <= 126 and top + tall <= 94:
        assert not drawn[top : top + tall, left : left + wide].any()
    assert drawn[outer[1] : outer[1] + line_width(128), outer[0] : outer[2]].all()


def test_letters_are_drawn_above_their_boxes() -> None:
    image = np.full((96, 128, 3), 90, np.uint8)
    boxes = [(10, 40, 30, 60), (90, 0, 110, 20)]
    changed = (with_letters(image, boxes) != image).any(axis=2)
    assert changed[29:40, 15:25].all() and changed[0:11, 95:105].all()
    assert changed.sum() < 2 * 13 * 13 and not changed[45:, :].any()


@dataclass(frozen=True)
class Stub:
    task: str
    about: frozenset[int | str]
    tallies: tuple[Tally, ...]


def test_the_balance_evens_out_answers_that_are_offered_unevenly() -> None:
    balance: Balance[Stub] = Balance()
    asked: Counter[Hashable] = Counter()
    random = Random(0)
    for scene in range(200):
        offered = [
            Stub("t", frozenset({number}), (Tally("side", side, ("left", "right")),))
            for number, side in enumerate(["left"] * 5 + ["right"] * (scene % 2))
        ]
        asked.update(question.tallies[0].answer for question in balance.ask(offered, {"t": 2}, random))
    assert abs(asked["left"] - asked["right"]) <= 2 and asked["right"] >= 90


def test_an_image_gets_no_two_questions_of_a_task_about_the_same() -> None:
    offered = [Stub("t", frozenset({1}), ()), Stub("t", frozenset({1}), ()), Stub("u", frozenset({1}), ())]
    balance: Balance[Stub] = Balance()
    asked = list(balance.ask(offered, {"t": 2, "u": 1}, Random(0)))
    assert [question.task for question in asked] == ["t", "u"]


CACHED = [benchmarks.cached_cv_bench, benchmarks.cached_space_thinker, benchmarks.cached_omni_spatial]


@pytest.mark.parametrize("cached", CACHED)
def test_the_cache_is_filled_once_and_by_content(
    cached: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"scenes": {"test": 1}, "size": (96, 72), "seed": 0, "processes": 1}
    folder = cached(tmp_path, **arguments)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert cached(tmp_path, **arguments | {"processes": 2}) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == [folder]
    assert cached(tmp_path, **arguments | {"seed": 1}) != folder


@pytest.mark.parametrize("cached", CACHED)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenes": {}}, "splits"),
        ({"scenes": {"train": 0}}, "whole number from 1"),
        ({"size": (32, 32)}, "at least 64"),
        ({"seed": -1}, "seed"),
        ({"processes": 0}, "processes"),
    ],
)
def test_unusable_arguments_are_refused(
    cached: Callable[..., Path], change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"scenes": {"test": 1}, "size": SIZE, "seed": 0}
    with pytest.raises(DataError, match=message):
        cached(tmp_path / "new", **arguments | change)
    assert not (tmp_path / "new").exists()


def test_rendering_does_not_load_torch() -> None:
    modules = [
        f"datamodules.rendered.rooms.{name}_writer" for name in ("cv_bench", "space_thinker", "omni_spatial")
    ]
    program = f"import sys, json, {', '.join(modules)}; print(json.dumps('torch' in sys.modules))"
    root = Path(__file__).parents[2]
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=root, check=True, capture_output=True, text=True
    )
    assert json.loads(told.stdout) is False
