"""A run that was interrupted sees exactly the batches the undisturbed run would have seen."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.mixture import Mixture
from datamodules.samples import DataError
from tests.helpers.memory_data import MemoryData
from tests.helpers.track3_files import write_dataset

IMAGES = 11
EPOCHS = 3


def count_samples(samples: list[Any]) -> dict[str, Any]:
    return {"size": torch.tensor([float(len(samples))])}


class Recorder(LightningModule):
    """Learns nothing of use, and writes down which questions it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, int, tuple[str, ...]]] = []

    def setup(self, stage: str) -> None:
        self.trainer.datamodule.collator = count_samples  # type: ignore[attr-defined]

    def training_step(self, batch: dict[str, Any], batch_index: int) -> torch.Tensor:
        ids = tuple(sample.id for sample in batch["samples"])
        self.seen.append((self.current_epoch, batch_index, ids))
        return (self.weight * batch["size"]).sum()

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Killed(Exception):
    """Stands for whatever ends a run."""


class Kill(Callback):
    """Ends the run after so many batches."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        if isinstance(module, Recorder) and len(module.seen) == self.after:
            raise Killed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", train=[1 + number % 5 for number in range(IMAGES)])


def fit(
    folder: Path, *callbacks: Callback, workers: int = 0, resume: Path | None = None, **options: Any
) -> Recorder:
    module = Recorder()
    shared = {
        "batch_size": options.pop("batch_size", 2),
        "questions_per_image": 3,
        "num_workers": workers,
        "seed": 7,
        "length_grouped": options.pop("length_grouped", False),
    }
    part: dict[str, Any] = {"root": str(folder), "cache": str(folder / "cache")}
    data: SpatialDataModule
    if weights := options.pop("weights", None):
        halves: list[SpatialDataModule] = [AiCityTrack3(**part, training_fraction=0.5) for _ in range(2)]
        data = Mixture(halves, AiCityTrack3(**part), weights, **shared)
    else:
        data = AiCityTrack3(**part, **shared)
    trainer = Trainer(
        **{"max_epochs": EPOCHS, "num_sanity_val_steps": 0} | options,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        callbacks=list(callbacks),
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    with suppress(Killed):
        trainer.fit(module, data, ckpt_path=resume)
    return module


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize(
    ("saving", "killed_after"),
    [
        ({"every_n_train_steps": 4}, 5),  # in the middle of the first epoch
        ({"every_n_train_steps": 4}, 11),  # in the middle of the second
        ({"every_n_train_steps": 6}, 7),  # with the last batch of an epoch
        ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, 8),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": False}, 8),  # when validation ends
    ],
)
@pytest.mark.parametrize(
    ("workers", "options"),
    [
        (0, {}),
        (2, {}),
        (0, {"max_epochs": -1, "max_steps": 17}),
        (0, {"length_grouped": True}),
        (0, {"weights": [1, 2]}),
    ],
    ids=["epochs", "epochs, two workers", "steps", "length grouped", "mixture"],
)
def test_resumed_run_sees_the_remaining_batches(
    folder: Path, workers: int, saving: dict[str, Any], killed_after: int, options: dict[str, Any]
) -> None:
    undisturbed = fit(folder, workers=workers, **options).seen
    assert len(undisturbed) == options.get("max_steps", 18)

    checkpoint = ModelCheckpoint(dirpath=folder / "checkpoints", save_top_k=-1, filename="{step}", **saving)
    killed = fit(folder, checkpoint, Kill(killed_after), workers=workers, **options).seen
    assert killed == undisturbed[:killed_after]

    steps = sorted(int(file.stem.split("=")[1]) for file in (folder / "checkpoints").glob("*.ckpt"))
    resumed = fit(
        folder, workers=workers, resume=folder / "checkpoints" / f"step={steps[-1]}.ckpt", **options
    ).seen
    assert [ids for *_, ids in resumed] == [ids for *_, ids in undisturbed[steps[-1] :]]


def test_resume_after_a_validation_within_the_epoch(folder: Path) -> None:
    options: dict[str, Any] = {"val_check_interval": 2, "max_epochs": 2}
    undisturbed = fit(folder, **options).seen
    checkpoint = ModelCheckpoint(
        dirpath=folder / "checkpoints", save_top_k=-1, filename="{step}", save_on_train_epoch_end=False
    )
    fit(folder, checkpoint, Kill(5), **options)
    resumed = fit(folder, resume=folder / "checkpoints" / "step=4.ckpt", **options).seen
    assert resumed == undisturbed[4:]


OTHERS: dict[str, dict[str, Any]] = {
    "seed": {"seed": 8},
    "images": {"images": 5},
    "sampler": {"images": 5},
    "length_grouped": {"length_grouped": True},
    "batch_size": {"batch_size": 3},
    "questions_per_image": {"questions_per_image": 2},
    "world_size": {},
}
"""What the order of batches depends on, and how it becomes another one."""


@pytest.mark.parametrize("name", OTHERS)
def test_an_epoch_goes_on_only_where_its_batches_are_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loader(**changes: Any) -> Any:
        return MemoryData(**{"seed": 7, "images": 4, **changes}).train_dataloader()

    before = loader().state_dict()
    assert set(before) == set(OTHERS)
    loader().load_state_dict(before)
    if name == "world_size":
        monkeypatch.setattr(MemoryData, "_rank", lambda _: (0, 2))
    with pytest.raises(DataError, match=rf"{name} was .* and is .*Resume with the old settings"):
        loader(**OTHERS[name]).load_state_dict(before)


def test_resume_with_other_batches_is_refused(folder: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=folder / "checkpoints", filename="{step}", every_n_train_steps=4)
    fit(folder, checkpoint, Kill(5))
    with pytest.raises(DataError, match="batch_size was 2 and is 3"):
        fit(folder, resume=folder / "checkpoints" / "step=4.ckpt", batch_size=3)
    with pytest.raises(DataError, match=r"sampler was \[11\] and is \[6, 6, 4, 8\]"):
        fit(folder, resume=folder / "checkpoints" / "step=4.ckpt", weights=[1, 2])
