"""Training images that are held back and validated on, where a benchmark has no val split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.cv_bench import CvBench
from datamodules.loading.grouped import ImageSubset
from datamodules.mixture import Mixture
from datamodules.omni_spatial import OmniSpatial
from datamodules.samples import Answer, DataError
from datamodules.scoring.choice_metrics import CvBenchMetric, OmniSpatialMetric, SpaceThinkerMetric
from datamodules.scoring.joined_metric import JoinedMetric
from datamodules.space_thinker import SpaceThinker
from tests.helpers import omni_spatial_files
from tests.helpers.loaded_samples import samples
from tests.helpers.memory_data import MemoryQuestions
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import record, write_dataset, write_split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty SpaceThinker images, eight of CV-Bench to train on, OmniSpatial to test on: nothing for val."""
    write_space_thinker(
        tmp_path / "thinker/data/train-00000-of-00001.parquet", [space_thinker_row(n) for n in range(20)]
    )
    write_cv_bench(tmp_path / "cv/train_2d.parquet", [cv_bench_row(number) for number in range(16)])
    write_omni_spatial(tmp_path / "omni", [omni_spatial_files.row(number) for number in range(12)])
    return tmp_path


def part(made: type[Any], folder: Path, name: str, **options: Any) -> Any:
    return made(root=str(folder / name), cache=str(folder / "cache"), num_workers=0, **options)


def ids(loader: Any) -> set[str]:
    return {sample.id for sample in samples(loader)}


@given(st.integers(1, 40), st.floats(0.01, 0.99), st.integers(0, 5))
def test_the_two_parts_share_no_image_and_lack_none(images: int, fraction: float, seed: int) -> None:
    one, other = ImageSubset.divided(MemoryQuestions(0, images), fraction, seed)
    assert sorted([*one.chosen, *other.chosen]) == list(range(images))
    assert len(one) == max(1, round(fraction * images))


def test_what_is_validated_on_is_not_trained_on(folder: Path) -> None:
    data = part(SpaceThinker, folder, "thinker", val_fraction=0.3)
    trained, validated = ids(data.train_dataloader()), ids(data.val_dataloader())
    assert (len(trained), len(validated)) == (14, 6)
    assert not trained & validated
    assert data.validates and data.holds_back
    assert [len(list(data.split(role).labels())) for role in ("train", "val")] == [14, 6]
    assert not set(data.texts()) & {question for question, *_ in data.split("val").texts(99)}


def test_runs_with_any_seed_are_validated_on_the_same_images(folder: Path) -> None:
    first, second = (
        part(SpaceThinker, folder, "thinker", val_fraction=0.3, seed=seed, training_fraction=0.5)
        for seed in (1, 2)
    )
    assert ids(first.val_dataloader()) == ids(second.val_dataloader())
    assert ids(first.train_dataloader()) != ids(second.train_dataloader())
    assert len(ids(first.train_dataloader())) == 7


def test_all_questions_of_an_image_stay_together(folder: Path) -> None:
    data = part(CvBench, folder, "cv", val_fraction=0.25)
    groups = [
        {sample.group for sample in samples(loader())}
        for loader in (data.train_dataloader, data.val_dataloader)
    ]
    assert not groups[0] & groups[1]
    assert (len(groups[0]), len(groups[1])) == (6, 2)


@pytest.mark.parametrize("where", ["mixture", "part"])
def test_a_stage_is_judged_by_the_benchmark_of_its_questions(folder: Path, where: str) -> None:
    fractions = {where: 0.3}
    data = Mixture(
        [part(SpaceThinker, folder, "thinker", val_fraction=fractions.get("part", 0.0))],
        part(OmniSpatial, folder, "omni"),
        val_fraction=fractions.get("mixture", 0.0),
        num_workers=0,
    )
    assert data.validates
    for stage in ("fit", "validate"):
        assert type(data.metric(stage)) is SpaceThinkerMetric
    assert type(data.metric("test")) is OmniSpatialMetric
    validated = samples(data.val_dataloader())
    assert {sample.source for sample in validated} == {"space_thinker"}
    metric = data.metric("fit")
    metric.update([Answer(sample, sample.rationale) for sample in validated])
    assert metric.compute()["n"] == 6
    data.require_answers("val")
    assert not {sample.id for sample in validated} & ids(data.train_dataloader())


def test_several_benchmarks_are_each_judged_by_their_own(folder: Path) -> None:
    data = Mixture(
        [part(SpaceThinker, folder, "thinker"), part(CvBench, folder, "cv")],
        part(OmniSpatial, folder, "omni"),
        val_fraction=0.5,
        num_workers=0,
    )
    asked = samples(data.val_dataloader())
    assert {sample.part for sample in asked} == {0, 1}
    answers = [
        Answer(sample, "A" if number % 3 else sample.answer or "") for number, sample in enumerate(asked)
    ]
    joined = data.metric("validate")
    assert isinstance(joined, JoinedMetric)
    joined.update(answers[:5])
    joined.update(answers[5:])
    found = joined.compute()
    alone = []
    for number, metric in enumerate((SpaceThinkerMetric(), CvBenchMetric())):
        metric.update([answer for answer in answers if answer.sample.part == number])
        alone.append(metric.compute())
    assert found["score"] == pytest.approx((alone[0]["score"] + alone[1]["score"]) / 2)
    assert found["n"] == len(asked) == alone[0]["n"] + alone[1]["n"]
    assert found["unreadable"] == alone[0]["unreadable"] + alone[1]["unreadable"]
    assert {name.partition("/")[0] for name in found["tasks"]} == {"space_thinker", "cv_bench"}
    low, high = found["interval"]
    assert low <= found["score"] <= high
    assert high - low <= max(each["interval"][1] - each["interval"][0] for each in alone)
    assert [joined.judge(answer).correct for answer in answers].count(True) > 0
    joined.reset()
    assert joined.compute()["n"] == 0


def test_a_val_split_of_their_own_is_not_passed_over(folder: Path) -> None:
    write_cv_bench(folder / "cv/val_2d.parquet", [cv_bench_row(number) for number in range(4)])
    with pytest.raises(DataError, match=r"has a val split here \(val\)\. Leave `val_fraction` out"):
        part(CvBench, folder, "cv", val_fraction=0.25).train_dataloader()


def test_nothing_is_held_back_where_the_test_needs_the_val_split(folder: Path) -> None:
    """Track 3 without the answers of its test split, tested on its val split."""
    write_dataset(folder / "track3", train=[2], val=[2, 1])
    write_split(
        folder / "track3", "test", [record("9.png", number, normalized_answer=None) for number in range(2)]
    )
    evaluation = part(AiCityTrack3, folder, "track3")
    assert evaluation.scored == "val"
    data = Mixture([part(SpaceThinker, folder, "thinker")], evaluation, val_fraction=0.3, num_workers=0)
    with pytest.raises(DataError, match="the test is scored on the val split"):
        data.val_dataloader()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 7])
def test_a_part_is_less_than_all(fraction: float) -> None:
    with pytest.raises(DataError, match=r"`val_fraction` is .* below 1"):
        SpaceThinker(val_fraction=fraction)


def test_without_it_nothing_changes(folder: Path) -> None:
    data: SpatialDataModule = part(SpaceThinker, folder, "thinker")
    assert not data.validates and not data.holds_back
    assert len(ids(data.train_dataloader())) == 20
