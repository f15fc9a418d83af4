"""Rendered rooms in which height misleads: answers, supports and cords made anew from the triangles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from datamodules.cv_bench import CvBench
from datamodules.rendered import benchmarks
from datamodules.rendered.camera import Camera
from datamodules.rendered.rooms.catalogue import KINDS, PLACES, kinds_of
from datamodules.rendered.rooms.cv_bench_writer import SUBJECTS, write_cv_bench
from datamodules.rendered.rooms.raised_scene import draw_raised_room
from datamodules.rendered.rooms.room_cast import RoomCaster
from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.room_scene import RoomScene, Thing
from datamodules.rendered.rooms.room_shading import RoomShader
from datamodules.rendered.rooms.scene_drawing import draw_scene
from datamodules.rendered.rooms.solids import Shape, extent, scaled
from datamodules.samples import DataError
from tests.helpers.loaded_samples import samples

SIZE = (160, 96)
SEED = 4
SCENES = {"train": 24, "val": 5, "test": 7}
CEILING_M = 2.7
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counter-intuitive")
    write_cv_bench(folder, scenes=SCENES, size=SIZE, seed=SEED, processes=1, difficulty="counter_intuitive")
    return folder


def read(folder: Path, split: str, *parts: str) -> Rows:
    return [row for part in parts for row in pq.read_table(folder / f"{split}_{part}.parquet").to_pylist()]


@pytest.fixture(scope="module")
def renderings(folder: Path) -> dict[str, RoomRendering]:
    """The scenes of the training split, drawn again."""
    names = {row["source_filename"] for row in read(folder, "train", "2d", "3d")}
    subject = SUBJECTS["counter_intuitive"]
    return {name: draw_scene(subject, "train", int(name[6:12]), SIZE, SEED)[0] for name in names}


@pytest.fixture(scope="module")
def drawn() -> list[RoomRendering]:
    """Scenes as they are drawn, whether they offer enough questions or not."""
    return [RoomRendering(draw_raised_room(Random(f"raised {number}"), SIZE)) for number in range(40)]


def corners(rendering: RoomRendering, index: int) -> np.ndarray:
    """All corners of an object's triangles, `[n, 3]` in world metres."""
    solids = rendering.solids
    return solids.corners[solids.owners[solids.solids] == index].reshape(-1, 3).astype(float)


