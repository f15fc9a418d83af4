"""What rooms are asked: no class tells an answer, margins hold, rows come back, caches know all."""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from datamodules.rendered import benchmarks, warehouse
from datamodules.rendered.camera import Camera
from datamodules.rendered.rooms import (
    cv_bench_questions,
    cv_bench_writer,
    omni_spatial_questions,
    omni_spatial_writer,
    space_thinker_questions,
    space_thinker_writer,
)
from datamodules.rendered.rooms.balance import Balance
from datamodules.rendered.rooms.catalogue import KINDS
from datamodules.rendered.rooms.counter_intuitive_questions import offered_by_height
from datamodules.rendered.rooms.parquet import STRING, WHOLE, ParquetFile, listed
from datamodules.rendered.rooms.room_scene import RoomScene, Thing, draw_room
from datamodules.rendered.rooms.room_sight import Seen, Sight
from datamodules.rendered.rooms.room_truth import (
    is_closer_in_space,
    is_closer_to,
    is_nearer,
    is_nearer_in_space,
    side,
)
from datamodules.statistics import height_for_distance

SIZE = (128, 96)


def seen_whole(scene: RoomScene) -> Sight:
    """As if every object was seen, without rendering it: its box is that of its corners."""
    seen = []
    for index, thing in enumerate(scene.things):
        image = scene.camera.project(thing.corners())
        left, top = np.maximum(image[:, :2].min(axis=0), 0).astype(int).tolist()
        right, bottom = np.minimum(image[:, :2].max(axis=0), SIZE).astype(int).tolist()
        depths = image[:, 2]
        seen.append(Seen(index, thing, (left, top, right, bottom), depths.min(), float(np.median(depths))))
    numbers = dict(Counter(thing.kind for thing in scene.things))
    return Sight(scene, tuple(seen), numbers, frozenset(numbers))


NAMES = {form: kind.name for kind in KINDS.values() for form in (kind.name, kind.plural)}
NAME = re.compile(rf"\b(?:{'|'.join(sorted(NAMES, key=len, reverse=True))})\b")


def told(question: Any) -> Iterator[tuple[tuple[Any, ...], Any, tuple[Any, ...]]]:
    """What a class in a question could tell: wording, role and class; the answer; all answers there are."""
    kinds = [NAMES[name] for name in NAME.findall(question.question)]
    wording = re.sub(
        r" \((?:annotated|highlighted)[^)]+\)|\b\w+(?= ?_)", "", NAME.sub("_", question.question)
    )
    offered: Any = getattr(question, "choices", None) or getattr(question, "options", None)
    right = offered[question.answer] if offered else str(question.answer)
    if " - " in right:
        for rank, kind in enumerate(right.split(" - ")):
            yield (wording, kind), rank, (0, 1, 2)
    elif right in kinds:
        for kind in offered:
            yield (wording, kind), kind == right, (True, False)
    elif not re.search(r"(?:person walks to|Where is) the _|long|tall|far|height|length", wording):
        possible = tuple(sorted({*(offered or ("left", "right"))} - {"can not determine"}))
        possible = possible if offered or right in possible else ("0", "1", "2", "3", "4")
        task = question.task if right.isdigit() else wording
        for role, kind in enumerate(kinds):
            yield (task, role, kind, possible), right, possible


def draw_standing(random: Random, size: tuple[int, int]) -> RoomScene:
    """A person, a ball that rolls to the next object, and others, anywhere: faster than `draw_arrow_room`."""
    others = random.sample([name for name in KINDS if name not in ("person", "ball")], 5)
    things = []
    for name in ("person", "ball", *others):
        y, yaw, tall = random.uniform(1.8, 5), random.uniform(-3, 3), random.uniform(0.5, 1.8)
        things.append(Thing(name, "", random.uniform(-0.6, 0.6) * y, y, yaw, (0.5, 0.5, tall), ()))
    ball, target = things[1:3]
    towards = complex(target.x - ball.x, target.y - ball.y) / ball.distance_m(target)
    heading = {0: things[0].front, 1: (towards.real, towards.imag)}
    return RoomScene("room", Camera(1.8, 18.0, 0.0, *size), (-4, -1, 4, 6), tuple(things), (), 0, heading)


BENCHMARKS = [
    (draw_room, cv_bench_questions.offered, cv_bench_writer.QUESTIONS_A_SCENE),
    (draw_room, space_thinker_questions.offered, space_thinker_writer.QUESTIONS_A_SCENE),
    (draw_standing, omni_spatial_questions.offered, omni_spatial_writer.QUESTIONS_A_SCENE),
]


