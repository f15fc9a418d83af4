"""The rendered SpaceThinker: its columns and template, and every answer recomputed from its scenes."""

import io
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datamodules.rendered.rooms.catalogue import KINDS
from datamodules.rendered.rooms.room_scene import RoomScene, Thing
from datamodules.rendered.rooms.scene_drawing import draw_scene
from datamodules.rendered.rooms.space_thinker_writer import SUBJECT, write_space_thinker
from tests.helpers.matches import first_match, whole_match

SIZE = (128, 96)
SEED = 2
SCENES = {"train": 20, "val": 2, "test": 3}
METRES = {"meter": 1.0, "centimeter": 0.01, "feet": 0.3048, "foot": 0.3048, "inch": 0.0254}
STEP_M = {"meter": 0.1, "centimeter": 0.05, "feet": 0.5 * 0.3048, "foot": 0.5 * 0.3048, "inch": 0.0254}
DASH = "\N{EN DASH}"
Asked = tuple[RoomScene, str, str, str]

NUMBER = r"(\d+(?:\.\d+)?)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space-thinker")
    write_space_thinker(folder, scenes=SCENES, size=SIZE, seed=SEED, processes=1)
    return folder


def table(folder: Path, split: str) -> pa.Table:
    return pq.read_table(folder / "data" / f"{split}-00000-of-00001.parquet")


@pytest.fixture(scope="module")
def asked(folder: Path) -> list[Asked]:
    """Scene, question, thought and answer of every training row."""
    found, scenes = [], {}
    for row in table(folder, "train").to_pylist():
        index = int(row["images"][0]["path"][6:12])
        if index not in scenes:
            scenes[index] = draw_scene(SUBJECT, "train", index, SIZE, SEED)[0]
        question = first_match(r"user<\|end_header_id\|>  (.+)<\|eot_id\|><\|start", row["input"])[1]
        thought, answer = whole_match(r"<think>(.+)</think>\n<answer>(.+)</answer>", row["output"]).groups()
        found.append((scenes[index].scene, question, thought, answer))
    assert len(found) >= 4 * SCENES["train"]
    return found


def named(scene: RoomScene, text: str) -> list[Thing]:
    """The objects that are named in a text, in order; a colour before the class tells several apart."""
    kinds = "|".join(sorted(KINDS, key=len, reverse=True))
    colours = "|".join({thing.colour for thing in scene.things} - {""}) or "none"
    found = []
    for colour, kind in re.findall(rf"\bthe (?:({colours}) )?({kinds})\b", text):
        same = [thing for thing in scene.things if thing.kind == kind and colour in ("", thing.colour)]
        assert len(same) == 1
        found.append(same[0])
    return found


def is_right(answer: str, length_m: float) -> bool:
    """Whether an answer with a unit is a length in metres, rounded, or a range that holds it."""
    low, high, unit = whole_match(
        rf"{NUMBER}(?:{DASH}{NUMBER})? (meter|centimeter|feet|foot|inch)(?:s|es)?", answer
    ).groups()
    if high:
        assert 0.14 < (float(high) - float(low)) * METRES[unit] < 0.51
        return float(low) * METRES[unit] - 1e-9 <= length_m <= float(high) * METRES[unit] + 1e-9
    return abs(float(low) * METRES[unit] - length_m) <= STEP_M[unit] / 2 + 1e-6


def test_files_look_like_the_real_one(folder: Path, shared_data: Path) -> None:
    real = pq.read_table(shared_data / "space_thinker" / "test-00000-of-00001.parquet")
    for split in SCENES:
        rendered = table(folder, split)
        assert rendered.schema.equals(real.schema)
        assert rendered.schema.metadata == real.schema.metadata
    template = re.compile(
        r"(.*user<\|end_header_id\|>  ).+(<\|eot_id\|><\|start_header_id\|>assistant.*)", re.DOTALL
    )
    first = whole_match(template, real["input"][0].as_py()).groups()
    for row in table(folder, "train").to_pylist():
        assert whole_match(template, row["input"]).groups() == first
        assert row["reasoning"] == "on" and len(row["images"]) == 1
        with Image.open(io.BytesIO(row["images"][0]["bytes"])) as image:
            assert (image.mode, image.size) == ("RGB", SIZE)


def test_distances_are_those_between_the_middles_of_the_objects(asked: list[Asked]) -> None:
    checked = 0
    for scene, question, thought, answer in asked:
        if not re.search(r"\b(far|apart|distance|gap)\b", question):
            continue
        things = named(scene, question)
        places = [(thing.x, thing.y) for thing in things] + [(0.0, 0.0)] * (2 - len(things))
        length_m = math.dist(*places)
        assert is_right(answer, length_m), (question, answer, length_m)
        assert f"{length_m:.2f} meters" in thought and answer in thought
        for thing in things:
            assert f"{thing.y:.2f} meters ahead" in thought and f"{abs(thing.x):.2f} meters to the" in thought
        checked += 1
    assert checked >= 30


def test_sizes_are_those_of_the_objects(asked: list[Asked]) -> None:
    checked = 0
    for scene, question, thought, answer in asked:
        if not re.search(r"\b(tall|height|long|length)\b", question):
            continue
        (thing,) = named(scene, question)
        is_height = re.search(r"\b(tall|height)\b", question)
        length_m = thing.height if is_height else max(thing.size[:2])
        assert is_right(answer, length_m) and f"{length_m:.2f} meters" in thought
        if is_height:
            eye, gap = map(float, re.findall(rf"{NUMBER} meters (?:above the floor|below|above)", thought))
            height = eye - gap if "below the height" in thought else eye + gap
            assert height == pytest.approx(length_m, abs=0.011)
        checked += 1
    assert checked >= 15


