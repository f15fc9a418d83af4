"""Writes a rendered warehouse in the official layout of the AI City Challenge, track 3.

`{train,val,test}.json` hold the records, `{split}/images/<frame>.png` the images and
`{split}/depths/<frame>_depth.png` the depths. As in the real release the records of the test split carry no
answers; these lie beside it in `test_truth.json`.

Beyond the official layout, `{split}/instances/<frame>.png` holds the object that every pixel shows, whether a
question names it or not (0 for the building, 1 + its index otherwise), and `{split}/instances.json` what kind
each object is, and the camera. Readers of the official layout do not look at them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from datamodules.rendered.composed_questions import COMPOSED_FAMILIES
from datamodules.rendered.levels import Crowding, level_of
from datamodules.rendered.questions import FAMILIES, Candidate, candidates
from datamodules.rendered.render import Rendering
from datamodules.rendered.scene import Scene, draw_scene
from datamodules.rendered.selection import Balance
from datamodules.rendered.sight import Sight, look
from datamodules.rendered.writing import (
    SPLITS,
    cached_folder,
    check_scenes,
    in_order,
    progress,
    require_empty,
)
from datamodules.samples import DataError, Region

Difficulty = Literal["easy", "real", "composed", "varied"]

LEAST_CANDIDATES = 12
"""A scene that offers fewer questions, or none in some category, is drawn anew."""

REDRAWS = 50


@dataclass(frozen=True)
class _WrittenScene:
    """What a process hands back about a scene whose images it has written."""

    frame: str
    truth: dict[str, Any]
    regions: dict[int, Region]
    candidates: list[Candidate]


def write_warehouse(
    folder: Path,
    *,
    difficulty: Difficulty,
    crowding: Crowding = "by_split",
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None = None,
) -> None:
    """Render scenes and write them with their questions into a new or empty folder.

    The files depend on all arguments but `processes`, byte for byte.

    Args:
        folder: where to write; created if need be.
        difficulty: "easy" (few regions, mostly one step, balanced) or "real" (like the real release),
            "composed" (the same scenes; held-out questions take two or three steps, one after the other) or
            "varied" (like "real", but each scene has its own field of view, roll, sizes and colours).
        crowding: whether held-out scenes are fuller, as in the real release ("by_split"), or all scenes of
            "real" have as few objects as its training split or as many as its held-out ones.
        scenes: number of scenes of every split that is wanted, among "train", "val" and "test".
        size: width and height of the images, in pixels.
        seed: the same seed gives the same files; no scene of one split occurs in another.
        processes: how many processes render; by default one per available core.

    Raises:
        DataError: where an argument is not usable, or the folder already holds files.
    """
    _check(difficulty, crowding, scenes, size, seed, processes)
    folder = Path(folder)
    require_empty(folder)
    jobs = [(split, index) for split in SPLITS for index in range(scenes.get(split, 0))]
    for split in scenes:
        for kind in ("images", "depths", "instances"):
            (folder / split / kind).mkdir(parents=True)
    render = partial(_render_job, folder, difficulty, crowding, size, seed)
    title = f"Rendering {len(jobs)} {difficulty} warehouse scenes"
    with (
        progress(title, len(jobs)) as advance,
        closing(in_order(render, jobs, processes)) as written,
    ):
        for split in SPLITS:
            balance = Balance(level_of(difficulty, split, crowding))
            records: list[dict[str, Any]] = []
            truths: dict[str, dict[str, Any]] = {}
            for scene in islice(written, scenes.get(split, 0)):
                records.extend(_records(scene, balance, f"{seed}/{split}/{scene.frame}"))
                truths[scene.frame] = scene.truth
                advance()
            if records:
                _write_split(folder, split, records)
                lines = ",\n".join(f"{json.dumps(frame)}: {json.dumps(truths[frame])}" for frame in truths)
                (folder / split / "instances.json").write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def cached_warehouse(
    cache: Path,
    *,
    difficulty: Difficulty,
    crowding: Crowding = "by_split",
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None = None,
) -> Path:
    """The folder of a rendered warehouse below a cache folder, written on the first call only.

    Its name carries a hash over the arguments and the renderer's own source, so that another renderer never
    answers with old images. It appears at once and whole: an interrupted call leaves nothing behind that a
    later one would take for complete. The arguments are those of `write_warehouse`.
    """
    _check(difficulty, crowding, scenes, size, seed, processes)
    return cached_folder(
        cache,
        f"warehouse-{difficulty}-{size[0]}x{size[1]}",
        [difficulty, crowding, sorted(scenes.items()), list(size), seed],
        Path(__file__).parent.glob("*.py"),
        lambda target: write_warehouse(
            target,
            difficulty=difficulty,
            crowding=crowding,
            scenes=scenes,
            size=size,
            seed=seed,
            processes=processes,
        ),
    )


def _check(
    difficulty: str,
    crowding: str,
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None,
) -> None:
    """Refuse arguments that cannot be rendered, with a sentence that says what to give instead."""
    if difficulty not in get_args(Difficulty):
        raise DataError(
            f"The difficulty {difficulty!r} of a rendered warehouse is unknown; "
            'give "easy", "real", "composed" or "varied".'
        )
    if crowding not in get_args(Crowding):
        raise DataError(
            f'The crowding {crowding!r} of a rendered warehouse is unknown; give "by_split", "few" or "many".'
        )
    if difficulty == "easy" and crowding != "by_split":
        raise DataError(
            f'Scenes of difficulty "easy" are all equally full, and cannot have the crowding "{crowding}"; '
            'leave it out, or take the difficulty "real".'
        )
    check_scenes("a rendered warehouse", scenes, size, seed, processes)


def draw_warehouse(
    difficulty: str,
    split: str,
    index: int,
    size: tuple[int, int],
    seed: int,
    crowding: Crowding = "by_split",
) -> tuple[Rendering, Sight, list[Candidate]]:
    """Draw the scene of an index until it offers enough questions; also what is seen, and the questions."""
    level = level_of(difficulty, split, crowding)
    families = COMPOSED_FAMILIES if level.depths else FAMILIES
    for attempt in range(REDRAWS):
        random = Random(f"{seed} {split} {index} {attempt}")
        rendering = Rendering(draw_scene(random, level, size))
        sight = look(rendering.scene, rendering.labels)
        offered = candidates(sight, level, random, families)
        if len(offered) >= LEAST_CANDIDATES and {found.category for found in offered} == set(
            level.categories
        ):
            return rendering, sight, offered
    raise DataError(
        f"Scene {index} of {split} could not be drawn with enough questions at {size[0]} x {size[1]} pixels; "
        "give larger images or another seed."
    )


def frame_name(split: str, index: int) -> str:
    """The name of a frame: no number of one split is used in another, however many scenes there are."""
    return f"{index * len(SPLITS) + SPLITS.index(split):06d}"


def _render_job(
    folder: Path,
    difficulty: str,
    crowding: Crowding,
    size: tuple[int, int],
    seed: int,
    job: tuple[str, int],
) -> _WrittenScene:
    """Draw one scene and write its images."""
    split, index = job
    rendering, sight, offered = draw_warehouse(difficulty, split, index, size, seed, crowding)
    frame = frame_name(split, index)
    image = Image.fromarray(rendering.colour_image())
    image.save(folder / split / "images" / f"{frame}.png", compress_level=1)
    depth = Image.fromarray(rendering.depth_image())
    depth.save(folder / split / "depths" / f"{frame}_depth.png", compress_level=1)
    instances = Image.fromarray((rendering.labels + 1).astype(np.uint8))
    instances.save(folder / split / "instances" / f"{frame}.png", compress_level=9)
    regions = {thing.index: Region.from_mask(rendering.labels == thing.index) for thing in sight.seen}
    return _WrittenScene(frame, _truth(rendering.scene), regions, offered)


def _truth(scene: Scene) -> dict[str, Any]:
    """The kinds of a scene's objects, and its camera."""
    camera = scene.camera
    return {
        "kinds": [str(thing.kind) for thing in scene.objects],
        "camera": {
            "height_m": round(camera.height_m, 4),
            "pitch_deg": round(camera.pitch_deg, 4),
            "roll_deg": round(camera.roll_deg, 4),
            "field_of_view_deg": round(camera.field_of_view_deg, 4),
        },
    }


