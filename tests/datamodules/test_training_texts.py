"""The texts a vocabulary is learnt from: all words that are trained on, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.cv_bench import CvBench
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.mixture import Mixture
from datamodules.omni_spatial import TASKS, OmniSpatial
from datamodules.samples import SpatialSample
from datamodules.space_thinker import SpaceThinker
from datamodules.views import Blind
from tests.helpers import omni_spatial_files
from tests.helpers.listed_data import ListedData
from tests.helpers.loaded_samples import samples
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import records_of, write_split

QUESTIONS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A train split of every benchmark, in which no two questions have all words in common."""
    place = tmp_path_factory.mktemp("texts")
    thinker = [space_thinker_row(number) for number in range(QUESTIONS)]
    write_space_thinker(place / "thinker/train-00000-of-00001.parquet", thinker)
    rows = [
        cv_bench_row(number, choices=[f"a {number}", f"b {number}"], answer="(A)")
        for number in range(QUESTIONS)
    ]
    write_cv_bench(place / "cv/train_2d.parquet", rows)
    options = [
        omni_spatial_files.row(number, options=[f"c {number}", "d"], answer=0) for number in range(QUESTIONS)
    ]
    write_omni_spatial(place / "omni/train", options)
    write_split(place / "track3", "train", records_of("train-", [4] * 5))
    return place


MADE: dict[str, tuple[type[Any], str, dict[str, Any]]] = {
    "SpaceThinker": (SpaceThinker, "thinker", {}),
    "SpaceThinker, some held back": (SpaceThinker, "thinker", {"val_fraction": 0.3}),
    "CV-Bench": (CvBench, "cv", {}),
    "CV-Bench, one task": (CvBench, "cv", {"tasks": ["Count"]}),
    "CV-Bench, some held back": (CvBench, "cv", {"val_fraction": 0.4}),
    "OmniSpatial": (OmniSpatial, "omni", {}),
    "OmniSpatial, two tasks, some held back": (
        OmniSpatial,
        "omni",
        {"tasks": TASKS[:2], "val_fraction": 0.3},
    ),
    "Track 3": (AiCityTrack3, "track3", {}),
    "Track 3, one task": (AiCityTrack3, "track3", {"tasks": ["count"]}),
}


def made(folder: Path, name: str, **shared: Any) -> SpatialDataModule:
    kind, place, options = MADE[name]
    data: SpatialDataModule = kind(
        root=str(folder / place),
        cache=str(folder / "cache"),
        num_workers=0,
        views=[Blind()],
        **options,
        **shared,
    )
    return data


@pytest.mark.parametrize("name", MADE)
def test_all_words_that_are_trained_on_are_learnt_and_no_others(folder: Path, name: str) -> None:
    alone, part = made(folder, name), made(folder, name)
    trained = samples(alone.train_dataloader())
    assert len(trained) > 3
    wanted = {
        text for each in trained for text in (each.question, each.rationale, each.answer or "", *each.choices)
    }
    assert set(alone.texts()) == wanted
    other = made(folder, "CV-Bench")
    assert set(Mixture([part, other], other).texts()) == wanted | set(other.texts())


@pytest.mark.parametrize("name", [name for name in MADE if "Track 3" not in name])
def test_some_texts_are_those_of_questions_spread_over_the_split(folder: Path, name: str) -> None:
    split = made(folder, name).split("train")
    everything = list(split.texts(10**6))
    last = len(everything) - 1
    for wanted in ([0], [0, last], [0, last // 2, last]):
        assert [everything.index(each) for each in split.texts(len(wanted))] == wanted


def test_50_000_records_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []

    def texts(_: Any, limit: int) -> Iterator[tuple[str, ...]]:
        limits.append(limit)
        return iter([("a",)])

    monkeypatch.setattr(ListedQuestions, "texts", texts)
    assert list(ListedData([SpatialSample("1", "?")]).texts()) == ["a"]
    assert limits == [50_000]
