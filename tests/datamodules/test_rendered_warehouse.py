"""The files of a rendered warehouse: layout, balance, reproducibility, cache and refusals."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from datamodules.rendered import warehouse
from datamodules.rendered.candidates import Candidate
from datamodules.rendered.levels import level_of
from datamodules.rendered.selection import Balance
from datamodules.rendered.warehouse import cached_warehouse, draw_warehouse, write_warehouse
from datamodules.rendered.writing import cached_folder
from datamodules.samples import DataError

SIZE = (224, 128)
KEYS = ["id", "image", "conversations", "rle", "category", "normalized_answer", "freeform_answer"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    write_warehouse(
        folder, difficulty="easy", scenes={"train": 12, "val": 4, "test": 4}, size=SIZE, seed=3, processes=1
    )
    return folder


def records(folder: Path, name: str) -> list[dict[str, Any]]:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("split", ["train", "val", "test_truth"])
def test_records_have_the_official_form(written: Path, split: str) -> None:
    for record in records(written, split):
        assert list(record) == KEYS
        assert re.fullmatch(r"[0-9a-f]{32}", record["id"])
        human, gpt = record["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert gpt["value"] == record["freeform_answer"]
        assert human["value"].count("<mask>") == len(record["rle"]) >= 2
        expected = {"left_right": str, "mcq": str, "distance": float, "count": int}[record["category"]]
        assert type(record["normalized_answer"]) is expected


def test_records_match_the_real_ones(written: Path, shared_data: Path) -> None:
    for real in json.loads((shared_data / "ai_city_track3" / "val.json").read_text()):
        for record in records(written, "train"):
            assert set(record) == set(real)
            assert set(record["rle"][0]) == set(real["rle"][0])
            assert [turn.keys() for turn in record["conversations"]] == [
                t.keys() for t in real["conversations"]
            ]


def test_the_test_split_hides_its_answers(written: Path) -> None:
    hidden, truth = records(written, "test"), records(written, "test_truth")
    assert [list(record) for record in hidden] == [KEYS[:4]] * len(truth)
    assert all(len(record["conversations"]) == 1 for record in hidden)
    assert [record["id"] for record in hidden] == [record["id"] for record in truth]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_images_and_masks_fit_together(written: Path, split: str) -> None:
    for record in records(written, split):
        stem = Path(record["image"]).stem
        with Image.open(written / split / "images" / record["image"]) as image:
            assert (image.mode, image.size) == ("RGB", SIZE)
        with Image.open(written / split / "depths" / f"{stem}_depth.png") as depth:
            assert (depth.mode, depth.size) == ("L", SIZE)
            assert depth.getextrema() == (0, 255)
        masks = coco_mask.decode(record["rle"])
        assert masks.shape == (SIZE[1], SIZE[0], len(record["rle"]))
        assert masks.any(axis=(0, 1)).all() and masks.sum(axis=2).max() == 1


def test_written_images_are_those_of_their_scenes(written: Path) -> None:
    for split, index in (("train", 0), ("train", 5), ("test", 1)):
        rendering = draw_warehouse("easy", split, index, SIZE, 3)[0]
        frame = warehouse.frame_name(split, index)
        with Image.open(written / split / "images" / f"{frame}.png") as image:
            assert np.array_equal(np.asarray(image), rendering.colour_image())
        with Image.open(written / split / "depths" / f"{frame}_depth.png") as depth:
            scaled = (rendering.depths - rendering.depths.min()) / np.ptp(rendering.depths) * 255
            assert np.abs(np.asarray(depth) - scaled).max() < 0.52
    first = ["<image>" in record["conversations"][0]["value"] for record in records(written, "train")]
    assert 0.25 < np.mean(first) < 0.75


def test_splits_share_neither_frames_nor_ids_nor_images(written: Path) -> None:
    seen_frames: list[set[str]] = []
    seen_ids: list[str] = []
    seen_images: list[bytes] = []
    for split in ("train", "val", "test"):
        seen_frames.append({record["image"] for record in records(written, split)})
        seen_ids.extend(record["id"] for record in records(written, split))
        seen_images.extend(path.read_bytes() for path in (written / split / "images").iterdir())
    assert len(set.union(*seen_frames)) == sum(map(len, seen_frames)) == 20
    assert len(set(seen_ids)) == len(seen_ids)
    assert len(set(seen_images)) == len(seen_images) == 20


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_the_same_with_one_process_and_with_two(written: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "difficulty": "easy",
        "scenes": {"train": 12, "val": 4, "test": 4},
        "size": SIZE,
    }
    write_warehouse(tmp_path / "two", **arguments, seed=3, processes=2)
    assert contents(tmp_path / "two") == contents(written)


def test_another_seed_gives_other_images(written: Path, tmp_path: Path) -> None:
    write_warehouse(tmp_path / "other", difficulty="easy", scenes={"val": 1}, size=SIZE, seed=4, processes=1)
    name = "val/images/000001.png"
    assert contents(tmp_path / "other")[name] != contents(written)[name]


def chosen(difficulty: str, split: str, number: int) -> list[Candidate]:
    """The questions of so many scenes, chosen as for the files but without drawing the colours."""
    balance = Balance(level_of(difficulty, split))
    return [
        question
        for index in range(number)
        for question in balance.choose(draw_warehouse(difficulty, split, index, SIZE, 0)[2], Random(index))
    ]


@pytest.fixture(scope="module")
def easy() -> list[Candidate]:
    return chosen("easy", "train", 120)


@pytest.fixture(scope="module")
def real_train() -> list[Candidate]:
    return chosen("real", "train", 160)


@pytest.fixture(scope="module")
def real_val() -> list[Candidate]:
    return chosen("real", "val", 120)


def shares(questions: Sequence[Candidate], category: str | None = None) -> dict[str | int | float, float]:
    """How often every category, or every answer of one category, occurs."""
    counts = Counter(
        question.answer if category else question.category
        for question in questions
        if category in (None, question.category)
    )
    return {name: count / counts.total() for name, count in counts.items()}


def test_easy_questions_are_balanced(easy: list[Candidate]) -> None:
    assert 6.5 <= len(easy) / 120 <= 7.5
    assert all(share == pytest.approx(0.25, abs=0.02) for share in shares(easy).values())
    assert shares(easy, "left_right")["left"] == pytest.approx(0.5, abs=0.03)
    counts = shares(easy, "count")
    assert set(counts) == {0, 1, 2, 3} and max(counts.values()) - min(counts.values()) < 0.1
    assert all(2 <= len(question.regions) <= 6 for question in easy)


def test_a_question_tells_nothing_of_its_answer(
    easy: list[Candidate], real_train: list[Candidate], real_val: list[Candidate]
) -> None:
    """Not by the side that it names, nor by the order or the number of what it lists."""
    questions = [*easy, *real_train, *real_val]
    sides = [
        named[0] == question.answer
        for question in questions
        if question.category == "left_right"
        and len(named := re.findall(r"\b(left|right)\b", question.question.lower())) == 1
    ]
    assert len(sides) > 300 and np.mean(sides) == pytest.approx(0.5, abs=0.09)
    for family in ("leftmost", "rightmost"):
        places = [
            int(question.answer) / (len(question.regions) - 1)
            for question in questions
            if question.family == family
        ]
        assert len(places) > 90 and np.mean(places) == pytest.approx(0.5, abs=0.1)
    counts = [question for question in questions if question.family == "listed"]
    assert np.mean([question.answer == len(question.regions) - 1 for question in counts]) < 0.3
    ranks: list[float] = []
    for question in counts:
        inside, region = re.findall(
            r"(?:pallets? (.+) in|in) the buffer region \[Region (\d+)\]", question.freeform
        )[0]
        listed = [number for number in range(len(question.regions)) if number != int(region)]
        ranks += [(listed.index(int(number)) + 0.5) / len(listed) for number in re.findall(r"\d+", inside)]
    assert len(ranks) > 500 and np.mean(ranks) == pytest.approx(0.5, abs=0.05)


def test_the_share_of_questions_of_several_steps_is_that_of_the_level(
    easy: list[Candidate], real_train: list[Candidate], real_val: list[Candidate]
) -> None:
    for questions, (least, most), bare in (
        (easy, (0.04, 0.15), (0.0, 0.0)),
        (real_train, (0.2, 0.45), (0.05, 0.4)),
        (real_val, (0.2, 0.45), (0.05, 0.4)),
    ):
        assert least < np.mean([question.chained for question in questions]) < most
        families = [
            question.family for question in questions if question.category == "count" and question.chained
        ]
        assert bare[0] <= np.mean([family == "bare" for family in families]) <= bare[1]
        assert len({question.family for question in questions} & {"leftmost", "rightmost", "closest"}) == 3


def test_distances_are_spread_over_the_quarters_of_the_real_ones(
    easy: list[Candidate], real_train: list[Candidate], real_val: list[Candidate]
) -> None:
    """The quarters are those of the real training split; its held-out splits lean to the far one."""
    for questions, expected in (
        (easy, (0.27, 0.27, 0.27, 0.19)),
        (real_train, (0.25,) * 4),
        (real_val, (0.21, 0.12, 0.17, 0.50)),
    ):
        distances: list[Any] = [question.answer for question in questions if question.category == "distance"]
        shares_of_quarters = np.histogram(distances, [0, 3.47, 5.46, 8.13, 99])[0] / len(distances)
        assert shares_of_quarters == pytest.approx(np.array(expected), abs=0.03)


def test_only_training_scenes_look_like_the_real_training_split() -> None:
    train, val, test = (level_of("real", split) for split in ("train", "val", "test"))
    assert val == test != train
    assert level_of("easy", "train") == level_of("easy", "test") != val


def test_crowding_fills_the_scenes_of_all_splits_alike(tmp_path: Path) -> None:
    masks: dict[str, dict[str, float]] = {}
    for crowding in ("by_split", "few", "many"):
        folder = tmp_path / crowding
        scenes = {"train": 10, "val": 10, "test": 10}
        given: dict[str, Any] = {} if crowding == "by_split" else {"crowding": crowding}
        write_warehouse(folder, difficulty="real", scenes=scenes, size=SIZE, seed=1, processes=1, **given)
        masks[crowding] = {
            split: float(np.mean([len(record["rle"]) for record in records(folder, split)]))
            for split in scenes
        }
    assert max(masks["few"].values()) < 4.5 and min(masks["many"].values()) > 5
    assert masks["by_split"]["train"] == masks["few"]["train"]
    assert masks["by_split"]["val"] == masks["many"]["val"]
    assert contents(tmp_path / "by_split/train") == contents(tmp_path / "few/train")
    assert contents(tmp_path / "by_split/val") == contents(tmp_path / "many/val")


def test_real_training_questions_follow_the_real_statistics(real_train: list[Candidate]) -> None:
    mix = shares(real_train)
    expected = {"mcq": 0.220, "left_right": 0.139, "distance": 0.493, "count": 0.148}
    assert mix == pytest.approx(expected, abs=0.02)
    counts = shares(real_train, "count")
    assert counts == pytest.approx({3: 0.468, 1: 0.26, 2: 0.21, 4: 0.062}, abs=0.05)
    choices = shares(real_train, "mcq")
    assert sum(choices[answer] for answer in "012") == pytest.approx(0.93, abs=0.04)
    distances: list[Any] = [question.answer for question in real_train if question.category == "distance"]
    assert np.mean(distances) == pytest.approx(5.71, abs=0.4)
    assert np.std(distances) == pytest.approx(2.84, abs=0.4)
    assert max(len(question.regions) for question in real_train) <= 15


def test_real_held_out_questions_shift_as_the_real_ones_do(
    real_train: list[Candidate], real_val: list[Candidate]
) -> None:
    assert all(share == pytest.approx(0.25, abs=0.02) for share in shares(real_val).values())
    counts = shares(real_val, "count")
    assert set(counts) == {1, 2, 3, 4} and max(counts.values()) - min(counts.values()) < 0.1
    choices = shares(real_val, "mcq")
    assert set(choices) == set("01234567") and max(choices.values()) - min(choices.values()) < 0.08

    def masks(questions: Sequence[Candidate]) -> float:
        return float(np.mean([len(question.regions) for question in questions if question.category == "mcq"]))

    assert 3.2 < masks(real_train) < 4.5
    assert masks(real_val) > 7


def test_wording_is_varied_but_the_vocabulary_is_small(
    real_train: list[Candidate], real_val: list[Candidate], easy: list[Candidate]
) -> None:
    questions = [*easy, *real_train, *real_val]
    words = {
        word
        for question in questions
        for word in re.findall(r"[a-z]+", f"{question.question} {question.freeform}".lower())
    }
    assert 100 < len(words) < 320
    skeletons = {
        (
            question.category,
            re.sub(
                r"(the (pallet|buffer region|transporter|shel)\w* ?|<mask>|,|\band\b)+",
                "X ",
                question.question,
            ),
        )
        for question in questions
    }
    variety = Counter(category for category, _ in skeletons)
    assert variety["mcq"] >= 70 and variety["left_right"] >= 25
    assert variety["distance"] >= 20 and variety["count"] >= 25


def test_the_cache_is_filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: dict[str, Any] = {
        "difficulty": "easy",
        "scenes": {"val": 2},
        "size": (96, 64),
        "seed": 0,
        "processes": 1,
    }
    folder = cached_warehouse(tmp_path, **arguments)
    assert folder.parent == tmp_path and (folder / "val.json").is_file()
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == [folder]
    monkeypatch.setattr(warehouse, "write_warehouse", None)
    assert cached_warehouse(tmp_path, **arguments) == folder
    assert cached_warehouse(tmp_path, **arguments | {"processes": 2}) == folder


def test_an_interrupted_rendering_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(warehouse, "_render_job", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached_warehouse(tmp_path, difficulty="easy", scenes={"val": 1}, size=(96, 64), seed=0, processes=1)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_of_several_that_want_the_same_scenes_one_renders(tmp_path: Path) -> None:
    """The runs of a study start at once; each would take all cores."""
    written = []

    def write(folder: Path) -> None:
        time.sleep(0.2)
        written.append(folder)
        (folder / "scene").touch()

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: cached_folder(tmp_path, "scenes", [1], [], write), range(4)))
    assert len(written) == len(set(folders)) == 1
    assert [path.name for path in folders[0].iterdir()] == ["scene"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"difficulty": "hard"}, "'hard'"),
        ({"difficulty": "real", "crowding": "crowded"}, "'crowded'"),
        ({"crowding": "few"}, "leave it out"),
        ({"crowding": "many"}, "leave it out"),
        ({"scenes": {}}, "splits"),
        ({"scenes": {"training": 3}}, "training"),
        ({"scenes": {"train": 0}}, "whole number from 1"),
        ({"size": (32, 32)}, "at least 64"),
        ({"size": (400, 100)}, "times the height"),
        ({"size": (224.0, 128.0)}, "whole pixels"),
        ({"seed": -1}, "seed"),
        ({"processes": 0}, "processes"),
    ],
)
def test_unusable_arguments_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"difficulty": "easy", "scenes": {"val": 1}, "size": SIZE, "seed": 0}
    writers: tuple[Callable[..., object], ...] = (write_warehouse, cached_warehouse)
    for write in writers:
        with pytest.raises(DataError, match=message):
            write(tmp_path / "new", **arguments | change)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(DataError, match="already holds"):
        write_warehouse(tmp_path, difficulty="easy", scenes={"val": 1}, size=SIZE, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_rendering_does_not_load_torch() -> None:
    program = "import sys, datamodules.rendered.warehouse; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False).returncode
        == 0
    )