def _records(scene: _WrittenScene, balance: Balance, name: str) -> Iterator[dict[str, Any]]:
    """The records of one scene as in the official files; the name is unique and seeds the choice."""
    random = Random(name)
    for place, chosen in enumerate(balance.choose(scene.candidates, random)):
        image_first = "<image>\n" if random.random() < 0.5 else ""
        yield {
            "id": hashlib.blake2b(f"{name}/{place}".encode(), digest_size=16).hexdigest(),
            "image": f"{scene.frame}.png",
            "conversations": [
                {"from": "human", "value": image_first + chosen.question},
                {"from": "gpt", "value": chosen.freeform},
            ],
            "rle": [
                {"size": [region.height, region.width], "counts": region.counts}
                for region in (scene.regions[index] for index in chosen.regions)
            ],
            "category": chosen.category,
            "normalized_answer": chosen.answer,
            "freeform_answer": chosen.freeform,
        }


def _write_split(folder: Path, split: str, records: list[dict[str, Any]]) -> None:
    """Write the records of one split, those of the test split once without and once with the answers."""
    if split == "test":
        _write_json(folder / "test_truth.json", records)
        records = [
            {
                "id": record["id"],
                "image": record["image"],
                "conversations": record["conversations"][:1],
                "rle": record["rle"],
            }
            for record in records
        ]
    _write_json(folder / f"{split}.json", records)


def _write_json(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records as one JSON array, a record a line."""
    path.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n", encoding="utf-8")
