"""A callback that writes down what a run does, batch by batch, without the run's own counters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

OBSERVED = Path("observed.jsonl")
OBSERVE = {"class_path": f"{__name__}.Observer"}


class Observer(Callback):
    """Appends a line a batch to `observed.jsonl`: stage, questions, and types that are computed in."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._observe(pl_module)

    on_test_start = on_fit_start

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *step: Any) -> None:
        self._write(trainer, "train", step[1])

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *step: Any) -> None:
        self._write(trainer, "sanity" if trainer.sanity_checking else "val", step[1])

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *step: Any) -> None:
        self._write(trainer, "test", step[1])

    def _observe(self, module: LightningModule) -> None:
        self.computed: set[str] = set()
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(self._look)

    def _look(self, layer: nn.Module, inputs: Any, outputs: torch.Tensor) -> None:
        self.computed.add(str(outputs.dtype).removeprefix("torch."))

    def _write(self, trainer: Trainer, stage: str, batch: dict[str, Any]) -> None:
        if trainer.logger is None:
            return  # the blind baseline, whose trainer is its own
        line = {
            "stage": stage,
            "epoch": trainer.current_epoch,
            "questions": [sample.id for sample in batch["samples"]],
            "computed": sorted(self.computed),
        }
        with OBSERVED.open("a") as file:
            file.write(json.dumps(line) + "\n")
