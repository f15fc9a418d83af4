"""The rendered OmniSpatial: its layout, and answers recomputed from the places of its scenes."""

import json
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.rendered.rooms.omni_question import OmniQuestion
from datamodules.rendered.rooms.omni_spatial_writer import SUBJECT, write_omni_spatial
from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.room_scene import Thing
from datamodules.rendered.rooms.room_sight import Sight
from datamodules.rendered.rooms.scene_drawing import draw_scene

SIZE = (128, 96)
SEED = 4
SCENES = {"train": 20, "val": 1, "test": 2}
TASKS = ["Perspective_Taking", "Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic"]
Scenes = dict[int, tuple[RoomRendering, Sight, list[OmniQuestion]]]
Asked = tuple[dict[str, Any], RoomRendering, Sight, dict[str, Thing]]

KEYS = ["id", "question", "options", "answer", "task_type", "sub_task_type"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("omni-spatial")
    write_omni_spatial(folder, scenes=SCENES, size=SIZE, seed=SEED, processes=1)
    return folder


def place_of(folder: Path, split: str) -> Path:
    return folder if split == "test" else folder / split


def read(folder: Path, split: str) -> list[dict[str, Any]]:
    return json.loads((place_of(folder, split) / "data.json").read_text())


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return {index: draw_scene(SUBJECT, "train", index, SIZE, SEED) for index in range(SCENES["train"])}


@pytest.fixture(scope="module")
def asked(folder: Path, scenes: Scenes) -> list[Asked]:
    """Row, rendering, sight and objects by their class, of every training row and of some that could be."""
    found = []
    offered = [
        {
            "id": f"{index}_offered",
            "question": question.question,
            "options": question.options,
            "answer": question.answer,
        }
        for index, (_, _, questions) in scenes.items()
        for question in Random(index).sample(questions, 70)
        if question.options
    ]
    for row in [*read(folder, "train"), *offered]:
        rendering, sight, _ = scenes[int(row["id"].split("_")[0])]
        things = {thing.kind: thing for thing in rendering.scene.things}
        assert len(things) == len(rendering.scene.things)
        found.append((row, rendering, sight, things))
    return found


def matching(asked: list[Asked], pattern: str) -> list[tuple[re.Match[str], *Asked]]:
    """The rows whose question fits a pattern, with its groups."""
    found = [(hit, *entry) for entry in asked if (hit := re.fullmatch(pattern, entry[0]["question"]))]
    assert found
    return found


def right(row: dict[str, Any]) -> str:
    return row["options"][row["answer"]]


def angle(viewer: Thing, facing: tuple[float, float], thing: Thing) -> float:
    """Degrees that a viewer turns to the left to face an object."""
    towards = complex(thing.x - viewer.x, thing.y - viewer.y)
    return math.degrees(np.angle(towards / complex(*facing)))


def masked(rendering: RoomRendering, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels of an object: columns, rows, depths."""
    (index,) = [i for i, thing in enumerate(rendering.scene.things) if thing.kind == kind]
    rows, columns = np.nonzero(rendering.labels == index)
    return columns, rows, rendering.depths[rows, columns]


def middle_column(rendering: RoomRendering, kind: str) -> float:
    columns = masked(rendering, kind)[0]
    return (columns.min() + columns.max()) / 2


def median_depth(rendering: RoomRendering, kind: str) -> float:
    return np.median(masked(rendering, kind)[2])


def test_rows_and_images_lie_as_in_the_real_release(folder: Path, shared_data: Path) -> None:
    real = json.loads((shared_data / "omni_spatial" / "data.json").read_text())
    kinds = {(row["task_type"], row["sub_task_type"]) for row in real}
    for split in SCENES:
        rows = read(folder, split)
        assert list(rows[0]) == list(real[0]) == KEYS
        assert {(row["task_type"], row["sub_task_type"]) for row in rows} <= kinds
        identities = {(row["task_type"], row["id"]) for row in rows}
        assert len(identities) == len(rows)
        wanted = {f"{row['task_type']}/{row['id'].split('_')[0]}.png" for row in rows}
        place = place_of(folder, split)
        present = {str(path.relative_to(place)) for task in TASKS for path in (place / task).iterdir()}
        assert present == wanted
        for name in wanted:
            with Image.open(place / name) as image:
                assert (image.mode, image.size) == ("RGB", SIZE)


def test_unmarked_images_are_those_of_their_scenes(folder: Path, scenes: Scenes) -> None:
    for index in (0, 7):
        with Image.open(folder / "train" / "Perspective_Taking" / f"{index}.png") as image:
            assert np.array_equal(np.asarray(image), scenes[index][0].colour_image())


def test_every_task_is_asked_and_options_are_usable(folder: Path) -> None:
    rows = read(folder, "train")
    assert set(Counter(row["task_type"] for row in rows)) == set(TASKS)
    assert len({row["sub_task_type"] for row in rows}) == 7
    for row in rows:
        assert len(row["options"]) == 4 or (row["options"] == [] and row["task_type"] == "Complex_Logic")
        assert type(row["answer"]) is int and 0 <= row["answer"] <= 3
        assert not row["options"] or row["options"].count(right(row)) == 1


def test_answers_are_spread_over_the_options(folder: Path) -> None:
    rows = read(folder, "train")
    places = Counter(row["answer"] for row in rows)
    assert max(places.values()) - min(places.values()) <= 0.08 * len(rows)
    sides = Counter(right(row) for row in rows if "can not determine" in row["options"])
    assert set(sides) == {"left", "right"} and abs(sides["left"] - sides["right"]) <= 6


def test_the_person_sees_things_on_the_told_side(asked: list[Asked]) -> None:
    for hit, row, rendering, _, things in matching(
        asked, r"From the (?:view|pers).+(?:which side|direction) is the (.+)\?"
    ):
        person = things["person"]
        turn = angle(person, rendering.scene.heading[0], things[hit[1]])
        # A person's front is where the yaw turns it: at 0 it looks to the camera.
        front = (math.cos(person.yaw - math.pi / 2), math.sin(person.yaw - math.pi / 2))
        assert rendering.scene.heading[0] == pytest.approx(front)
        assert 17.9 <= abs(turn) <= 162.1
        away = math.dist((person.x, person.y), (things[hit[1]].x, things[hit[1]].y))
        assert away * abs(math.sin(math.radians(turn))) >= 0.399
        told = right(row).split()
        assert told[-1] == ("left" if turn > 0 else "right")
        if len(told) == 2:
            assert told[0] == ("front" if abs(turn) < 90 else "back") and not 72.1 < abs(turn) < 107.9
            assert away * abs(math.cos(math.radians(turn))) >= 0.399


def test_who_stood_there_would_see_things_on_the_told_side(asked: list[Asked]) -> None:
    pattern = (
        r"If you stood at the (.+) and looked towards the (.+), on which side of you would the (.+) be\?"
    )
    for hit, row, _, _, things in matching(asked, pattern):
        viewer, goal, thing = (things[name] for name in hit.groups())
        turn = angle(viewer, (goal.x - viewer.x, goal.y - viewer.y), thing)
        assert right(row) == ("left" if turn > 0 else "right") and 17.9 <= abs(turn) <= 162.1
        away = math.dist((viewer.x, viewer.y), (thing.x, thing.y))
        assert away * abs(math.sin(math.radians(turn))) >= 0.399


def test_the_photographer_sees_the_told_object_first(asked: list[Asked]) -> None:
    pattern = r"From the photographer's perspective, which of these objects is (.+)\?"
    for hit, row, rendering, _, _ in matching(asked, pattern):
        value, best = {
            "farthest to the left": (middle_column, min),
            "farthest to the right": (middle_column, max),
            "nearest": (median_depth, min),
            "farthest away": (median_depth, max),
        }[hit[1]]
        assert right(row) == best(row["options"], key=lambda kind: value(rendering, kind))


def test_the_ball_meets_the_told_object_first(asked: list[Asked]) -> None:
    """The ball is moved step by step along its arrow until it touches a circle around an object."""
    for _, row, rendering, _, things in matching(
        asked, r"If the ball rolls .+ which object will it hit first\?"
    ):
        ball, (x, y) = things["ball"], rendering.scene.heading[1]
        touched = None
        for step in np.arange(0, 12, 0.02):
            here = (ball.x + x * step, ball.y + y * step)
            near = [
                kind
                for kind, thing in things.items()
                if kind != "ball"
                and math.dist(here, (thing.x, thing.y)) < max(thing.size[:2]) / 2 + ball.size[0] / 2
            ]
            if near:
                touched = near
                break
        assert touched == [right(row)]


def test_arrows_are_painted_on_the_floor_ahead(asked: list[Asked]) -> None:
    for _, rendering, _, things in asked[::6]:
        scene = rendering.scene
        for kind, index in (("person", 0), ("ball", 1)):
            assert scene.things[index].kind == kind
            (x, y), start = scene.heading[index], max(things[kind].half_extents)
            on_arrow = [things[kind].x + x * (start + 0.3), things[kind].y + y * (start + 0.3), 0.0]
            column, row, _ = scene.camera.project(np.array(on_arrow))
            assert 0 < column < SIZE[0] and 0 < row < SIZE[1]
            assert any(
                math.dist(part.center[:2], on_arrow[:2]) < 0.3 and part.size[2] < 0.02 for part in scene.decor
            )


def test_walking_takes_the_told_time(asked: list[Asked]) -> None:
    ranks: Counter[int] = Counter()
    for hit, row, _, _, things in matching(
        asked, r"If the person walks to the (.+) at (.+) m/s, how long .+\?"
    ):
        time = math.dist(*((things[kind].x, things[kind].y) for kind in ("person", hit[1]))) / float(hit[2])
        assert right(row) == f"{time:.1f}s"
        times = sorted(float(option[:-1]) for option in row["options"])
        assert all(second > 1.4 * first for first, second in pairwise(times))
        ranks[times.index(float(right(row)[:-1]))] += 1
    assert len(ranks) == 4 and min(ranks.values()) > 0.1 * ranks.total()


def test_objects_are_counted_from_the_left(asked: list[Asked]) -> None:
    ordinals = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
    for hit, row, rendering, _, things in matching(asked, r"Where is the (.+)\?"):
        order = sorted(things, key=lambda kind: middle_column(rendering, kind))
        assert right(row) == f"it is the {ordinals[order.index(hit[1])]} object from the left"
        columns = [middle_column(rendering, kind) for kind in order]
        assert min(np.diff(columns)) >= 0.05 * SIZE[0]


def test_ways_lead_to_their_goal(asked: list[Asked]) -> None:
    for hit, row, _, _, things in matching(asked, r"In which direction .+ walk to get to the (.+)\?"):
        goal, person = things[hit[1]], things["person"]
        across, away = goal.x - person.x, goal.y - person.y
        assert min(abs(across), abs(away)) >= 0.4
        depth = "away from" if away > 0 else "towards"
        assert right(row) == f"{'right' if across > 0 else 'left'}, {depth} the camera"


def test_lists_are_in_order(asked: list[Asked]) -> None:
    for _, row, rendering, _, _ in matching(
        asked, r"Which list names the objects in order of their distance .+\?"
    ):
        kinds = right(row).split(" - ")
        depths = [median_depth(rendering, kind) for kind in kinds]
        assert all(second - first >= 0.5 for first, second in pairwise(depths))
        assert all(sorted(option.split(" - ")) == sorted(kinds) for option in row["options"])


def test_drawn_letters_mark_the_told_object(asked: list[Asked], folder: Path, scenes: Scenes) -> None:
    """The letters are read off the image by where they are drawn."""
    from datamodules.rendered.rooms.box_marks import with_letters

    pattern = r"Which of the objects that are marked by a letter is the (\w+) .+\?"
    for hit, row, rendering, sight, _ in matching(asked, pattern):
        path = folder / "train" / "Complex_Logic" / f"{row['id'].split('_')[0]}.png"
        drawn = np.asarray(Image.open(path))
        clean = rendering.colour_image()
        changed = (drawn != clean).any(axis=2)
        assert changed.any()
        # Which four objects, in which order, would give this very image?
        offers = [
            question
            for question in scenes[int(row["id"].split("_")[0])][2]
            if question.question == row["question"] and question.answer == row["answer"] and question.letters
        ]
        boxes = {seen.index: seen.box for seen in sight.seen}
        letters = next(
            question.letters
            for question in offers
            if (with_letters(clean, [boxes[index] for index in question.letters]) == drawn).all()
        )
        things = [rendering.scene.things[index] for index in letters]
        if hit[1] == "tallest":
            values = [thing.height for thing in things]
        else:
            values = [median_depth(rendering, thing.kind) for thing in things]
        assert row["answer"] == values.index(min(values) if hit[1] == "nearest" else max(values))


def test_files_are_the_same_byte_for_byte_with_two_processes(folder: Path, tmp_path: Path) -> None:
    write_omni_spatial(tmp_path / "again", scenes=SCENES, size=SIZE, seed=SEED, processes=2)

    def contents(place: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()
        }

    assert contents(tmp_path / "again") == contents(folder)


def test_splits_share_no_image(folder: Path) -> None:
    images = [
        {path.read_bytes() for path in (place_of(folder, split) / "Perspective_Taking").iterdir()}
        for split in SCENES
    ]
    assert [len(found) for found in images] == list(SCENES.values())
    assert len(set.union(*images)) == sum(SCENES.values())
