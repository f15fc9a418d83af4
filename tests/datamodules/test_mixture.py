"""Training on several benchmarks: shares, views, and the configuration."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.cli import LightningArgumentParser

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.cv_bench import CvBench
from datamodules.mixture import Mixture
from datamodules.omni_spatial import OmniSpatial
from datamodules.samples import DataError, SpatialSample
from datamodules.scoring.baselines import majority_baseline
from datamodules.space_thinker import SpaceThinker
from datamodules.views import Blind, GrayImage, Grayscale, NoDepth
from tests.helpers import omni_spatial_files
from tests.helpers.loaded_samples import samples
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve SpaceThinker images, four of CV-Bench, three of Track 3, and OmniSpatial to test on."""
    write_space_thinker(
        tmp_path / "thinker/data/train-00000-of-00001.parquet", [space_thinker_row(n) for n in range(12)]
    )
    rows = [cv_bench_row(number) for number in range(8)]
    for split in ("train", "val", "test"):
        write_cv_bench(tmp_path / f"cv/{split}_2d.parquet", rows)
    write_omni_spatial(tmp_path / "omni", [omni_spatial_files.row(number) for number in range(12)])
    write_dataset(tmp_path / "track3", train=[2, 2, 2])
    return tmp_path


def part(made: type[Any], folder: Path, name: str, **options: Any) -> Any:
    return made(**{"root": str(folder / name), "cache": str(folder / "cache")} | options)


def mixture(folder: Path, weights: list[float] | None = None, **options: Any) -> Mixture:
    return Mixture(
        [part(SpaceThinker, folder, "thinker"), part(CvBench, folder, "cv", views=[Grayscale()])],
        part(OmniSpatial, folder, "omni"),
        weights,
        **{"num_workers": 0, "batch_size": 2} | options,
    )


def test_without_weights_every_image_comes_once(folder: Path) -> None:
    found = samples(mixture(folder).train_dataloader())
    assert Counter(sample.source for sample in found)["space_thinker"] == 12
    assert len(found) == len({(sample.source, sample.id) for sample in found}) == 12 + 8


def test_weights_are_shares_of_images(folder: Path) -> None:
    found = samples(mixture(folder, [1, 3]).train_dataloader())
    assert len({sample.id for sample in found if sample.source == "space_thinker"}) == 4
    # Four images with two questions each are drawn twelve times.
    assert Counter(sample.id for sample in found if sample.source != "space_thinker") == {
        f"2D/{number}": 3 for number in range(8)
    }


def test_parts_of_different_benchmarks_share_a_batch(folder: Path) -> None:
    kinds = [
        {sample.source == "space_thinker" for sample in batch["samples"]}
        for batch in mixture(folder, batch_size=4).train_dataloader()
    ]
    assert {True, False} in kinds


def test_the_views_of_a_part_are_its_own_and_those_of_the_mixture_come_after(folder: Path) -> None:
    for sample in samples(mixture(folder).train_dataloader()):
        assert isinstance(sample.image, GrayImage) == (sample.source != "space_thinker")
    assert not isinstance(samples(mixture(folder).test_dataloader())[0].image, GrayImage)
    blind = mixture(folder, views=[Blind()])
    for loader in (blind.train_dataloader(), blind.test_dataloader()):
        assert all(sample.image is None for sample in samples(loader))


def test_views_of_the_mixture_spare_images_that_are_not_there(folder: Path) -> None:
    for file in (folder / "track3/train/depths").iterdir():
        file.unlink()
    (folder / "track3/train/depths").rmdir()
    parts = [part(AiCityTrack3, folder, "track3")], part(OmniSpatial, folder, "omni")
    made = Mixture(*parts, num_workers=0, views=[NoDepth()])
    assert len(samples(made.train_dataloader())) == 6


def test_it_is_validated_and_tested_on_one_benchmark(folder: Path) -> None:
    made = mixture(folder)
    assert {sample.task for sample in samples(made.test_dataloader())} == {
        "Dynamic_Reasoning",
        "Spatial_Interaction",
        "Complex_Logic",
        "Perspective_Taking",
    }
    with pytest.raises(DataError, match=r"val split needs .*omni"):
        made.val_dataloader()


def test_a_single_part(folder: Path) -> None:
    made = Mixture([part(SpaceThinker, folder, "thinker")], part(CvBench, folder, "cv"), num_workers=0)
    assert len(samples(made.train_dataloader())) == 12
    assert len(samples(made.val_dataloader())) == len(samples(made.test_dataloader())) == 8


