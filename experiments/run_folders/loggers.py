"""Where numbers go: a table in the run folder always, Weights & Biases where the user asked for it."""

from __future__ import annotations

import csv
import io
import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger

from datamodules.files.text_files import read_text
from experiments.lightning_internals import OpenedCsvLogger, OpenedCsvWriter
from experiments.run_folders.run_folder import RunError, RunFolder, relative, write_whole
from experiments.run_folders.whole_files import named_in_errors


class MetricsTable(OpenedCsvLogger):
    """`metrics.csv` directly in the run folder; a resumed run goes on in the same file.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(save_dir=folder.path.parent, name="", version=folder.identifier)
        self.folder = folder
        self.table = folder.metrics
        self._last: tuple[int | None, dict[str, Any]] = (None, {})

    def make_writer(self) -> OpenedCsvWriter:
        """The writer, which knows the columns of the file it continues.

        Lightning's writer deletes what it finds: here the rows are set aside while it starts.
        """
        kept = read_rows(self.table)
        self.table.unlink(missing_ok=True)
        writer = OpenedCsvWriter(self.log_dir)
        if kept:
            writer.metrics_keys = list(kept[0])
            write_rows(self.table, kept)
        return writer

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Add a row; one that has just been added, before a checkpoint was written, is not added again."""
        if (step, metrics) != self._last:
            self._last = (step, dict(metrics))
            super().log_metrics(metrics, step)

    def save(self) -> None:
        """Write what was logged; a full disk is said with the table's name.

        Raises:
            RunError: the run's folder is gone.
        """
        try:
            with named_in_errors(self.table):
                super().save()
        except FileNotFoundError as error:
            raise RunError(
                f"{relative(self.table)} cannot be written: the run's folder is gone. Was it deleted "
                "while it trained? Start the run again."
            ) from error

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """From its first checkpoint on, the run is one that others may go on from."""
        if self.folder.checkpoint.exists():
            self.folder.become_latest()


def drop_rows_from(table: Path, step: int) -> None:
    """Forget what was logged at `step` (0-based) or later: a run resumed there logs it again."""
    rows = [row for row in read_rows(table) if int(row["step"]) < step]
    if rows:
        # A column that only these had is gone with them.
        filled = [name for name in rows[0] if any(row[name] for row in rows)]
        write_rows(table, [{name: row[name] for name in filled} for row in rows])
    else:
        table.unlink(missing_ok=True)


def read_rows(table: Path) -> list[dict[str, str]]:
    """The rows of a metrics table; a last row that was cut short by a kill is left out."""
    if not table.exists():
        return []
    rows = list(csv.DictReader(io.StringIO(read_text(table), newline="")))
    return [row for row in rows if None not in row.values() and row.get("step")]


def write_rows(table: Path, rows: list[dict[str, str]]) -> None:
    """Replace a metrics table."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_whole(table, text.getvalue())


def wandb_when_asked(
    project: str = "smallspatial",
    group: str | None = None,
    tags: list[str] | None = None,
    run_id: str | None = None,
) -> Logger:
    """A `WandbLogger` where `WANDB_MODE` or a login asks for one, else a logger that does nothing.

    Without either, wandb is not even imported, so that no offline run can fail, wait or be asked a question.
    A run has the same id there as its folder here, so that a resumed run stays one run.

    Args:
        project: the project the run appears in.
        group: runs of one experiment share a group.
        tags: labels to find the run by.
        run_id: filled in when a run starts.
    """
    if not wandb_is_asked_for():
        return DummyLogger()
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(project=project, group=group, tags=tags, id=run_id)


def name_wandb_run(loggers: Any, run_id: str) -> None:
    """Write the run's id into the settings of `wandb_when_asked`, if they are among a trainer's loggers."""
    for settings in loggers if isinstance(loggers, list) else []:
        if settings.class_path == f"{wandb_when_asked.__module__}.{wandb_when_asked.__name__}":
            settings.init_args.run_id = run_id


def wandb_is_asked_for() -> bool:
    """Whether `WANDB_MODE` says online or offline, or a login exists that works without a question."""
    mode = os.environ.get("WANDB_MODE", "").lower()
    if mode:
        return mode in {"online", "offline", "shared", "run", "dryrun"}
    return bool(os.environ.get("WANDB_API_KEY")) or _has_login()


def _has_login() -> bool:
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def describe(loggers: list[Any]) -> list[str]:
    """The places that numbers go to, for the start card."""
    return [type(logger).__name__ for logger in loggers if not isinstance(logger, DummyLogger)]