@pytest.mark.parametrize(("draw", "offer", "numbers"), BENCHMARKS)
def test_no_class_tells_an_answer(
    draw: Callable[..., RoomScene], offer: Callable[..., list[Any]], numbers: dict[str, int]
) -> None:
    """Whatever class stands in whichever place of a wording: each answer is right about equally often."""
    balance: Balance[Any] = Balance()
    answers: dict[tuple[Any, ...], Counter[Any]] = defaultdict(Counter)
    for seed in range(100):
        offered = offer(seen_whole(draw(Random(seed), SIZE)), Random(seed))
        offered = Random(seed).sample(offered, min(len(offered), 300))
        for question in balance.ask(offered, numbers, Random(seed)):
            for key, answer, possible in told(question):
                answers[key].update({each: int(each == answer) for each in possible})
    leads = {key: max(counts.values()) - min(counts.values()) for key, counts in answers.items()}
    assert len(leads) > 30
    assert {key: lead for key, lead in leads.items() if lead > 3} == {}


def thing(x: float, y: float, length: float = 0.4, kind: str = "vase") -> Thing:
    return Thing(kind, "", x, y, 0.0, (length, 0.4, 0.8), ())


def test_closer_is_what_is_closer_by_its_middle_and_by_its_edge() -> None:
    anchor, near, far = thing(0, 3), thing(1, 3), thing(-2, 3)
    assert is_closer_to(anchor, near, far) and not is_closer_to(anchor, far, near)
    assert not is_closer_to(anchor, near, thing(-2, 3, 3.6))  # its edge reaches the anchor
    assert not is_closer_to(anchor, near, thing(-1.4, 3)) and not is_closer_to(
        anchor, thing(3, 3), thing(-3.8, 3)
    )


def test_in_space_heights_count_as_well() -> None:
    """A lamp above the anchor is as far from it as it hangs over it, and a thing on it touches it."""
    anchor, beside = thing(0, 3), thing(1.2, 3)
    above, upon = replace(anchor, z=2.2), replace(anchor, z=0.8)
    assert is_closer_to(anchor, above, beside) and not is_closer_in_space(anchor, above, beside)
    assert is_closer_in_space(anchor, beside, above) and is_closer_in_space(anchor, upon, above)
    assert not is_closer_in_space(anchor, upon, beside)  # by 0.4 m only
    # A long thing's middle is farther off, but its end lies right beside the anchor.
    assert not is_closer_in_space(anchor, beside, thing(2.4, 3, 4.2))
    # What hangs low over it is nearer by its lower side, what hangs high is not.
    long = thing(1.6, 3, 2.4)
    assert is_closer_in_space(anchor, replace(anchor, z=0.95), long)
    assert not is_closer_in_space(anchor, replace(anchor, z=1.05), long)


def test_in_space_what_is_nearer_along_the_axis_may_be_farther_from_the_camera() -> None:
    camera = Camera(1.8, 0.0, 0.0, *SIZE)

    def seen(place: Thing) -> Seen:
        return Seen(0, place, (0, 0, 9, 9), place.y - 0.2, place.y)

    ahead, aside = seen(replace(thing(0, 4), z=1.4)), seen(replace(thing(3, 3), z=1.4))
    assert is_nearer(aside, ahead) and not is_nearer_in_space(camera, aside, ahead)
    assert not is_nearer_in_space(camera, ahead, aside)  # its depth is larger
    assert is_nearer_in_space(camera, seen(thing(0.5, 3)), ahead)
    # A long thing may begin nearer although its middle is farther away, and the other way round.
    wide, deep = (
        seen(replace(thing(3, 3, 4.0), z=1.4)),
        seen(replace(thing(0, 4.3), size=(0.4, 4.0, 0.8), z=1.4)),
    )
    assert is_nearer(wide, ahead) and not is_nearer_in_space(camera, wide, ahead)
    begun = seen(replace(thing(1.0, 3.6), z=1.4))
    assert is_nearer(begun, deep) and not is_nearer_in_space(camera, begun, deep)


def test_height_is_asked_about_where_things_are_nearer_in_space_alone() -> None:
    """Of a pair of which one is nearer along the axis and the other one is nearer, nothing is asked."""
    places = {"ball": (0, 4), "vase": (3, 3), "chair": (0.3, 2), "table": (0, 7)}
    rows = {"ball": 30, "vase": 50, "chair": 70, "table": 90}
    seen = tuple(
        Seen(index, replace(thing(x, y, kind=kind), z=1.4), (9, rows[kind], 19, rows[kind] + 6), y - 0.2, y)
        for index, (kind, (x, y)) in enumerate(places.items())
    )
    things = tuple(found.thing for found in seen)
    scene = RoomScene("room", Camera(1.8, 0.0, 0.0, *SIZE), (-9, -1, 9, 9), things, (), 0)
    offered = offered_by_height(Sight(scene, seen, {}, frozenset(places)), Random(0))
    pairs = {question.about for question in offered if question.task == "Depth"}
    assert pairs == {frozenset(pair) for pair in combinations(range(4), 2)} - {frozenset({0, 1})}
    classes = {question.about: question.height for question in offered if question.task == "Depth"}
    assert {pair: found for pair, found in classes.items() if found == "counter"}.keys() == {
        frozenset({3, other}) for other in range(3)
    }