def test_fractions_of_the_parts_and_of_the_mixture(folder: Path) -> None:
    made = mixture(folder, training_fraction=0.5)
    made.parts[0].training_fraction = 0.5
    found = samples(made.train_dataloader())
    assert Counter(sample.source == "space_thinker" for sample in found) == {True: 3, False: 4}
    assert samples(mixture(folder, training_fraction=0.5).train_dataloader()) == samples(
        mixture(folder, training_fraction=0.5).train_dataloader()
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_two_ranks_share_an_epoch(folder: Path, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[SpatialSample] = []
    lengths = set()
    for rank in range(ranks):
        monkeypatch.setattr(Mixture, "_rank", lambda _, rank=rank: (rank, ranks))
        loader = mixture(folder, [1, 1], length_grouped=True).train_dataloader()
        lengths.add(len(loader))
        found += samples(loader)
    assert lengths == {8 // ranks}
    assert Counter(sample.source == "space_thinker" for sample in found) == {True: 8, False: 16}


def test_texts_and_labels_of_all_parts(folder: Path) -> None:
    made = mixture(folder)
    texts = set(made.texts())
    assert {"How far is chair 3 from the shelf?", "Question 3 about Relation?", "the lamp"} <= texts
    assert len(list(made.split("train").labels())) == 20
    assert len(list(made.split("train").texts(4))) == 4
    split = made.split("train")
    assert len(split.lengths()) == len(split.group_sizes()) == len(split) == 16
    assert len(pickle.dumps(split)) < 3000


def test_length_grouping_works_across_parts(folder: Path) -> None:
    batches = [
        {sample.source == "space_thinker" for sample in batch["samples"]}
        for batch in mixture(folder, length_grouped=True).train_dataloader()
    ]
    # Questions of the two benchmarks differ in length, so that no batch holds both.
    assert batches.count({True}) == 6
    assert batches.count({False}) == 2


def test_the_majority_baseline_where_nothing_like_the_test_was_trained(folder: Path) -> None:
    result = majority_baseline(mixture(folder))
    assert result["n"] == 12
    assert result["score"] == 25.0


@pytest.mark.parametrize(
    ("weights", "pattern"), [([1.0], "for 2 parts"), ([0.0, 0.0], "not all 0"), ([1.0, -1.0], "none below 0")]
)
def test_wrong_weights(folder: Path, weights: list[float], pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        mixture(folder, weights)


def test_parts_take_from_the_mixture_what_they_leave_out(tmp_path: Path) -> None:
    own = CvBench(root="rendered", size=(64, 48))
    left_out = SpaceThinker(scenes={"train": 3})
    Mixture([own, left_out], left_out, root=str(tmp_path), scenes={"train": 8}, size=(32, 32))
    assert (own.root, own.scenes, own.size) == ("rendered", {"train": 8}, (64, 48))
    assert (left_out.root, left_out.scenes, left_out.size) == (
        str(tmp_path / "space_thinker"),
        {"train": 3},
        (32, 32),
    )


def test_a_part_with_a_curriculum_is_refused() -> None:
    part = CvBench(curriculum=[["Depth"]])
    with pytest.raises(DataError, match="weights"):
        Mixture([part], part)


def test_nothing_to_train_on(folder: Path) -> None:
    with pytest.raises(DataError, match="at least one benchmark"):
        Mixture([], part(OmniSpatial, folder, "omni"))


def test_it_is_configured_from_yaml(tmp_path: Path) -> None:
    parser = LightningArgumentParser(parser_mode="omegaconf+")
    parser.add_lightning_class_args(SpatialDataModule, "data", subclass_mode=True)
    file = tmp_path / "data.yaml"
    file.write_text(
        """
data:
  class_path: datamodules.mixture.Mixture
  init_args:
    train:
      - class_path: datamodules.space_thinker.SpaceThinker
        init_args: {scenes: {train: 3, val: 2, test: 2}, size: [320, 180]}
      - class_path: datamodules.cv_bench.CvBench
        init_args:
          views: [{class_path: datamodules.views.Grayscale}]
    weights: [3, 1]
    evaluation:
      class_path: datamodules.omni_spatial.OmniSpatial
      init_args: {root: somewhere}
    batch_size: 4
    length_grouped: true
    views: [{class_path: datamodules.views.NoDepth}]
"""
    )
    made = parser.instantiate(parser.parse_path(str(file))).data
    assert [type(benchmark) for benchmark in made.parts] == [SpaceThinker, CvBench]
    assert made.parts[0].size == (320, 180)
    assert made.parts[1].views == (Grayscale(), NoDepth())
    assert (made.weights, made.batch_size, made.length_grouped) == ([3, 1], 4, True)
    assert (made.evaluation.root, made.evaluation.views) == ("somewhere", (NoDepth(),))
    dumped = parser.dump(parser.parse_path(str(file)))
    assert "datamodules.views.NoDepth" in dumped
    (tmp_path / "typo.yaml").write_text(file.read_text().replace("size: [", "sizes: ["))
    with pytest.raises(SystemExit):
        parser.parse_path(str(tmp_path / "typo.yaml"))
