"""Benchmarks with the splits they are published with: no validation split, a test split without answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import Role, SpatialDataModule
from datamodules.cv_bench import CvBench
from datamodules.hub import fetch as fetching
from datamodules.layouts import HUB
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.mixture import Mixture
from datamodules.omni_spatial import OmniSpatial
from datamodules.samples import Answer, AnswerType, DataError, SpatialSample
from datamodules.scoring.baselines import majority_baseline
from datamodules.scoring.metrics import Track3Metric
from datamodules.space_thinker import SpaceThinker
from datamodules.views import Blind
from experiments.commands.fetch import DATASETS
from tests.helpers import omni_spatial_files
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import as_published, record, records_of, write_split


class Fingerprint(LightningModule):
    """Remembers which questions it was asked in each of Lightning's loops."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[str]] = {"fit": [], "validate": [], "test": [], "predict": []}

    def _see(self, loop: str, batch: dict[str, Any]) -> torch.Tensor:
        self.seen[loop] += [sample.id for sample in batch["samples"]]
        return self.weight.sum()

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        return self._see("fit", batch)

    def validation_step(self, batch: dict[str, Any], index: int) -> None:
        self._see("validate", batch)
        self.log("val/score", float(len(self.seen["validate"])), batch_size=1)

    def test_step(self, batch: dict[str, Any], index: int) -> None:
        self._see("test", batch)

    def predict_step(self, batch: dict[str, Any], index: int) -> None:
        self._see("predict", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def cv_bench(folder: Path, **options: Any) -> CvBench:
    """Files of one's own to train on, and the official ones."""
    for split in ("train", "test"):
        write_cv_bench(folder / f"cv/{split}_2d.parquet", [cv_bench_row(number) for number in range(4)])
    defaults: dict[str, Any] = {"root": str(folder / "cv"), "cache": str(folder / "cache"), "num_workers": 0}
    return CvBench(**(defaults | options))


def space_thinker(folder: Path, **options: Any) -> SpaceThinker:
    for split in ("train", "test"):
        rows = [space_thinker_row(number) for number in range(3)]
        write_space_thinker(folder / f"thinker/data/{split}-00000-of-00001.parquet", rows)
    defaults: dict[str, Any] = {
        "root": str(folder / "thinker"),
        "cache": str(folder / "cache"),
        "num_workers": 0,
    }
    return SpaceThinker(**(defaults | options))


def omni_spatial(folder: Path, **options: Any) -> OmniSpatial:
    rows = [omni_spatial_files.row(number) for number in range(8)]
    for split in ("train", "test"):
        write_omni_spatial(folder / f"omni/OmniSpatial-{split}", rows)
    defaults: dict[str, Any] = {"root": str(folder / "omni"), "num_workers": 0}
    return OmniSpatial(**(defaults | options))


def track3(folder: Path, **options: Any) -> AiCityTrack3:
    for split in ("train", "test"):
        write_split(folder / "track3", split, records_of(f"{split}-", [4, 4]))
    defaults: dict[str, Any] = {
        "root": str(folder / "track3"),
        "cache": str(folder / "cache"),
        "num_workers": 0,
    }
    return AiCityTrack3(**(defaults | options))


def mixture(folder: Path, splits: dict[str, str] | None = None) -> Mixture:
    return Mixture([space_thinker(folder)], omni_spatial(folder, splits=splits), num_workers=0)


DATA: dict[str, Callable[..., SpatialDataModule]] = {
    "CV-Bench": cv_bench,
    "SpaceThinker": space_thinker,
    "OmniSpatial": omni_spatial,
    "Track 3": track3,
    "mixture": mixture,
}


@pytest.mark.parametrize("name", DATA)
def test_without_a_validation_split_nothing_is_validated(name: str, tmp_path: Path) -> None:
    module, data = Fingerprint(), DATA[name](tmp_path)
    trainer = bare_trainer(max_epochs=2, limit_val_batches=1.0)
    trainer.fit(module, datamodule=data)
    assert len(module.seen["fit"]) > 0
    assert module.seen["validate"] == []
    assert not data.has_split("val")
    trainer.test(module, datamodule=data, verbose=False)
    assert len(module.seen["test"]) > 0
    with pytest.raises(DataError, match=r"The val split needs .*splits there: .*test"):
        trainer.validate(module, datamodule=data, verbose=False)


@pytest.mark.parametrize("name", DATA)
def test_a_split_that_was_asked_for_has_to_be_there(name: str, tmp_path: Path) -> None:
    trainer = bare_trainer(max_epochs=1, limit_val_batches=1.0)
    with pytest.raises(DataError, match=r"The val split needs .*other.*does not exist"):
        trainer.fit(Fingerprint(), datamodule=DATA[name](tmp_path, splits={"val": "other"}))
    module = Fingerprint()
    trainer.fit(module, datamodule=DATA[name](tmp_path, splits={"val": "test"}))
    assert len(module.seen["validate"]) > 0


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping("val/score"), ModelCheckpoint(monitor="val/score"), ModelCheckpoint(monitor="val_loss")],
    ids=["early stopping", "checkpoint", "another name"],
)
@pytest.mark.parametrize("limit", [1.0, 0])
def test_nothing_watches_a_validation_that_there_is_not(
    callback: Callback, limit: float, tmp_path: Path
) -> None:
    module = Fingerprint()
    trainer = bare_trainer(
        max_epochs=1,
        limit_val_batches=limit,
        callbacks=[callback],
        enable_checkpointing=True,
        default_root_dir=tmp_path,
    )
    with pytest.raises(DataError, match=r"watches val.*nothing is validated"):
        trainer.fit(module, datamodule=cv_bench(tmp_path))
    assert module.seen["fit"] == []


