"""The rendered CV-Bench: its columns, and answers recomputed from the masks and places of its scenes."""

import io
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datamodules.rendered.rooms.catalogue import KINDS
from datamodules.rendered.rooms.cv_bench_writer import SUBJECT, write_cv_bench
from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.scene_drawing import draw_scene
from datamodules.samples import DataError
from tests.helpers.matches import whole_match

SIZE = (128, 96)
SEED = 5
SCENES = {"train": 24, "val": 3, "test": 4}
COLUMNS = [
    ("idx", "int64"),
    ("type", "string"),
    ("task", "string"),
    ("image", "struct<bytes: binary, path: string>"),
    ("question", "string"),
    ("choices", "list<element: string>"),
    ("answer", "string"),
    ("prompt", "string"),
    ("filename", "string"),
    ("source", "string"),
    ("source_dataset", "string"),
    ("source_filename", "string"),
    ("target_class", "string"),
    ("target_size", "int64"),
    ("bbox", "list<element: list<element: double>>"),
]
Rows = list[dict[str, Any]]
Scenes = dict[str, RoomRendering]

RELATION = re.compile(
    r"Considering the relative positions of the (.+?)(?: \(annotated by the (red) box\))? and the (.+?)"
    r"(?: \(annotated by the (blue) box\))? in the image provided, where is the .+ located with "
    r"respect to .+\?"
)
DEPTH = re.compile(
    r"Which object is closer to the camera taking this photo, the (.+?) \(highlighted by a red box\) or the "
    r"(.+?) \(highlighted by a blue box\)\?"
)
DISTANCE = re.compile(
    r"Estimate the real-world distances between objects in this image\. Which object is closer to the (.+?) "
    r"\(highlighted by a red box\), the (.+?) \(highlighted by a blue box\) or the (.+?) "
    r"\(highlighted by a green box\)\?"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cv-bench")
    write_cv_bench(folder, scenes=SCENES, size=SIZE, seed=SEED, processes=1)
    return folder


def read(folder: Path, split: str) -> Rows:
    return [
        row for half in ("2d", "3d") for row in pq.read_table(folder / f"{split}_{half}.parquet").to_pylist()
    ]


@pytest.fixture(scope="module")
def rows(folder: Path) -> Rows:
    return read(folder, "train")


@pytest.fixture(scope="module")
def scenes(rows: Rows) -> Scenes:
    """The scenes of the training split, drawn again."""
    names = {row["source_filename"] for row in rows}
    return {name: draw_scene(SUBJECT, "train", int(name[6:12]), SIZE, SEED)[0] for name in names}


def right(row: dict[str, Any]) -> str:
    return row["choices"]["ABCD".index(row["answer"][1])]


def of_task(rows: Rows, task: str) -> Rows:
    found = [row for row in rows if row["task"] == task]
    assert found
    return found


def marked(row: dict[str, Any], rendering: RoomRendering) -> list[int]:
    """The indexes of the objects whose masks lie in the drawn boxes, found by the masks alone."""
    found = []
    for left, top, right, bottom in row["bbox"] or []:
        inside: dict[int, int] = {}
        for index in range(len(rendering.scene.things)):
            mask = rendering.labels == index
            ys, xs = np.nonzero(mask)
            if len(xs) and left <= xs.min() and xs.max() < right and top <= ys.min() and ys.max() < bottom:
                inside[index] = mask.sum()
        found.append(max(inside, key=inside.__getitem__))
    return found


def test_columns_are_the_official_ones(folder: Path) -> None:
    for split in SCENES:
        for half in ("2d", "3d"):
            schema = pq.read_schema(folder / f"{split}_{half}.parquet")
            assert [(field.name, str(field.type)) for field in schema] == COLUMNS


def test_the_datasets_library_reads_the_files(folder: Path, tmp_path: Path) -> None:
    from datasets import Image as ImageFeature
    from datasets import List, Value, load_dataset

    read = load_dataset(
        "parquet", data_files=str(folder / "val_3d.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert read.features["image"] == ImageFeature() and read.features["choices"] == List(Value("string"))
    assert read[0]["image"].size == SIZE


def test_rows_are_whole(rows: Rows) -> None:
    for row in rows:
        assert row["type"] == {"Count": "2D", "Relation": "2D", "Depth": "3D", "Distance": "3D"}[row["task"]]
        assert row["source"] in (["ADE20K", "COCO"] if row["type"] == "2D" else ["Omni3D"])
        assert row["source_dataset"] == "rendered"
        assert len(set(row["choices"])) == len(row["choices"]) == (4 if row["task"] == "Count" else 2)
        listed = "\n".join(f"({'ABCD'[place]}) {text}" for place, text in enumerate(row["choices"]))
        assert row["prompt"] == f"{row['question']} Select from the following choices.\n{listed}"
        with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", SIZE)
    assert len({row["idx"] for row in rows}) == len({row["filename"] for row in rows}) == len(rows)
    assert len(rows) >= 6 * SCENES["train"]


def test_unmarked_images_are_those_of_their_scenes(rows: Rows, scenes: Scenes) -> None:
    for row in of_task(rows, "Count")[::9]:
        pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        assert np.array_equal(pixels, scenes[row["source_filename"]].colour_image())


def test_flat_images_are_of_two_sources_and_some_boxes_are_needless(rows: Rows, scenes: Scenes) -> None:
    sources = Counter(row["source"] for row in rows)
    assert abs(sources["ADE20K"] - sources["COCO"]) < 0.35 * (sources["ADE20K"] + sources["COCO"])
    boxed = []
    for row in of_task(rows, "Relation"):
        first, red, _, _ = whole_match(RELATION, row["question"]).groups()
        things = scenes[row["source_filename"]].scene.things
        if sum(thing.kind == first for thing in things) == 1:
            boxed.append(red is not None)
    assert 0.2 < np.mean(boxed) < 0.8


def test_counts_are_the_numbers_of_objects(rows: Rows, scenes: Scenes) -> None:
    plurals = {kind.plural: name for name, kind in KINDS.items()}
    for row in of_task(rows, "Count"):
        kind = plurals[whole_match(r"How many (.+) are in the image\?", row["question"])[1]]
        rendering = scenes[row["source_filename"]]
        indexes = [index for index, thing in enumerate(rendering.scene.things) if thing.kind == kind]
        assert right(row) == str(len(indexes))
        areas = np.bincount(rendering.labels[rendering.labels >= 0], minlength=len(rendering.scene.things))
        assert all(areas[index] >= 0.004 * 128 * 96 for index in indexes)
        assert row["bbox"] is None
    assert len({right(row) for row in of_task(rows, "Count")}) >= 4


def test_relations_hold_between_the_masks(rows: Rows, scenes: Scenes) -> None:
    for row in of_task(rows, "Relation"):
        rendering = scenes[row["source_filename"]]
        first, red, second, blue = whole_match(RELATION, row["question"]).groups()
        indexes = iter(marked(row, rendering))
        pair = []
        for name, is_marked in ((first, red), (second, blue)):
            same = [index for index, thing in enumerate(rendering.scene.things) if thing.kind == name]
            pair.append(next(indexes) if is_marked else same[0])
            assert pair[-1] in same and (is_marked or len(same) == 1)
        boxes = []
        for index in pair:
            ys, xs = np.nonzero(rendering.labels == index)
            boxes.append(((xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2))
        across, along = boxes[0][0] - boxes[1][0], boxes[0][1] - boxes[1][1]
        if right(row) in ("left", "right"):
            assert abs(across) >= 0.10 * 128 and right(row) == ("left" if across < 0 else "right")
        else:
            assert abs(along) >= 0.15 * 96 and right(row) == ("above" if along < 0 else "below")


def test_the_closer_object_has_the_smaller_depths(rows: Rows, scenes: Scenes) -> None:
    for row in of_task(rows, "Depth"):
        rendering = scenes[row["source_filename"]]
        pair = marked(row, rendering)
        kinds = [rendering.scene.things[index].kind for index in pair]
        assert tuple(kinds) == whole_match(DEPTH, row["question"]).groups() and kinds == row["choices"]
        depths = [rendering.depths[rendering.labels == index] for index in pair]
        near, far = sorted(depths, key=np.median)
        assert np.median(far) - np.median(near) >= 0.5 and near.min() < far.min()
        assert right(row) == kinds[0 if near is depths[0] else 1]


def test_the_closer_neighbour_stands_closer(rows: Rows, scenes: Scenes) -> None:
    for row in of_task(rows, "Distance"):
        rendering = scenes[row["source_filename"]]
        anchor, *pair = marked(row, rendering)
        things = rendering.scene.things
        kinds = [things[index].kind for index in (anchor, *pair)]
        assert tuple(kinds) == whole_match(DISTANCE, row["question"]).groups() and kinds[1:] == row["choices"]
        assert len(set(kinds)) == 3
        away = [math.dist((things[anchor].x, things[anchor].y), (things[i].x, things[i].y)) for i in pair]
        assert max(away) - min(away) >= 0.5 and max(away) >= 1.3 * min(away)
        assert right(row) == kinds[1 + away.index(min(away))]


def test_boxes_are_drawn_in_their_colours(rows: Rows) -> None:
    for row in rows:
        pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        names = re.findall(r"(red|blue|green) box", row["question"])
        order = [name for name in ("red", "blue", "green") if name in names]
        assert len(order) == len(row["bbox"] or [])
        strong = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}
        for name, (left, top, right_, bottom) in zip(order, row["bbox"] or [], strict=True):
            frame = np.zeros(pixels.shape[:2], bool)
            frame[int(top) : int(bottom), int(left) : int(right_)] = True
            frame[int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right_) - 2] = False
            # A later box may cross an earlier one.
            assert (pixels[frame] == strong[name]).all(axis=1).mean() > 0.6
            assert frame.sum() >= 40


def test_letters_and_answers_are_balanced(rows: Rows) -> None:
    for task in ("Count", "Relation", "Depth", "Distance"):
        letters = Counter(row["answer"] for row in of_task(rows, task))
        assert len(letters) == len(of_task(rows, task)[0]["choices"])
        assert max(letters.values()) - min(letters.values()) <= 4
    winners = Counter(right(row) for row in rows if row["task"] in ("Depth", "Distance"))
    named = Counter(name for row in rows if row["task"] in ("Depth", "Distance") for name in row["choices"])
    assert all(abs(2 * winners[name] - named[name]) <= 8 for name in named)
    relations = Counter(right(row) for row in of_task(rows, "Relation"))
    assert len(relations) == 4
    assert abs(relations["left"] - relations["right"]) <= 2 >= abs(relations["above"] - relations["below"])


def test_splits_share_no_image(folder: Path) -> None:
    images = [{row["image"]["bytes"] for row in read(folder, split)} for split in SCENES]
    assert len(set.union(*images)) == sum(map(len, images))
    names = [{row["source_filename"] for row in read(folder, split)} for split in SCENES]
    assert [len(found) for found in names] == list(SCENES.values())
    assert len(set.union(*names)) == sum(SCENES.values())


def test_files_are_the_same_byte_for_byte_with_two_processes(folder: Path, tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "again", scenes=SCENES, size=SIZE, seed=SEED, processes=2)
    for path in sorted(folder.iterdir()):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_another_seed_gives_other_scenes(folder: Path, tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "other", scenes={"val": 3}, size=SIZE, seed=SEED + 1, processes=1)
    images = {row["image"]["bytes"] for row in read(tmp_path / "other", "val")}
    assert not images & {row["image"]["bytes"] for row in read(folder, "val")}


def test_a_folder_that_holds_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(DataError, match="already holds"):
        write_cv_bench(tmp_path, scenes={"val": 1}, size=SIZE, seed=0)
