"""The card shown when a run starts: what runs, on what, how large, and how to go on after an interruption."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from torch.utils.data import DistributedSampler

from datamodules.base import SpatialDataModule
from datamodules.loading.image_loading import ResumableLoader
from experiments.callbacks.in_run_folder import InRunFolder
from experiments.callbacks.plain_halves import PlainData, data_face
from experiments.run_folders.loggers import describe
from experiments.run_folders.provenance import parameter_counts
from experiments.run_folders.run_folder import relative
from lightning_modules.schedule import WarmupCosine, total_steps


class StartCard(InRunFolder):
    """Prints the card once, when the sizes of model and data are known.

    Args:
        title: the experiment's name.
        resume_command: what to type to go on with this run.
        tested: which checkpoint an experiment tests.
    """

    def __init__(self, title: str, resume_command: str, tested: str) -> None:
        self.title = title
        self.tested = tested
        self.resume_command = resume_command
        self.shown = False
        self.measured = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the card before the first step."""
        counted = f"{_counted(trainer.num_training_batches, 'batches')} an epoch, {_epochs(trainer)}"
        loader = trainer.train_dataloader
        if not isinstance(loader, ResumableLoader):  # Lightning or a subclass has made another one
            counted += _not_shared(loader, trainer)
        else:
            sizes = loader.batches.group_sizes
            counted = f"{sizes.sum():,} questions on {len(sizes):,} images, {counted}"
        steps = _steps(trainer, loader) | self._schedule(trainer, pl_module)
        self._show(trainer, pl_module, counted, steps)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say of the first batch how long its texts are, which nobody knew before."""
        if self.measured or not trainer.is_global_zero:
            return
        self.measured = True
        if isinstance(batch, Mapping) and batch.get("tokens"):
            print(said_of_tokens(len(batch["samples"]), batch["tokens"], batch["cells"]), flush=True)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the card of a run that only tests."""
        self._show(trainer, pl_module, "test only")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the card of a run that only predicts."""
        self._show(trainer, pl_module, "predictions only")

    def _schedule(self, trainer: Trainer, module: LightningModule) -> dict[str, str]:
        """Remember how many steps there shall be; a line where a run that goes on was to have others."""
        if not trainer.is_global_zero:
            return {}
        card, steps = self.folder.read_card(), total_steps(trainer)
        if math.isinf(steps):
            return {"schedule": "without an end, since nothing says how many steps there will be"}
        before = card.get("steps", steps)
        self.folder.write_card({**card, "steps": int(steps)})
        if before == steps:
            return {}
        own = isinstance(getattr(module, "schedule", None), WarmupCosine)
        rate = "and the learning rate with it" if own else "which the learning rate takes no notice of"
        return {"schedule": f"stretched from {before:,} to {steps:,.0f} steps, {rate}"}

    def _show(
        self,
        trainer: Trainer,
        module: LightningModule,
        data: str,
        steps: dict[str, str] | None = None,
    ) -> None:
        if self.shown or not trainer.is_global_zero:
            return
        self.shown = True
        card = self.folder.read_card()
        total, trainable = parameter_counts(module)
        epoch = f"goes on in epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        rows = {
            "model": f"{type(module).__name__}, {total:,} parameters: "
            f"{trainable:,} trainable, {total - trainable:,} frozen",
            "data": f"{type(datamodule).__name__}, {data}",
            **_splits(data_face(datamodule), card.get("subcommand"), trainer),
            **(steps or {}),
            **(
                {"tested": self.tested} if trainer.training and card.get("subcommand") == "experiment" else {}
            ),
            "device": f"{trainer.world_size} x {trainer.strategy.root_device.type}, "
            f"precision {trainer.precision}",
            "seed": _seeds(card),
            "commit": card.get("commit", "unknown"),
            "logs": ", ".join(describe(trainer.loggers)),
            "folder": str(self.folder.path),
        }
        if card.get("allowed"):
            rows["allow"] = ", ".join(card["allowed"])
        if trainer.training and trainer.ckpt_path and trainer.global_step:
            rows["resumed"] = epoch
        elif trainer.ckpt_path and not trainer.training:
            rows["trained"] = f"weights of {relative(Path(str(trainer.ckpt_path)))}"
        table = Table.grid(padding=(0, 2))
        for name, value in rows.items():
            table.add_row(f"[bold]{name}", value)
        Console().print(Panel(table, title=self.title, title_align="left", expand=False))
        if trainer.training:
            print(f"To go on after an interruption: {self.resume_command}", flush=True)


def _steps(trainer: Trainer, loader: Any) -> dict[str, str]:
    """How many sequences are computed at once and make one step, which the size of a batch does not say."""
    if not isinstance(loader, ResumableLoader):
        return {}
    batches = loader.batches
    together = trainer.accumulate_grad_batches * trainer.world_size
    at_once = f"up to {_many(batches.largest, 'question')} on {_many(batches.batch_size, 'image')} at once"
    if together == 1:
        return {"step": at_once}
    of = [
        *([f"{trainer.accumulate_grad_batches} batches"] if trainer.accumulate_grad_batches > 1 else []),
        *([f"{trainer.world_size} processes"] if trainer.world_size > 1 else []),
    ]
    return {"step": f"{at_once}, up to {_many(batches.largest * together, 'question')} of {' in '.join(of)}"}


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def said_of_tokens(sequences: int, tokens: int, cells: int) -> str:
    """How much a batch of texts is, images included.

    Args:
        sequences: how many questions.
        tokens: how many tokens they have.
        cells: how many places for tokens, padding included.
    """
    padding = f", {1 - tokens / cells:.0%} of the places are padding" if cells > tokens else ""
    return f"The first batch: {_many(sequences, 'sequence')} of {tokens:,} tokens in all{padding}."


def _counted(number: float, what: str) -> str:
    """A number of things, which a loader of one's own may not know."""
    return f"{number:,} {what}" if math.isfinite(number) else f"an unknown number of {what}"


def _not_shared(loader: Any, trainer: Trainer) -> str:
    """What to say where each of several processes trains on all that a loader of one's own loads."""
    shared = isinstance(getattr(loader, "sampler", None), DistributedSampler)
    return "" if shared or trainer.world_size == 1 else "; each process trains on all of it"


def _epochs(trainer: Trainer) -> str:
    """How long the fit is."""
    epochs = trainer.max_epochs
    if epochs is None or epochs < 0:
        return f"{trainer.max_steps:,} steps" if trainer.max_steps >= 0 else "for as long as it may"
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"


def _seeds(card: dict[str, Any]) -> str:
    """The run's seed, and that of the data where they have one of their own."""
    run, data = card.get("seed"), card.get("data_seed")
    return str(run) if data in (None, run) else f"{run}, of the data {data}"


def scored_elsewhere(data: SpatialDataModule | PlainData) -> str:
    """What to say where a test scores another split than the test split; "" where it does not."""
    if data.scored == "test":
        return ""
    return f"the {data.scored} split, since the answers of the test split are not known"


def _splits(data: SpatialDataModule | PlainData, subcommand: str | None, trainer: Trainer) -> dict[str, str]:
    """The lines on what is not asked of the splits that one would expect."""
    lines = {}
    if trainer.training and not data.has_validation:
        lines["validation"] = "none, the data have no val split"
    elif trainer.training and isinstance(data, SpatialDataModule) and data.holds_back and data.validates:
        lines["validation"] = f"on {len(data.split('val')):,} training images, which are not trained on"
    if subcommand in ("experiment", "test") and (scored := scored_elsewhere(data)):
        lines["scored on"] = f"{scored}; `predict` takes the test split"
    return lines
