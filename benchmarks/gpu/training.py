"""Training as the project trains, in Lightning's loop, with each step's time, its memory and its work."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning import Callback, Trainer
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.machine import Machine
from datamodules.base import Role, SpatialDataModule
from datamodules.loading.grouped import Split
from datamodules.scoring.metrics import Track3Metric
from lightning_modules.base import SpatialModule

_MANY = 1000
"""Steps, more than anybody measures."""


class MadeUpData(SpatialDataModule):
    """A split that was made up, to be trained on.

    Args:
        questions: the split.
        repeated: train on its first batch at every step, so that nothing waits for data.
        options: of every datamodule.
    """

    def __init__(self, questions: Split, repeated: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.questions = questions
        self.repeated = repeated

    def prepare_split(self, role: Role) -> None:
        """Nothing: it is there already."""

    def open_split(self, role: Role) -> Split:
        """The same for every role."""
        return self.questions

    def metric(self, stage: str = "test") -> Track3Metric:
        """Some metric; nothing is scored."""
        return Track3Metric()

    def train_dataloader(self) -> DataLoader:
        """The training batches, or the first of them again and again."""
        loader = super().train_dataloader()
        if not self.repeated:
            return loader
        batches: Any = [next(iter(loader))] * _MANY
        return DataLoader(batches, batch_size=None, collate_fn=_unchanged)


def _unchanged(batch: Any) -> Any:
    return batch


@dataclass(frozen=True)
class Steps:
    """What was measured of some steps of training, those of the warm-up left out.

    Attributes:
        seconds: of each step: forward, backward, clipping, optimizer.
        waits: seconds between the end of a step and the beginning of the next.
        peak_gigabytes: the most memory.
        forward_operations: floating-point operations of one forward pass, as torch counts them.
    """

    seconds: list[float]
    waits: list[float]
    peak_gigabytes: float
    forward_operations: float

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def waiting_share(self) -> float:
        """The part of the time that lies between the steps."""
        return sum(self.waits) / (sum(self.waits) + sum(self.seconds))

    def figures(self) -> dict[str, Any]:
        """Time and memory, as they are written down."""
        return {
            "seconds": self.median,
            "seconds_of_steps": [round(seconds, 5) for seconds in self.seconds],
            "peak_gigabytes": self.peak_gigabytes,
        }


class StepClock(Callback):
    """Takes the time of each step, the memory after the warm-up, and the work of the first forward pass.

    Args:
        machine: where it is trained.
        warm_up: how many steps do not count.
        count: whether operations are counted.
    """

    def __init__(self, machine: Machine, warm_up: int, count: bool) -> None:
        self.machine = machine
        self.warm_up = warm_up
        self.counter = FlopCounterMode(display=False) if count else None
        self._starts: list[float] = []
        self._ends: list[float] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        """A step begins; its batch is there already."""
        if len(self._starts) == self.warm_up:
            self.machine.forget_peak()
        if self.counter is not None and not self._starts:
            self.counter.__enter__()
        self._starts.append(self.machine.now())

    def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
        """A forward pass has ended."""
        if self.counter is not None and not self._ends:
            self.counter.__exit__(None, None, None)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step has ended."""
        self._ends.append(self.machine.now())

    def steps(self) -> Steps:
        """What was measured."""
        starts, ends = self._starts[self.warm_up :], self._ends[self.warm_up :]
        return Steps(
            [end - start for start, end in zip(starts, ends, strict=True)],
            [start - end for start, end in zip(starts[1:], ends, strict=False)],
            self.machine.peak_gigabytes(),
            0.0 if self.counter is None else float(self.counter.get_total_flops()),
        )


def train(
    module: SpatialModule,
    data: SpatialDataModule,
    machine: Machine,
    *,
    steps: int,
    warm_up: int,
    gradient_clip: float = 1.0,
    deterministic: bool = True,
    count: bool = False,
) -> Steps:
    """Train as the experiments do, and forget what was learnt.

    Args:
        module: the model.
        data: what it is trained on.
        machine: where.
        steps: how many are measured.
        warm_up: how many come before.
        gradient_clip: the norm that gradients are clipped to.
        deterministic: take deterministic kernels where there are some, as `experiments/base.yaml` does.
        count: count the operations of a forward pass.
    """
    clock = StepClock(machine, warm_up, count)
    # What is said of a training does not belong among the figures.
    with redirect_stdout(sys.stderr), _determinism_restored():
        # As the command line does.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        trainer = Trainer(
            accelerator=machine.device,
            devices=1,
            precision=cast(Any, machine.placement.precision),
            max_steps=warm_up + steps,
            gradient_clip_val=gradient_clip,
            deterministic="warn" if deterministic else False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[clock],
        )
        trainer.fit(module, datamodule=data)
    return clock.steps()


@contextmanager
def _determinism_restored() -> Iterator[None]:
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]