def test_what_watches_the_training_or_a_validation_is_left_alone(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 1, "enable_checkpointing": True, "limit_val_batches": 1.0}
    plain = ModelCheckpoint(dirpath=tmp_path / "plain", filename="last")
    bare_trainer(**settings, callbacks=[plain]).fit(Fingerprint(), datamodule=cv_bench(tmp_path))
    assert (tmp_path / "plain/last.ckpt").is_file()
    watching = [EarlyStopping("val/score"), ModelCheckpoint(tmp_path / "best", monitor="val/score")]
    validated = cv_bench(tmp_path, splits={"val": "test"})
    bare_trainer(**settings, callbacks=watching).fit(Fingerprint(), datamodule=validated)
    assert list((tmp_path / "best").glob("*.ckpt"))


def published(folder: Path, **options: Any) -> AiCityTrack3:
    return AiCityTrack3(root=str(folder), cache=str(folder / "cache"), num_workers=0, **options)


@pytest.mark.parametrize("mixed", [False, True])
def test_track3_is_scored_on_val_and_predicted_on_test(mixed: bool, tmp_path: Path) -> None:
    folder = as_published(tmp_path / "published")
    data: SpatialDataModule = published(folder)
    if mixed:
        data = Mixture([space_thinker(tmp_path)], published(folder), num_workers=0)
    module, trainer = Fingerprint(), bare_trainer(max_epochs=1)
    trainer.test(module, datamodule=data, verbose=False)
    trainer.predict(module, datamodule=data, return_predictions=False)
    for loop, split in (("test", "val"), ("predict", "test")):
        official = {entry["id"] for entry in json.loads((folder / f"{split}.json").read_text())}
        assert sorted(module.seen[loop]) == sorted(official)
    assert data.scored == "val"
    assert majority_baseline(data)["n"] == 7


def test_track3_with_answers_is_scored_on_test(tmp_path: Path) -> None:
    folder = as_published(tmp_path)
    write_split(folder, "test_truth", records_of("test-", [4, 4, 2]), images=False)
    module, data = Fingerprint(), published(folder)
    bare_trainer().test(module, datamodule=data, verbose=False)
    assert len(module.seen["test"]) == majority_baseline(data)["n"] == 10
    assert all(name.startswith("test-") for name in module.seen["test"])


def test_a_test_split_that_was_asked_for_needs_answers(tmp_path: Path) -> None:
    folder = as_published(tmp_path)
    with pytest.raises(DataError, match=r"10 of the 10 questions of the test split have no answer"):
        bare_trainer().test(
            Fingerprint(), datamodule=published(folder, splits={"test": "test"}), verbose=False
        )
    (folder / "val.json").unlink()
    with pytest.raises(DataError, match=r"10 of the 10 questions of the test split have no answer"):
        bare_trainer().test(Fingerprint(), datamodule=published(folder), verbose=False)


