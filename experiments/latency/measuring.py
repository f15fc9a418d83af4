"""Measures the two figures: the same question again and again, and questions from all over the test set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from datamodules.base import SpatialDataModule
from datamodules.loading.grouped import every_sample
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import SpatialSample
from experiments.callbacks.progress import peak_memory_gb
from experiments.latency.asking import OneByOne, Shape, Timing
from experiments.latency.machine import load_average
from experiments.tested import AsTested
from lightning_modules.base import SpatialModule

ONE_QUESTION, OVER_THE_SET = "one_question", "over_the_set"

LINE_EVERY_S = 10.0
"""Seconds between two lines of progress; a bar that draws itself in a thread would be measured as well."""


@dataclass(frozen=True)
class Timings:
    """What one of the figures is made of.

    Attributes:
        timings: one for each answer, in the order in which they were asked.
        warm_up_runs: how many answers went before, which were not timed.
    """

    timings: list[Timing]
    warm_up_runs: int


class Measuring(Callback):
    """Measures while a Trainer's test begins: the model then lies where, and computes in what, a test has it.

    The test itself then asks what the data hold; nobody judges it.

    Args:
        data: the data of the run.
        samples: all questions of the test, as the data have them.
        wanted: how many are asked over the set, and how often the first one is asked.
        said: is given a line of progress now and then.

    Attributes:
        figures: what was measured, by the figure's name.
        load: the load averages of the machine before and after, over 1, 5 and 15 minutes; None where the
            system does not tell.
        peak_memory_gb: the highest use of memory, in GB.
        device: where it was computed.
    """

    def __init__(
        self,
        data: SpatialDataModule,
        samples: Sequence[SpatialSample],
        wanted: int,
        said: Callable[[str], object],
    ) -> None:
        self.data, self.samples, self.wanted, self.said = data, samples, wanted, said
        self.figures: dict[str, Timings] = {}
        self.load: dict[str, list[float] | None] = {}
        self.peak_memory_gb = 0.0
        self.device = torch.device("cpu")

    @property
    def questions_of_test(self) -> int:
        """How many questions the test has."""
        return len(self.samples)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure."""
        assert isinstance(pl_module, SpatialModule)
        pl_module.metric = None
        self.device = pl_module.device
        asking = OneByOne(trainer, pl_module, self.data)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.load["before"] = load_average()
        with asking.clock.watching():
            self.figures[ONE_QUESTION] = self._timed(asking, [self.samples[0]] * self.wanted, "one question")
            several = spread(self.samples, self.wanted)
            self.figures[OVER_THE_SET] = self._timed(asking, several, "over the set")
        self.load["after"] = load_average()
        self.peak_memory_gb = peak_memory_gb()

    def _timed(self, asking: OneByOne, samples: Sequence[SpatialSample], title: str) -> Timings:
        """Ask all questions, once every shape of theirs has been answered untimed."""
        known: set[Shape] = set()
        lines = Lines(self.said, title)
        for number, sample in enumerate({sample.id: sample for sample in samples}.values()):
            lines.at(f"warm-up, question {number + 1}")
            shape = asking.shape(sample)
            if shape not in known:
                known.add(shape)
                asking.ask(sample)
        timings = []
        for number, sample in enumerate(samples):
            lines.at(f"answer {number + 1} of {len(samples)}", last=number + 1 == len(samples))
            timings.append(asking.ask(sample))
        return Timings(timings, len(known))


def take_timings(asked: AsTested, wanted: int, folder: Path, said: Callable[[str], object]) -> Measuring:
    """Measure the model and the data of a run.

    Args:
        asked: these.
        wanted: how many questions are asked over the set, and how often the first one is asked.
        folder: where a Trainer may put what it likes.
        said: takes lines of progress.

    Raises:
        SmallSpatialError: the model cannot be asked, or an image not be read.
    """
    data = asked.data
    data.prepare_split(data.taken_from(data.scored))
    samples = list(every_sample(data.split(data.scored)))
    measuring = Measuring(data, samples, wanted, said)
    # What the test asks once all is measured.
    data.ask_instead(data.scored, ListedQuestions.grouped(samples[:1]))
    trainer = Trainer(
        **asked.trainer,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        default_root_dir=str(folder),
        callbacks=[measuring],
    )
    trainer.test(asked.module, datamodule=data, verbose=False)
    return measuring


class Lines:
    """Lines of progress, some seconds apart, written between two measurements.

    Args:
        said: takes a line.
        title: stands in front of each.
    """

    def __init__(self, said: Callable[[str], object], title: str) -> None:
        self.said, self.title = said, title
        self._written = time.monotonic()

    def at(self, place: str, last: bool = False) -> None:
        """Say where it stands, if the last line is old enough, or if it is the last one."""
        if last or time.monotonic() - self._written >= LINE_EVERY_S:
            self._written = time.monotonic()
            self.said(f"{self.title}: {place}")


def spread(samples: Sequence[SpatialSample], wanted: int) -> list[SpatialSample]:
    """So many different questions, evenly spread from the first to the last; all where there are fewer."""
    count = min(wanted, len(samples))
    return [samples[number * (len(samples) - 1) // max(1, count - 1)] for number in range(count)]