def test_a_side_is_clear_where_boxes_hardly_overlap() -> None:
    def seen(left: int, right: int) -> Seen:
        return Seen(0, thing(0, 3), (left, 20, right, 40), 3.0, 3.0)

    assert side(seen(10, 40), seen(50, 70), 128) == "left"
    assert side(seen(50, 70), seen(10, 52), 128) == "right"
    assert side(seen(10, 70), seen(50, 70), 128) is None  # the second stands before the end of the first
    assert side(seen(50, 62), seen(56, 72), 128) is None  # too little between the middles


@pytest.mark.parametrize("number", [0, 1, 63, 64, 65, 128, 129])
def test_a_file_gives_its_rows_back(number: int, tmp_path: Path) -> None:
    rows = [{"a": place, "b": [str(place)] * (place % 3)} for place in range(number)]
    with ParquetFile(tmp_path / "new" / "rows.parquet", {"a": WHOLE, "b": listed(STRING)}) as file:
        for row in rows:
            file.append(row)
    assert pq.read_table(tmp_path / "new" / "rows.parquet").to_pylist() == rows


CACHED: list[tuple[Callable[..., Path], str]] = [
    (benchmarks.cached_cv_bench, "datamodules.rendered.rooms.cv_bench_writer.write_cv_bench"),
    (benchmarks.cached_space_thinker, "datamodules.rendered.rooms.space_thinker_writer.write_space_thinker"),
    (benchmarks.cached_omni_spatial, "datamodules.rendered.rooms.omni_spatial_writer.write_omni_spatial"),
    (warehouse.cached_warehouse, "datamodules.rendered.warehouse.write_warehouse"),
]


@pytest.mark.parametrize(("cached", "writer"), CACHED)
def test_a_cache_knows_all_arguments_and_the_whole_source(
    cached: Callable[..., Path], writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(writer, lambda _, **arguments: asked.append(arguments))
    module: Any = warehouse if cached is warehouse.cached_warehouse else benchmarks
    source = Path(shutil.copytree(Path(module.__file__).parent, tmp_path / "source"))
    monkeypatch.setattr(module, "__file__", str(source / Path(module.__file__).name))
    usual: dict[str, Any] = {"scenes": {"train": 2, "test": 1}, "size": (96, 72), "seed": 0, "processes": 1}
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"size": (98, 72)},
        {"size": (96, 70)},
        {"scenes": {"train": 2, "test": 2}},
        {"scenes": {"train": 1, "test": 2}},
        {"scenes": {"train": 2}},
    ]
    if module is warehouse:
        usual |= {"difficulty": "easy", "crowding": "by_split"}
        changes.extend(
            {"difficulty": "real", "crowding": crowding} for crowding in ("by_split", "few", "many")
        )
    if cached is benchmarks.cached_cv_bench:
        usual |= {"difficulty": "ordinary"}
        changes.append({"difficulty": "counter_intuitive"})
    folders = [cached(tmp_path / "cache", **usual | change) for change in changes]
    assert len(set(folders)) == len(folders) == len(asked)
    for change, written in zip(changes, asked, strict=True):
        assert written == usual | change
    assert cached(tmp_path / "cache", **usual | {"processes": 2}) == folders[0]
    shared = ["camera.py", "tone_mapping.py", "textures.py", "benchmarks.py"]
    own = [*source.glob("*.py")] if module is warehouse else [*source.glob("rooms/*.py")]
    for file in {*own, *(source / name for name in shared)}:
        text = file.read_text()
        file.write_text(text + "#")
        assert cached(tmp_path / "cache", **usual) not in folders, file.name
        file.write_text(text)
    assert cached(tmp_path / "cache", **usual) == folders[0]


def test_questions_that_height_misleads_about_are_drawn_anew_where_its_rule_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv_bench_writer, "write_cv_bench", lambda _, **arguments: None)
    rule = Path(shutil.copy(height_for_distance.__file__, tmp_path))
    monkeypatch.setattr(height_for_distance, "__file__", str(rule))

    def folders() -> list[Path]:
        usual: dict[str, Any] = {"scenes": {"test": 1}, "size": SIZE, "seed": 0}
        kinds: tuple[Any, ...] = ("ordinary", "counter_intuitive")
        return [benchmarks.cached_cv_bench(tmp_path, difficulty=kind, **usual) for kind in kinds]

    before = folders()
    rule.write_text(rule.read_text() + "#")
    assert [old == new for old, new in zip(before, folders(), strict=True)] == [True, False]