def test_answers_that_are_missing_in_places_are_an_error(tmp_path: Path) -> None:
    folder = as_published(tmp_path)
    some = [record("test-000.png", number) for number in range(3)]
    some.append(record("test-000.png", 3, normalized_answer=None))
    write_split(folder, "test", some)
    with pytest.raises(
        DataError, match=r"1 of the 4 questions of the test .*\(the first is test-000-3\).*only be predicted"
    ):
        bare_trainer().test(Fingerprint(), datamodule=published(folder), verbose=False)
    write_split(folder, "test", [record("test-000.png", number, category=None) for number in range(4)])
    with pytest.raises(DataError, match=r"has questions of the task ''.*left_right, mcq"):
        bare_trainer().test(Fingerprint(), datamodule=published(folder), verbose=False)


def test_a_validation_split_without_answers_is_noticed_before_the_training(tmp_path: Path) -> None:
    folder = as_published(tmp_path)
    module = Fingerprint()
    with pytest.raises(DataError, match="10 of the 10 questions of the val split have no answer"):
        trainer = bare_trainer(max_epochs=1, limit_val_batches=1.0)
        trainer.fit(module, datamodule=published(folder, splits={"val": "test"}))
    assert module.seen["fit"] == []
    bare_trainer(max_epochs=1).fit(module, datamodule=published(folder, splits={"val": "test"}))
    assert len(module.seen["fit"]) == 8


class OwnData(SpatialDataModule):
    """Three questions of one's own, of which one has no answer."""

    def prepare_split(self, role: Role) -> None:
        pass

    def open_split(self, role: Role) -> ListedQuestions:
        answers = ("left", None, "right")
        return ListedQuestions.grouped(
            SpatialSample(
                str(number), "Where?", answer=answer, answer_type=AnswerType.SIDE, task="left_right"
            )
            for number, answer in enumerate(answers)
        )

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric()


def test_ones_own_data_are_looked_at_as_well() -> None:
    with pytest.raises(DataError, match=r"1 of the 3 .*\(the first is 1\)"):
        OwnData(num_workers=0).require_answers("test")


def test_a_glance_says_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched, rendered or read for it."""

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("it was only a glance")

    monkeypatch.setattr(fetching, "fetched", forbidden)
    for made in (CvBench, OmniSpatial, SpaceThinker, AiCityTrack3):
        monkeypatch.setattr(made, "render", forbidden)
        made().require_split("train")
        fetched = set(DATASETS[made.benchmark].splits)
        for role in ("train", "test"):
            if role in fetched:
                made(root=HUB).require_split(role)
            else:
                with pytest.raises(DataError, match=f"{made.title} has no train split.*rendered scenes"):
                    made(root=HUB).require_split(role)
        with pytest.raises(DataError, match=r"The data folder .* does not exist"):
            made(root=str(tmp_path / "nowhere")).require_split("test")
    with pytest.raises(DataError, match="CV-Bench has no train split"):
        Mixture([SpaceThinker(), CvBench(root=HUB)], OmniSpatial()).require_split("train")
    Mixture([SpaceThinker()], CvBench(), root=HUB).require_split("test")
    # A split of another name is one's own, about which the hub says nothing.
    with pytest.raises(DataError, match="The train split needs a split 'mine' on the hub"):
        CvBench(root=HUB, splits={"train": "mine"}).require_split("train")


def test_rendered_scenes_keep_their_test_split(tmp_path: Path) -> None:
    data = AiCityTrack3(
        scenes={"train": 1, "val": 1, "test": 1},
        size=(96, 64),
        views=[Blind()],
        cache=str(tmp_path),
        num_workers=0,
    )
    module = Fingerprint()
    bare_trainer().test(module, datamodule=data, verbose=False)
    (truth,) = tmp_path.glob("warehouse-*/test_truth.json")
    assert sorted(module.seen["test"]) == sorted(entry["id"] for entry in json.loads(truth.read_text()))
    assert data.scored == "test"


def test_the_metric_and_the_check_agree_on_what_can_be_scored() -> None:
    """What passes the check is never refused by the score, question by question."""
    metric = Track3Metric()
    known = SpatialSample("1", "Where?", answer="left", answer_type=AnswerType.SIDE, task="left_right")
    for sample in (known, known.replace(answer=None), known.replace(task="")):
        split = ListedQuestions.grouped([sample])
        data = OwnData(num_workers=0)
        data._open_splits["test"] = split
        try:
            metric.update([Answer(sample, "left")])
        except DataError:
            with pytest.raises(DataError):
                data.require_answers("test")
        else:
            data.require_answers("test")
