"""Varied scenes: what is drawn for each of them, what is never asked about, and what stays as it was."""

import math
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from datamodules.benchmarks.scene_truth import scene_truth
from datamodules.rendered.camera import Camera
from datamodules.rendered.levels import level_of
from datamodules.rendered.render import Rendering
from datamodules.rendered.scene import NEVER_ASKED, Kind, Scene, draw_scene
from datamodules.rendered.sight import look
from datamodules.rendered.variation import USUAL
from datamodules.rendered.warehouse import frame_name, write_warehouse

SIZE = (224, 128)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(Random(seed), level_of("varied", "train"), SIZE) for seed in range(120)]


def spread(values: list[float], least: float, most: float) -> bool:
    """Whether values lie between two others, and most of the way between them is used."""
    margin = 0.15 * (most - least)
    return least <= min(values) < least + margin and most - margin < max(values) <= most


def test_cameras_are_drawn_from_their_whole_ranges(scenes: list[Scene]) -> None:
    cameras = [scene.camera for scene in scenes]
    assert spread([camera.field_of_view_deg for camera in cameras], 60, 90)
    assert spread([camera.roll_deg for camera in cameras], -5, 5)
    assert spread([camera.height_m for camera in cameras], 4, 9)
    assert all(
        camera.height_m < scene.variation.ceiling_m for camera, scene in zip(cameras, scenes, strict=True)
    )
    assert len({scene.variation.floor for scene in scenes}) >= 5
    assert len({scene.variation.light for scene in scenes}) == len(scenes)


def test_sizes_are_drawn_for_each_scene(scenes: list[Scene]) -> None:
    things = [(scene, thing) for scene in scenes for thing in scene.objects]
    assert spread([thing.length for _, thing in things if thing.kind is Kind.SHELF], 2.2, 5.0)
    pallets = [(scene, thing) for scene, thing in things if thing.kind is Kind.PALLET]
    for size, standard in (("length", 1.2), ("width", 1.0)):
        assert spread([getattr(pallet, size) / standard for _, pallet in pallets], 0.85, 1.15)
    for scene, pallet in pallets:  # but those of one scene are alike
        length, width = scene.variation.pallet_size_m
        assert pallet.length == pytest.approx(length, rel=0.031)
        assert pallet.width == pytest.approx(width, rel=0.031)


def test_people_and_robots_stand_in_the_way_and_are_not_asked_about(scenes: list[Scene]) -> None:
    kinds = Counter(thing.kind for scene in scenes for thing in scene.objects)
    assert kinds[Kind.PERSON] > 100 and kinds[Kind.ROBOT] > 60
    hidden = 0
    for scene in scenes[:20]:
        labels = Rendering(scene).labels
        assert not {thing.kind for thing in look(scene, labels).seen} & set(NEVER_ASKED)
        others = tuple(thing for thing in scene.objects if thing.kind not in (Kind.PERSON, Kind.ROBOT))
        without = Rendering(
            Scene(scene.camera, scene.room, others, scene.texture_seed, scene.variation)
        ).labels
        # Who stands about is placed last, so that all others keep their index.
        covered = (labels != without) & (without >= 0)
        assert (labels[covered] >= len(others)).all()
        hidden += bool(covered.any())
    assert hidden >= 5


@pytest.mark.parametrize("seed", range(4))
def test_the_inverse_of_the_floor_depth_gives_roll_and_height_back(seed: int) -> None:
    """1 / z = (sin(pitch) + cos(pitch) (y cos(roll) + x sin(roll))) / height, for slopes x and y."""
    rendering = Rendering(draw_scene(Random(seed), level_of("varied", "train"), SIZE))
    camera = rendering.scene.camera
    regions = [i for i, thing in enumerate(rendering.scene.objects) if thing.kind is Kind.BUFFER]
    rows, columns = np.nonzero(np.isin(rendering.labels, regions))
    focal = SIZE[0] / 2 / math.tan(math.radians(camera.field_of_view_deg / 2))
    x, y = (columns + 0.5 - SIZE[0] / 2) / focal, (rows + 0.5 - SIZE[1] / 2) / focal
    table = np.stack([x, y, np.ones_like(x)], axis=1)
    (right, down, level), *_ = np.linalg.lstsq(table, 1 / rendering.depths[rows, columns], rcond=None)
    assert math.degrees(math.atan2(right, down)) == pytest.approx(camera.roll_deg, abs=0.05)
    assert math.degrees(math.atan2(level, math.hypot(right, down))) == pytest.approx(
        camera.pitch_deg, abs=0.05
    )
    assert 1 / np.linalg.norm((right, down, level)) == pytest.approx(camera.height_m, rel=1e-3)


def test_a_rolled_camera_sees_its_right_side_lower() -> None:
    level, rolled = Camera(5, 30, 0, *SIZE), Camera(5, 30, 0, *SIZE, roll_deg=5)
    assert level.axes[0, 2] == 0 > rolled.axes[0, 2]
    assert rolled.axes @ rolled.axes.T == pytest.approx(np.eye(3))
    assert np.array_equal(level.axes, Camera(5, 30, 0, *SIZE, 0.0, 70.0).axes)


def test_other_levels_vary_nothing() -> None:
    for difficulty in ("easy", "real", "composed"):
        for split in ("train", "val"):
            scene = draw_scene(Random(1), level_of(difficulty, split), SIZE)
            assert scene.variation == USUAL
            assert not {thing.kind for thing in scene.objects} & {Kind.PERSON, Kind.ROBOT}


def test_the_written_camera_is_that_of_the_scene(tmp_path: Path) -> None:
    write_warehouse(tmp_path, difficulty="varied", scenes={"train": 6}, size=SIZE, seed=0, processes=1)
    truths = [scene_truth(tmp_path / "train", f"{frame_name('train', index)}.png") for index in range(6)]
    assert len({truth.roll_deg for truth in truths if truth}) == 6
    assert len({truth.field_of_view_deg for truth in truths if truth}) == 6
    for truth in truths:
        assert truth is not None
        assert set(np.unique(truth.labels())) <= set(range(len(truth.kinds) + 1))
        assert set(truth.kinds) <= {str(kind) for kind in Kind}