def test_counts_are_the_numbers_of_objects(asked: list[Asked]) -> None:
    plurals = {kind.plural: name for name, kind in KINDS.items()}
    checked = set()
    for scene, question, thought, answer in asked:
        if not re.search(r"How many (?!meters|feet|centimeters)|number of", question):
            continue
        found = first_match(rf"\b({'|'.join(sorted(plurals, key=len, reverse=True))})\b", question)
        number = sum(thing.kind == plurals[found[1]] for thing in scene.things)
        assert answer == str(number) and thought.count("one about") == number
        checked.add(number)
    assert len(checked) >= 4


def test_sides_are_those_in_the_image(asked: list[Asked]) -> None:
    sides = []
    for scene, question, thought, answer in asked:
        if "left" not in question:
            continue
        first, second = named(scene, question)
        columns = scene.camera.project(np.array([(first.x, first.y, 0.3), (second.x, second.y, 0.3)]))[:, 0]
        assert answer == ("left" if columns[0] < columns[1] else "right")
        shares = [int(share) for share in re.findall(r"at (\d+) percent", thought)]
        assert (shares[0] < shares[1]) == (answer == "left")
        sides.append(answer)
    assert abs(sides.count("left") - sides.count("right")) <= 2 and len(sides) >= 15


def test_every_statement_of_a_thought_is_true() -> None:
    """Of all questions that scenes offer: places, offsets, ends, conversions, shares of the width, counts."""
    stated: Counter[str] = Counter()
    for index in range(14):
        rendering, sight, offered = draw_scene(SUBJECT, "train", index, SIZE, SEED)
        scene = rendering.scene
        columns = {seen.thing: seen.center[0] for seen in sight.seen}
        for asked in offered:
            things, thought = named(scene, asked.question), asked.thought
            for name, ahead, aside, side in re.findall(
                rf"The ([a-z ]+?) stands {NUMBER} meters ahead .+? and {NUMBER} meters to the (\w+)",
                thought,
            ):
                (thing,) = named(scene, f"the {name}")
                assert (float(ahead), float(aside)) == pytest.approx((thing.y, abs(thing.x)), abs=0.0051)
                assert side == ("left" if thing.x < 0 else "right")
            for what, across, along in re.findall(
                rf"(middles are|ends lie) {NUMBER} meters apart sideways and {NUMBER} meters apart in depth",
                thought,
            ):
                if what == "ends lie":
                    length, width, _ = things[0].size
                    apart = max(length, width) * np.exp(1j * things[0].yaw) * (1 if length > width else 1j)
                else:
                    apart = complex(things[0].x - things[1].x, things[0].y - things[1].y)
                assert (float(across), float(along)) == pytest.approx(
                    (abs(apart.real), abs(apart.imag)), abs=0.0051
                )
                stated[what] += 1
            for metres, number, unit in re.findall(
                rf"{NUMBER} meters, which is {NUMBER} (feet|inch|centimeter)", thought
            ):
                assert float(number) * METRES[unit] == pytest.approx(
                    float(metres), abs=0.0051 + METRES[unit] / 20
                )
                stated[unit] += 1
            shares = re.findall(r"at (\d+) percent", thought)
            for share, thing in zip(shares, things if shares else (), strict=True):
                assert int(share) == pytest.approx(100 * columns[thing] / SIZE[0], abs=0.51)
            for word, name in re.findall(r"That makes (\w+) (.+) in all", thought):
                number = ["no", "one", "two", "three", "four"].index(word)
                kind = name if number == 1 else {each.plural: each.name for each in KINDS.values()}[name]
                ahead = [f"{thing.y:.2f}" for thing in scene.things if thing.kind == kind]
                assert str(number) == asked.answer
                assert sorted(re.findall(rf"one about {NUMBER} meters ahead", thought)) == sorted(ahead)
                stated[word] += 1
    assert (
        min(stated[what] for what in ("middles are", "ends lie", "feet", "inch", "centimeter", "no", "two"))
        > 2
    )


def test_images_are_those_of_their_scenes(folder: Path) -> None:
    rows = table(folder, "train").to_pylist()
    for row in rows[:: len(rows) // 3]:
        index = int(row["images"][0]["path"][6:12])
        pixels = np.asarray(Image.open(io.BytesIO(row["images"][0]["bytes"])))
        assert np.array_equal(pixels, draw_scene(SUBJECT, "train", index, SIZE, SEED)[0].colour_image())


def test_units_and_ranges_vary(asked: list[Asked]) -> None:
    answers = " ".join(answer for _, _, _, answer in asked)
    for word in ("meters", "centimeters", "feet", "inches", DASH):
        assert word in answers


def test_files_are_the_same_byte_for_byte_with_two_processes(folder: Path, tmp_path: Path) -> None:
    write_space_thinker(tmp_path / "again", scenes=SCENES, size=SIZE, seed=SEED, processes=2)
    for path in sorted((folder / "data").iterdir()):
        assert (tmp_path / "again" / "data" / path.name).read_bytes() == path.read_bytes()


def test_splits_share_no_image(folder: Path) -> None:
    images = [{row["images"][0]["bytes"] for row in table(folder, split).to_pylist()} for split in SCENES]
    assert [len(found) for found in images] == list(SCENES.values())
    assert len(set.union(*images)) == sum(SCENES.values())