def ends(rendering: RoomRendering, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and most x, y and z of an object, in metres."""
    points = corners(rendering, index)
    return points.min(axis=0), points.max(axis=0)


def marked(row: dict[str, Any], rendering: RoomRendering) -> list[int]:
    """The indexes of the objects whose masks lie in the drawn boxes and fill them."""
    found = []
    for left, top, right, bottom in row["bbox"]:
        near: dict[int, float] = {}
        for index in range(len(rendering.scene.things)):
            rows, columns = np.nonzero(rendering.labels == index)
            if len(rows):
                edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                near[index] = float(np.abs(np.subtract(edges, (left, top, right, bottom))).max())
        index = min(near, key=near.__getitem__)
        assert near[index] <= 2  # the width of a line
        found.append(index)
    return found


def centre_row(box: list[float]) -> float:
    return (box[1] + box[3]) / 2


def leads_by_height(row: dict[str, Any]) -> bool:
    """Whether height leads to the right answer; what it says must be clear."""
    rows = [centre_row(box) for box in row["bbox"]]
    if row["task"] == "Depth":
        far, near = rows
    else:
        near, far = abs(rows[1] - rows[0]), abs(rows[2] - rows[0])
    assert abs(near - far) >= 0.05 * SIZE[1]
    return (row["answer"] == "(A)") == (near < far)


@pytest.mark.parametrize("split", SCENES)
def test_height_is_right_as_often_as_wrong(folder: Path, split: str) -> None:
    asked = read(folder, split, "3d")
    for task in ("Depth", "Distance"):
        of_task = [row for row in asked if row["task"] == task]
        counts = Counter((leads_by_height(row), row["answer"]) for row in of_task)
        led = sum(number for (leads, _), number in counts.items() if leads)
        assert led == len(of_task) - led >= SCENES[split] / 2
        for leads in (True, False):
            assert abs(counts[leads, "(A)"] - counts[leads, "(B)"]) <= 2
        assert len({row["source_filename"] for row in of_task}) >= SCENES[split] / 2


def test_most_scenes_are_asked_all_that_they_may_be(folder: Path) -> None:
    numbers = Counter(row["task"] for row in read(folder, "train", "2d", "3d"))
    assert numbers["Relation"] == 2 * SCENES["train"]
    assert min(numbers["Depth"], numbers["Distance"]) >= 1.5 * SCENES["train"]
    assert numbers["Count"] >= 0.6 * SCENES["train"]


def test_the_closer_to_the_camera_is_closer_however_it_is_measured(
    folder: Path, renderings: dict[str, RoomRendering]
) -> None:
    asked = [row for row in read(folder, "train", "3d") if row["task"] == "Depth"]
    assert len(asked) > 20
    for row in asked:
        rendering = renderings[row["source_filename"]]
        pair = marked(row, rendering)
        things = rendering.scene.things
        assert [things[index].kind for index in pair] == row["choices"]
        near, far = pair if row["answer"] == "(A)" else pair[::-1]
        depths = {index: rendering.depths[rendering.labels == index] for index in pair}
        assert np.median(depths[far]) >= max(np.median(depths[near]) + 0.5, 1.15 * np.median(depths[near]))
        assert depths[near].min() < depths[far].min()
        eye = np.array([0, 0, rendering.scene.camera.height_m])
        away = {index: np.linalg.norm(corners(rendering, index) - eye, axis=1) for index in pair}
        assert away[near].min() < away[far].min() + 0.35
        middles = {index: np.mean(ends(rendering, index), axis=0) for index in pair}
        assert np.linalg.norm(middles[near] - eye) < np.linalg.norm(middles[far] - eye) + 0.05


def test_the_closer_of_two_is_closer_in_space(folder: Path, renderings: dict[str, RoomRendering]) -> None:
    asked = [row for row in read(folder, "train", "3d") if row["task"] == "Distance"]
    assert len(asked) > 20
    not_on_the_floor_alone = 0
    for row in asked:
        rendering = renderings[row["source_filename"]]
        anchor, *pair = marked(row, rendering)
        assert [rendering.scene.things[index].kind for index in pair] == row["choices"]
        near, far = pair if row["answer"] == "(A)" else pair[::-1]
        middles = {index: np.mean(ends(rendering, index), axis=0) for index in (anchor, near, far)}
        away = [float(np.linalg.norm(middles[index] - middles[anchor])) for index in (near, far)]
        assert away[1] - away[0] >= 0.45 and away[1] >= 1.25 * away[0]
        flat = [float(np.linalg.norm((middles[index] - middles[anchor])[:2])) for index in (near, far)]
        not_on_the_floor_alone += flat[1] - flat[0] < 0.5 or flat[1] < 1.3 * flat[0]
        points = {index: corners(rendering, index) for index in (anchor, near, far)}
        gaps = [
            np.linalg.norm(points[index][:, None] - points[anchor][None], axis=2).min()
            for index in (near, far)
        ]
        assert gaps[0] < gaps[1] + 0.4  # between corners, that is; boards have none in their middles
    assert not_on_the_floor_alone


def test_things_stand_on_boards_or_hang_by_cords(drawn: list[RoomRendering]) -> None:
    kinds: Counter[str] = Counter()
    for rendering in drawn:
        scene = rendering.scene
        raised = [index for index, thing in enumerate(scene.things) if thing.z]
        assert raised
        for index in raised:
            low, high = ends(rendering, index)
            thing = scene.things[index]
            assert low[2] == pytest.approx(thing.z, abs=0.03)
            cords = [
                solid
                for solid in scene.decor
                if np.hypot(solid.center[0] - thing.x, solid.center[1] - thing.y) < 1e-6
            ]
            if cords:
                (cord,) = cords
                bottom, top = (cord.center[2] + side * cord.size[2] / 2 for side in (-1, 1))
                assert top == pytest.approx(CEILING_M) and abs(bottom - high[2]) < 0.12
                assert low[2] + 0.03 >= 1.5 and high[2] < CEILING_M - 0.1
                kinds["hangs"] += 1
            else:
                kinds[supporting(rendering, index)] += 1
        assert len(scene.decor) == sum(1 for solid in scene.decor if solid.shape is Shape.CYLINDER)
    assert set(kinds) == {"hangs", "rack", "table", "cabinet"} and min(kinds.values()) >= 5


def supporting(rendering: RoomRendering, index: int) -> str:
    """The class of what an object stands on: a level surface just under its foot, all around its middle."""
    scene, solids = rendering.scene, rendering.solids
    thing = scene.things[index]
    reach = 0.3 * min(thing.size[:2])
    rays = [
        (thing.x + across * reach, thing.y + along * reach) for across in (-1, 0, 1) for along in (-1, 0, 1)
    ]
    others = solids.owners[solids.solids] != index
    triangles = solids.corners[others].astype(float)
    under = [below(triangles, *place, thing.z) for place in rays]
    (owner,) = {int(solids.owners[solids.solids[others][triangle]]) for triangle in under}
    return scene.things[owner].kind if owner >= 0 else "nothing"


def below(triangles: np.ndarray, x: float, y: float, z: float) -> int:
    """The level triangle at a height, within a centimetre, over which or in which a floor position lies."""
    level = np.abs(triangles[..., 2] - z).max(axis=1) < 0.01
    first, second, third = (triangles[level, corner, :2] for corner in range(3))

    def side(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        along = end - start
        return along[:, 0] * (y - start[:, 1]) - along[:, 1] * (x - start[:, 0])

    sides = np.stack([side(first, second), side(second, third), side(third, first)])
    inside = (sides >= -1e-9).all(axis=0) | (sides <= 1e-9).all(axis=0)
    assert inside.any(), "nothing is under a thing"
    return int(np.flatnonzero(level)[np.flatnonzero(inside)[0]])


def test_nothing_stands_in_another_or_out_of_the_room(drawn: list[RoomRendering]) -> None:
    for rendering in drawn:
        scene = rendering.scene
        every = [ends(rendering, index) for index in range(len(scene.things))]
        for index, (low, high) in enumerate(every):
            assert scene.bounds[0] < low[0] and high[0] < scene.bounds[2] and high[1] < scene.bounds[3]
            if scene.place == "room":
                assert high[2] < CEILING_M
            for other in range(index):
                apart = np.maximum(every[other][0] - high, low - every[other][1]).max()
                kinds = {scene.things[index].kind, scene.things[other].kind}
                assert apart > -0.031 or kinds & {
                    "rack"
                }  # things are in a rack, and pots a little in a board


def test_things_on_a_rack_are_between_its_boards(drawn: list[RoomRendering]) -> None:
    places: Counter[int] = Counter()
    for rendering in drawn:
        things = rendering.scene.things
        for rack in (thing for thing in things if thing.kind == "rack"):
            boards = sorted(part.center[2] for part in rack.parts if part.size[2] < 0.1)
            assert len(boards) == 3
            for thing in things:
                cosine, sine = np.cos(rack.yaw), np.sin(rack.yaw)
                across, along = thing.x - rack.x, thing.y - rack.y
                mine = abs(across * cosine + along * sine), abs(along * cosine - across * sine)
                if thing is rack or any(
                    place > side / 2 for place, side in zip(mine, rack.size[:2], strict=True)
                ):
                    continue
                (level,) = [n for n, z in enumerate(boards) if abs(thing.z - z) < 0.03] or [-1]
                if level >= 0:
                    places[level] += 1
                    assert level == 2 or thing.z + thing.height < boards[level + 1]
    assert min(places[level] for level in range(3)) >= 5


def test_cameras_are_tilted_and_turned(drawn: list[RoomRendering]) -> None:
    cameras = [rendering.scene.camera for rendering in drawn]
    pitches, rolls = ([getattr(camera, name) for camera in cameras] for name in ("pitch_deg", "roll_deg"))
    assert 2 <= min(pitches) < 6 and 24 < max(pitches) <= 30
    assert -14 <= min(rolls) < -9 and 9 < max(rolls) <= 14
    assert {rendering.scene.place for rendering in drawn} == {"room", "yard"}


def test_nothing_hangs_under_the_sky(drawn: list[RoomRendering]) -> None:
    assert not any(rendering.scene.decor for rendering in drawn if rendering.scene.place == "yard")
    assert sum(bool(rendering.scene.decor) for rendering in drawn) >= 8


@pytest.mark.parametrize(("z", "is_dark"), [(0.0, True), (1.2, False)])
def test_the_floor_is_dark_under_what_stands_on_it_alone(z: float, is_dark: bool) -> None:
    """Where less of the light of the surroundings arrives."""
    (ball,) = KINDS["ball"].make(Random(0), (0.5, 0.5, 0.5))
    thing = Thing("ball", "", 0.0, 3.0, 0.0, ball.size, (ball,), z)
    scene = RoomScene("room", Camera(1.8, 18.0, 0.0, *SIZE), (-3, -1, 3, 6), (thing,), (), 0)
    caster = RoomCaster(RoomRendering(scene).solids)
    hits = caster.cast(np.array([0.15, 3.0, 0.01], np.float32), np.array([[0, 0, -1]], np.float32))
    (openness,) = RoomShader(scene, caster)._openness(hits, caster.solids.finishes[hits.solids])
    assert (openness < 0.7) == is_dark and (openness == 1) != is_dark


def test_shelves_are_not_counted_where_there_are_racks(folder: Path) -> None:
    counted = [row["question"] for row in read(folder, "train", "2d") if row["task"] == "Count"]
    assert not any("bookshel" in question for question in counted)
    assert any("racks" in question for question in counted)


def test_racks_are_in_these_scenes_alone() -> None:
    assert "rack" in KINDS
    assert "rack" not in {kind.name for place in PLACES for kind in kinds_of(place)}


def test_a_thing_that_is_scaled_is_smaller_in_all_directions() -> None:
    parts = KINDS["chair"].make(Random(0), (0.5, 0.5, 0.5))
    assert extent(scaled(parts, 0.5)) == pytest.approx([side / 2 for side in extent(parts)])
    assert [part.colour for part in scaled(parts, 0.5)] == [part.colour for part in parts]


def test_what_is_above_the_floor_is_drawn_there() -> None:
    thing = Thing("ball", "", 1.0, 3.0, 0.3, (0.4, 0.5, 0.6), (), 1.2)
    assert thing.corners()[:, 2].tolist() == pytest.approx([1.2, 1.8] * 4)
    assert thing.middle == pytest.approx((1.0, 3.0, 1.5))


@pytest.mark.parametrize("write", [write_cv_bench, benchmarks.cached_cv_bench])
def test_an_unknown_difficulty_is_refused(write: Any, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"'hard' of a rendered CV-Bench .*\"ordinary\" or \"counter_intuitive\""
    ):
        write(tmp_path / "new", scenes={"val": 1}, size=SIZE, seed=0, difficulty="hard")
    assert not (tmp_path / "new").exists()


def test_files_are_the_same_with_two_processes(folder: Path, tmp_path: Path) -> None:
    write_cv_bench(
        tmp_path / "again", scenes=SCENES, size=SIZE, seed=SEED, processes=2, difficulty="counter_intuitive"
    )
    for path in sorted(folder.iterdir()):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_it_is_loaded_by_its_name(tmp_path: Path) -> None:
    data = CvBench(
        "counter_intuitive",
        scenes={"train": 2, "val": 1, "test": 2},
        size=(96, 64),
        cache=str(tmp_path),
        num_workers=0,
    )
    data.prepare_data()
    asked = samples(data.test_dataloader())
    assert {"Depth", "Distance"} <= {sample.task for sample in asked}
    for sample in asked:
        assert len(sample.boxes) == {"Depth": 2, "Distance": 3, "Count": 0}.get(
            sample.task, len(sample.boxes)
        )
