"""The Track 3 datamodule as Lightning and a module see it."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from PIL import Image

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.samples import Answer, AnswerType, DataError, ImageFile, SpatialSample, UnreadableImage
from datamodules.scoring.baselines import best_fixed_answers, majority_baseline
from datamodules.views import Blind, NoDepth
from tests.helpers.track3_files import record, records_of, write_dataset, write_split


def sizes(samples: list[SpatialSample]) -> dict[str, Any]:
    """A collator that needs the images to be open."""
    images = [sample.image.open() for sample in samples if sample.image is not None]
    return {"pixels": torch.tensor([float(image.width * image.height) for image in images])}


class Parrot(LightningModule):
    """Repeats the true answer; leaves the learning to others."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.answers: list[Answer] = []

    def setup(self, stage: str) -> None:
        self.trainer.datamodule.collator = sizes  # type: ignore[attr-defined]
        self.metric = self.trainer.datamodule.metric()  # type: ignore[attr-defined]

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        self.answers += [Answer(sample, "") for sample in batch["samples"]]
        return (self.weight * batch["pixels"].sum()).sum()

    def test_step(self, batch: dict[str, Any], index: int) -> None:
        self.metric.update([Answer(sample, sample.answer or "") for sample in batch["samples"]])

    def predict_step(self, batch: dict[str, Any], index: int) -> list[Answer]:
        self.answers += [Answer(sample, "1") for sample in batch["samples"]]
        return self.answers

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(**options: Any) -> Trainer:
    return Trainer(
        **{"max_epochs": 1, "limit_val_batches": 0} | options,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
    )


