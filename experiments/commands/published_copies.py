"""Small copies of the benchmarks as they are published: official layouts, and the official splits only.

They are rendered scenes from which everything is taken away that only rendered data have: the answers of
Track 3's test split, the train and val splits of CV-Bench and OmniSpatial, the val split of SpaceThinker.
What runs on them gets as far on the real data.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datamodules import rendered
from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import Role
from datamodules.cv_bench import CvBench
from datamodules.hub.whole_copies import COPY
from datamodules.layouts import OfficialLayout
from datamodules.omni_spatial import OmniSpatial
from datamodules.rendered.rooms.cv_bench_writer import write_cv_bench
from datamodules.rendered.rooms.omni_spatial_writer import write_omni_spatial
from datamodules.rendered.rooms.space_thinker_writer import write_space_thinker
from datamodules.rendered.warehouse import write_warehouse
from datamodules.rendered.writing import cached_folder
from datamodules.space_thinker import SpaceThinker


@dataclass(frozen=True)
class Published:
    """A benchmark as it is published.

    Attributes:
        data: its datamodule.
        write: writes rendered scenes in its layout into a folder.
        splits: the official splits, and how many scenes a copy renders for each.
        strip: takes away, in the folder, what is not published.
    """

    data: type[OfficialLayout]
    write: Callable[..., None]
    splits: Mapping[Role, int]
    strip: Callable[[Path], None] = lambda folder: None


def _without_answers(folder: Path) -> None:
    """Only the challenge's server knows the answers of Track 3's test split."""
    (folder / "test_truth.json").unlink()


def _as_unpacked(folder: Path) -> None:
    """The archive of OmniSpatial's test split holds a folder."""
    content = list(folder.iterdir())
    (folder / "OmniSpatial-test").mkdir()
    for path in content:
        path.rename(folder / "OmniSpatial-test" / path.name)


PUBLISHED = (
    Published(
        AiCityTrack3,
        partial(write_warehouse, difficulty="real"),
        {"train": 12, "val": 4, "test": 4},
        _without_answers,
    ),
    Published(CvBench, write_cv_bench, {"test": 8}),
    Published(OmniSpatial, write_omni_spatial, {"test": 8}, _as_unpacked),
    Published(SpaceThinker, write_space_thinker, {"train": 16, "test": 2}),
)
"""The benchmarks that experiments train or are tested on."""


def published_copies(cache: Path, size: tuple[int, int] = (224, 128), seed: int = 0) -> Path:
    """A folder with a small copy of each benchmark under its name, written on the first call only.

    Args:
        cache: where rendered data are kept.
        size: width and height of the images, in pixels.
        seed: decides what the scenes show.
    """
    renderers = Path(rendered.__file__).parent
    shares = {published.data.benchmark: dict(published.splits) for published in PUBLISHED}
    return cached_folder(
        cache,
        "published",
        [shares, list(size), seed],
        [Path(__file__), *renderers.rglob("*.py")],
        partial(_write, size=size, seed=seed),
    )


def _write(folder: Path, size: tuple[int, int], seed: int) -> None:
    for published in PUBLISHED:
        copy = folder / published.data.benchmark
        published.write(copy, scenes=published.splits, size=size, seed=seed, processes=1)
        published.strip(copy)
        counts = {role: _counts(published.data, copy, role) for role in published.splits}
        (copy / COPY).write_text(json.dumps({"splits": counts}, indent=2) + "\n", encoding="utf-8")


def _counts(data: type[OfficialLayout], copy: Path, role: Role) -> dict[str, Any]:
    """How many questions a split of a copy holds, and of which kinds, as far as it says so."""
    with TemporaryDirectory() as indexes:
        split = data(root=str(copy), cache=indexes).open_split(role)
        kinds = Counter(task for task, _ in split.labels() if task)
        return {"questions": int(split.group_sizes().sum()), "images": None, "categories": dict(kinds)}
