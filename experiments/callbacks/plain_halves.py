"""A plain LightningModule or LightningDataModule beside the suite's other half: what a run asks of both.

`SpatialModule` and `SpatialDataModule` answer for themselves; for all others the faces here do.
"""

from __future__ import annotations

from typing import Any

from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from datamodules.base import Role, SpatialDataModule
from datamodules.loading.image_notes import ImageNotes
from datamodules.samples import DataError
from lightning_modules.base import SpatialModule

LOADERS: dict[Role, str] = {"train": "train_dataloader", "val": "val_dataloader", "test": "test_dataloader"}


class PlainData:
    """What is known of a plain `LightningDataModule`: which loaders it has, and nothing more.

    Args:
        data: the datamodule.
    """

    scored: Role = "test"
    validates_on_test = False

    def __init__(self, data: LightningDataModule) -> None:
        self.data = data
        self.image_notes = ImageNotes()

    def has_split(self, role: Role) -> bool:
        """Whether there is a loader for it."""
        return is_overridden(LOADERS[role], self.data, LightningDataModule)

    @property
    def has_validation(self) -> bool:
        """Whether there is a loader for a validation."""
        return self.has_split("val")

    def require_split(self, role: Role) -> None:
        """Raise `DataError` where there is no loader for it."""
        if not self.has_split(role):
            raise DataError(f"{type(self.data).__name__} has no {LOADERS[role]}, which this command needs.")

    def prepare_split(self, role: Role) -> None:
        """Nothing is prepared: Lightning calls its `prepare_data`."""

    def require_answers(self, role: Role) -> None:
        """Nothing is known of its answers."""

    def origin(self) -> str:
        """Not known."""
        return "not known"


class PlainModule:
    """What is known of a plain `LightningModule`.

    Args:
        module: the module.
    """

    def __init__(self, module: LightningModule) -> None:
        self.module = module

    def refuse_unworkable(self, trainer: Trainer, trains: bool) -> None:
        """Nothing is known of what it cannot compute with."""

    def origins(self) -> dict[str, str]:
        """Not known."""
        return {"model": "not known"}


def data_face(data: LightningDataModule) -> SpatialDataModule | PlainData:
    """What answers a run's questions about its data."""
    return data if isinstance(data, SpatialDataModule) else PlainData(data)


def module_face(module: LightningModule) -> SpatialModule | PlainModule:
    """What answers a run's questions about its module."""
    return module if isinstance(module, SpatialModule) else PlainModule(module)


def arguments_of(settings: Any) -> Any:
    """The arguments of a class in a configuration; none where it takes none."""
    return settings.get("init_args") or {}