def data(folder: Path, **options: Any) -> AiCityTrack3:
    defaults: dict[str, Any] = {"root": str(folder), "cache": str(folder / "cache"), "num_workers": 0}
    return AiCityTrack3(**(defaults | options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", train=[4, 2, 3, 4], test=[4, 4, 20])


@pytest.mark.parametrize("workers", [0, 2])
def test_fit_test_and_predict(folder: Path, workers: int) -> None:
    module, questions = Parrot(), data(folder, num_workers=workers, batch_size=2, questions_per_image=8)
    trainer().fit(module, questions)
    assert sorted(answer.sample.id for answer in module.answers) == sorted(
        entry["id"] for entry in records_of("train-", [4, 2, 3, 4])
    )
    trainer().test(module, questions, verbose=False)
    result = module.metric.compute()
    assert (result["score"], result["n"], result["unreadable"]) == (100.0, 28, 0)
    assert set(result["tasks"]) == {"left_right", "mcq", "distance", "count"}
    module.answers = []
    trainer().predict(module, questions, return_predictions=False)
    assert len({answer.sample.id for answer in module.answers}) == len(module.answers) == 28


def test_samples_hold_what_the_record_says(folder: Path) -> None:
    samples = {sample.id: sample for batch in data(folder).test_dataloader() for sample in batch["samples"]}
    assert {sample.task: sample.answer_type for sample in samples.values()} == {
        "left_right": AnswerType.SIDE,
        "mcq": AnswerType.REGION,
        "distance": AnswerType.DISTANCE,
        "count": AnswerType.COUNT,
    }
    sample = samples["test-000-3"]
    assert sample.question == "Question 3: what about the pallet <mask> and the pallet <mask>?"
    assert sample.image == ImageFile(folder / "test/images/test-000.png")
    assert sample.depth == ImageFile(folder / "test/depths/test-000_depth.png")
    assert (sample.task, sample.answer_type, sample.answer) == ("count", AnswerType.COUNT, "1")
    assert (sample.group, sample.source) == ("test-000.png", "ai_city_track3")
    assert [region.mask().shape for region in sample.regions] == [(24, 32)] * 2
    assert sample.rationale.endswith("give 1.")


def test_the_real_records(shared_data: Path, tmp_path: Path) -> None:
    module = Parrot()
    real = AiCityTrack3(
        root=str(shared_data / "ai_city_track3"),
        splits={"train": "val", "val": "val", "test": "val"},
        cache=str(tmp_path),
        num_workers=0,
    )
    trainer(limit_val_batches=1.0).fit(module, real)
    module.answers = []
    trainer().predict(module, real, return_predictions=False)
    assert [(answer.sample.task, answer.sample.answer) for answer in module.answers] == [
        ("left_right", "left"),
        ("mcq", "1"),
    ]
    for answer in module.answers:
        assert all(region.mask().shape == (1080, 1920) for region in answer.sample.regions)
        assert all(1000 < region.mask().sum() < 300_000 for region in answer.sample.regions)


def test_real_training_records_can_be_read_blind(shared_data: Path, tmp_path: Path) -> None:
    real = AiCityTrack3(
        root=str(shared_data / "ai_city_track3"),
        splits={"train": "train_records"},
        cache=str(tmp_path),
        views=[Blind()],
        num_workers=0,
    )
    samples = [sample for batch in real.train_dataloader() for sample in batch["samples"]]
    assert {sample.answer for sample in samples} >= {"2.32", "4.9", "8.95"}
    real.views = ()
    real._open_splits.clear()
    with pytest.raises(DataError, match=r"train_records/images does not exist.*views\.Blind"):
        real.train_dataloader()


def test_a_test_split_with_answers_beside_it_is_scored(folder: Path) -> None:
    bare = [
        {key: entry[key] for key in ("id", "image", "conversations", "rle")}
        for entry in records_of("test-", [4, 4])
    ]
    write_split(folder, "test", bare)
    assert {sample.answer for sample in next(iter(data(folder).test_dataloader()))["samples"]} == {None}
    write_split(folder, "test_truth", records_of("test-", [4, 4]), images=False)
    (samples,) = (batch["samples"] for batch in data(folder).test_dataloader())
    assert all(sample.answer for sample in samples)
    assert samples[0].image.path.parent == folder / "test/images"


@pytest.mark.parametrize("answered", [[4], [4, 4, 1]], ids=["fewer", "more"])
def test_answers_of_other_questions_are_refused(folder: Path, answered: list[int]) -> None:
    write_split(folder, "test", records_of("test-", [4, 4]))
    write_split(folder, "test_truth", records_of("test-", answered), images=False)
    with pytest.raises(DataError, match=r"different questions: \d ids are only in test\.json, \d only in"):
        data(folder).prepare_split("test")


def test_rendered_scenes_are_made_with_the_arguments_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []

    def cached_warehouse(cache: Path, **options: Any) -> Path:
        calls.append(options)
        return write_dataset(cache / "warehouse", train=[1])

    fake = types.ModuleType("datamodules.rendered.warehouse")
    fake.cached_warehouse = cached_warehouse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datamodules.rendered.warehouse", fake)
    scenes = {"train": 3, "val": 1, "test": 1}
    rendered = AiCityTrack3(
        difficulty="real",
        crowding="few",
        scenes=scenes,
        size=(64, 48),
        scenes_seed=4,
        seed=9,
        cache=str(tmp_path),
        num_workers=0,
    )
    rendered.prepare_data()
    (sample,) = next(iter(rendered.train_dataloader()))["samples"]
    assert sample.source == "rendered"
    assert calls[0] == {
        "difficulty": "real",
        "crowding": "few",
        "scenes": scenes,
        "size": (64, 48),
        "seed": 4,
    }


def test_a_truncated_image_in_training_is_replaced_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "train/images/train-001.png").write_bytes(b"\x89PNG nothing more")
    module, questions = Parrot(), data(folder, batch_size=2)
    with pytest.warns(UserWarning, match=r"train-001\.png cannot be read"):
        trainer(max_epochs=2).fit(module, questions)
    assert (
        "1 images could not be read and were replaced by the next ones: train-001.png."
        in capsys.readouterr().out
    )
    assert questions.skipped.keys() == {"train-001.png"}
    assert len(module.answers) == 2 * (4 + 3 + 4) + 2 * 3  # the image after it came twice in each epoch


def test_a_truncated_image_in_test(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test/depths/test-001_depth.png").write_bytes(b"nothing")
    module = Parrot()
    with pytest.raises(UnreadableImage, match=r"test-001_depth\.png cannot be read"):
        trainer().test(module, data(folder), verbose=False)
    questions = data(folder, on_bad_image="answer_blind")
    with pytest.warns(UserWarning, match=r"test-001_depth\.png"):
        trainer().test(module, questions, verbose=False)
    assert "1 images could not be read and were answered without seeing them" in capsys.readouterr().out
    assert module.metric.compute()["n"] == 28


def test_masks_of_another_size_than_the_image(folder: Path) -> None:
    Image.new("RGB", (16, 12)).save(folder / "test/images/test-000.png")
    with pytest.raises(DataError, match=r"Mask 0 of record test-000-0 is 24x32 .* is 12x16"):
        list(data(folder).test_dataloader())


def test_a_missing_depth_folder_unless_depth_is_left_out(folder: Path) -> None:
    for file in (folder / "train/depths").iterdir():
        file.unlink()
    with pytest.raises(UnreadableImage, match=r"_depth\.png does not exist.*Record train-.*view `NoDepth`"):
        list(data(folder).train_dataloader())
    (folder / "train/depths").rmdir()
    with pytest.raises(DataError, match=r"train/depths does not exist.*views\.NoDepth"):
        data(folder).train_dataloader()
    assert list(data(folder, views=[NoDepth()]).train_dataloader())


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"root": "nowhere"}, r"data folder nowhere does not exist.*make data NAME=ai_city_track3"),
        ({"splits": {"train": "practice"}}, r"needs .*practice\.json.*splits there: test, train, val"),
        ({"splits": {"train": "../train"}}, "names of splits without folders"),
        ({"splits": {"training": "train"}}, "know train, val and test, not training"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"training_fraction": 0.0}, r"`training_fraction` is 0\.0"),
    ],
)
def test_wrong_arguments(folder: Path, options: dict[str, Any], pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        data(folder, **options).train_dataloader()


def test_a_bad_record_ends_the_run_before_it_starts(folder: Path) -> None:
    write_split(folder, "train", [record("a.png", 0, category="colour")])
    with pytest.raises(DataError, match="unknown category 'colour'"):
        trainer().fit(Parrot(), data(folder))


def test_a_stage_needs_only_its_own_splits(folder: Path) -> None:
    (folder / "train.json").unlink()
    (folder / "val.json").unlink()
    trainer().test(Parrot(), data(folder), verbose=False)


def test_a_fraction_of_the_training_images_is_always_the_same(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", train=[2] * 12)
    first, second = (
        {
            sample.id
            for batch in data(folder, training_fraction=0.25).train_dataloader()
            for sample in batch["samples"]
        }
        for _ in range(2)
    )
    assert first == second
    assert len(first) == 6


def test_texts_are_the_training_texts(folder: Path) -> None:
    texts = set(data(folder).texts())
    assert {"left", "8.95", "Question 1: what about the pallet <mask> and the pallet <mask>?"} <= texts
    assert "The pallet [Region 0] and the pallet [Region 1] give left." in texts


def test_overfitting_repeats_the_same_batches(folder: Path) -> None:
    module = Parrot()
    trainer(overfit_batches=2, max_epochs=3, limit_val_batches=1.0).fit(module, data(folder, batch_size=1))
    ids = [answer.sample.id for answer in module.answers]
    assert len(ids) == 18
    assert ids[:6] == ids[6:12] == ids[12:]


def test_texts_are_limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.base._TEXTS_FROM_RECORDS", 5)
    assert len(list(data(folder).texts())) == 15
    assert list(data(folder).texts()) == list(data(folder).texts())


def test_the_majority_baseline(folder: Path) -> None:
    result = majority_baseline(data(folder))
    assert result.keys() == {"score", "n", "tasks"}
    assert result["n"] == 28
    assert result["tasks"]["left_right"]["score"] == 100.0


def test_best_fixed_answers() -> None:
    labels = [("count", "3")] * 3 + [("count", "1")] * 2 + [("mcq", "2"), ("mcq", "1"), ("count", "")]
    labels += [("distance", text) for text in ("1.0", "1.1", "1.2", "9.0", "50")]
    fixed = best_fixed_answers(labels, {"distance": AnswerType.DISTANCE, "count": AnswerType.COUNT})
    assert fixed["count"] == "3"
    assert fixed["mcq"] == "1"
    assert sum(0.9 * d <= float(fixed["distance"]) <= 1.1 * d for d in (1.0, 1.1, 1.2, 9.0, 50)) == 3


def test_it_is_configured_from_yaml(tmp_path: Path) -> None:
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(SpatialDataModule, "data", subclass_mode=True)
    file = tmp_path / "data.yaml"
    file.write_text(
        """
data:
  class_path: datamodules.ai_city_track3.AiCityTrack3
  init_args:
    splits: {train: val}
    scenes: {train: 3, val: 2, test: 2}
    size: [320, 180]
    batch_size: 4
    views: [{class_path: datamodules.views.Blind}]
"""
    )
    made = parser.instantiate(parser.parse_path(str(file))).data
    assert (made.batch_size, made.size, made.views, made.splits["train"]) == (
        4,
        (320, 180),
        (Blind(),),
        "val",
    )
