"""What LightningCLI keeps to itself and this project cannot do without, in one place.

`tests/test_lightning_internals.py` says when a version of Lightning changes any of it.
"""

from __future__ import annotations

from typing import Any

from lightning import Trainer
from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment


class OpenedCsvWriter(_ExperimentWriter):
    """Lightning's writer of a table of metrics, whose `metrics_keys` are the columns."""


class OpenedCsvLogger(CSVLogger):
    """CSVLogger with a writer of one's own."""

    def make_writer(self) -> OpenedCsvWriter:
        """The writer, made when it is first asked for."""
        raise NotImplementedError

    @property
    @rank_zero_experiment
    def experiment(self) -> OpenedCsvWriter:
        """The writer."""
        if self._experiment is None:
            self._experiment = self.make_writer()
        assert isinstance(self._experiment, OpenedCsvWriter)
        return self._experiment


class OpenedCLI(LightningCLI):
    """LightningCLI that sets up the typed subcommand alone, and hands out what it has parsed."""

    typed_subcommand: str
    """The subcommand that was typed; "" where none was."""

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        """Setting up the options of a subcommand takes a while, and the others need none."""
        if subcommand == self.typed_subcommand:
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        return self.init_parser(description=kwargs["description"])

    def settings_of(self, config: Any, key: str) -> Any:
        """A setting of the subcommand that runs, from a configuration or from what was made of it."""
        return self._get(config, key)

    def parser_of(self, subcommand: str | None) -> LightningArgumentParser:
        """The parser of a subcommand."""
        return self._parser(subcommand)

    def known_keys(self, subcommand: str) -> list[str]:
        """The keys that a subcommand's files may have outside of any class."""
        parser = self._subcommand_parsers.get(subcommand, self.parser)
        return list(parser.get_defaults(skip_validation=True).keys())


class PreparedCLI(OpenedCLI):
    """Makes everything and runs nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def log_step(trainer: Trainer) -> None:
    """Have the loggers write what was logged in this training step now; they are asked again behind it."""
    trainer._logger_connector.update_train_step_metrics()


def to_device(trainer: Trainer, batch: Any) -> Any:
    """A batch as an evaluation hands it to a module: in the Trainer's precision, on its device."""
    batch = trainer.precision_plugin.convert_input(batch)
    batch = trainer.lightning_module._on_before_batch_transfer(batch, dataloader_idx=0)
    return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
