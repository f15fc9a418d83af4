"""`predictions.jsonl`: every question of the test split with its answer, once, whatever the processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from datamodules.base import SpatialDataModule
from datamodules.samples import Answer, metric_of
from datamodules.scoring.metrics import Judgement, SpatialMetric
from datamodules.scoring.shown_examples import note_of_examples
from experiments.callbacks.in_run_folder import InRunFolder
from experiments.callbacks.logged_score import answers_in
from experiments.run_folders.whole_files import named_in_errors, written_beside
from lightning_modules.base import SpatialModule


class PredictionsWriter(InRunFolder, BasePredictionWriter):
    """Writes each process's lines to a file of its own, then merges them without duplicates.

    The lines go to the disk as they come, so that no process holds the answers of a large split in memory.
    """

    def __init__(self) -> None:
        BasePredictionWriter.__init__(self, write_interval="batch")
        self.file: TextIO | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open this process's file."""
        self._open(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open this process's file."""
        self._open(trainer)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write what was answered, and how it was judged."""
        self._write(answers_in(outputs), judging_metric(trainer, pl_module))

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write what was answered; without a truth there is no judgement."""
        self._write(answers_in(prediction), judging_metric(trainer, pl_module))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge the processes' files."""
        self._merge(trainer)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge the processes' files."""
        self._merge(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave no lines behind that are not all of them."""
        if self.file is not None:
            with suppress(OSError):  # what is still to be written has no place on a full disk
                self.file.close()
            self.part.unlink(missing_ok=True)

    def _open(self, trainer: Trainer) -> None:
        self.target = self.folder.predictions
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.part = self._part(trainer.global_rank)
        self.file = self.part.open("w")

    def _write(self, answers: list[Answer], metric: SpatialMetric | None) -> None:
        assert self.file is not None, "a stage opens its file when it starts"
        for answer in answers:
            sample, judgement = answer.sample, judge(metric, answer)
            line = {
                "id": sample.id,
                "group": sample.group,
                "task": sample.task,
                "question": sample.question,
                "answer": sample.answer,
                "prediction": judgement.prediction if judgement else answer.raw,
                "correct": judgement.correct if judgement else None,
                "raw": answer.raw,
                **({"read_by": judgement.read_by} if judgement and judgement.read_by else {}),
                **({"asked": answer.asked} if answer.asked else {}),
                **({"reasoning": answer.reasoning} if answer.reasoning else {}),
                **note_of_examples(answer, judgement, metric),
            }
            with named_in_errors(self.target):
                self.file.write(json.dumps(line) + "\n")

    def _merge(self, trainer: Trainer) -> None:
        assert self.file is not None, "a stage opens its file when it starts"
        with named_in_errors(self.target):
            self.file.close()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            parts = [self._part(rank) for rank in range(trainer.world_size)]
            with written_beside(self.target) as temporary, temporary.open("w") as merged:
                merged.writelines(unique_lines(parts))
            for part in parts:
                part.unlink()
        trainer.strategy.barrier()

    def _part(self, rank: int) -> Path:
        return self.target.with_name(f".{self.target.stem}.rank{rank}.jsonl")


def judging_metric(trainer: Trainer, module: LightningModule) -> SpatialMetric | None:
    """The benchmark's metric: the module's, or its data's where the module is a plain one; else None."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(module, SpatialModule):
        metric = module.metric
    else:
        metric = metric_of(data, "test") if isinstance(data, SpatialDataModule) else None
    return metric if isinstance(metric, SpatialMetric) else None


def judge(metric: SpatialMetric | None, answer: Answer) -> Judgement | None:
    """What a benchmark's metric makes of an answer; None without one, or where the truth is not known."""
    return None if metric is None or answer.sample.answer is None else metric.judge(answer)


def unique_lines(parts: list[Path]) -> Iterator[str]:
    """The lines of several files, the first for each question id."""
    seen = set()
    for part in parts:
        with part.open() as lines:
            for line in lines:
                identifier = json.loads(line)["id"]
                if identifier not in seen:
                    seen.add(identifier)
                    yield line
