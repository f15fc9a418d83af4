"""Rendered rooms and yards in the official layouts of CV-Bench, SpaceThinker and OmniSpatial.

Each function gives a folder below a cache folder and writes it on the first call only. The files depend on
all arguments but `processes`, byte for byte; no scene of one split occurs in another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.rendered.writing import cached_folder, check_scenes
from datamodules.statistics import height_for_distance

if TYPE_CHECKING:
    from datamodules.rendered.rooms.cv_bench_writer import Difficulty


def cached_cv_bench(
    cache: Path,
    *,
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None = None,
    difficulty: Difficulty = "ordinary",
) -> Path:
    """The folder of a rendered CV-Bench: `{split}_2d.parquet` and `{split}_3d.parquet`.

    Args:
        cache: where rendered data are kept.
        scenes: number of scenes of every split that is wanted, among "train", "val" and "test".
        size: width and height of the images, in pixels.
        seed: decides what the scenes show.
        processes: how many processes render; by default one per available core.
        difficulty: "ordinary", or "counter_intuitive" where height in the image misleads about distance in
            half of the questions for it.

    Raises:
        DataError: an argument is not usable.
    """
    from datamodules.rendered.rooms.cv_bench_writer import check_difficulty, write_cv_bench

    check_difficulty(difficulty)
    write = partial(write_cv_bench, difficulty=difficulty)
    if difficulty == "ordinary":
        return _cached("cv-bench", write, cache, scenes, size, seed, processes)
    # What height says decides there on what is asked.
    also = [Path(height_for_distance.__file__)]
    return _cached(f"cv-bench-{difficulty}", write, cache, scenes, size, seed, processes, also)


def cached_space_thinker(
    cache: Path, *, scenes: Mapping[str, int], size: tuple[int, int], seed: int, processes: int | None = None
) -> Path:
    """The folder of a rendered SpaceThinker: `data/{split}-00000-of-00001.parquet`.

    The arguments and errors are those of `cached_cv_bench`.
    """
    from datamodules.rendered.rooms.space_thinker_writer import write_space_thinker

    return _cached("space-thinker", write_space_thinker, cache, scenes, size, seed, processes)


def cached_omni_spatial(
    cache: Path, *, scenes: Mapping[str, int], size: tuple[int, int], seed: int, processes: int | None = None
) -> Path:
    """The folder of a rendered OmniSpatial: `data.json` and `{task_type}/{number}.png`.

    The test split lies in the folder itself, the other two in the same layout in `train` and `val`. The
    arguments and errors are those of `cached_cv_bench`.
    """
    from datamodules.rendered.rooms.omni_spatial_writer import write_omni_spatial

    return _cached("omni-spatial", write_omni_spatial, cache, scenes, size, seed, processes)


def _cached(
    name: str,
    write: Callable[..., None],
    cache: Path,
    scenes: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    processes: int | None,
    also: Iterable[Path] = (),
) -> Path:
    """The folder that a writer fills, from the cache where it is there."""
    check_scenes("rendered rooms", scenes, size, seed, processes)
    here = Path(__file__).parent
    # What the warehouse alone is made of may change without another room looking different.
    shared = (here / f"{module}.py" for module in ("camera", "tone_mapping", "textures", "benchmarks"))
    return cached_folder(
        cache,
        f"{name}-{size[0]}x{size[1]}",
        [sorted(scenes.items()), list(size), seed],
        (*shared, *also, *(here / "rooms").glob("*.py")),
        partial(write, scenes=scenes, size=size, seed=seed, processes=processes),
    )
