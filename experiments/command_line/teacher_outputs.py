"""A teacher's outputs, written down before a training that reads them."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from experiments.run_folders.run_folder import RunError

if TYPE_CHECKING:
    from lightning import Trainer

    from lightning_modules.distillation.teachers.cache_files import CacheSummary

SECONDS_BETWEEN_LINES = 10.0


def learns_from_cache(module: Any) -> bool:
    """Whether a module learns from a teacher's outputs on disk."""
    return getattr(getattr(module, "teacher_settings", None), "cache", None) is not None


def refuse_blind_baseline(module: Any) -> None:
    """Raise `RunError` where a blind baseline would learn from teacher outputs on questions with images."""
    if learns_from_cache(module):
        raise RunError(
            "A blind baseline asks questions without their images, on which a cached teacher has said "
            "nothing: set baselines.blind: false, or leave model.init_args.teacher.cache out."
        )


def write_missing(module: Any, data: Any, trainer: Trainer) -> None:
    """Write a cached teacher's outputs before a training, if they are not there or not all of them.

    Teacher outputs that are there but are others are left to the training, which refuses them.
    """
    if not learns_from_cache(module) or not trainer.is_global_zero:
        return
    from lightning_modules.distillation.teachers.cache_files import is_complete

    cache = Path(module.teacher_settings.cache)
    if is_complete(cache):
        return
    print(f"The teacher's outputs are not all in {cache} yet: they are written first.", flush=True)
    with _alone(cache):
        if not is_complete(cache):
            print(f"{_write(module, data, trainer)}\n", flush=True)


def write_teacher_outputs(module: Any, data: Any, trainer: Trainer) -> str:
    """Go once over all training questions with the teacher, and write down what it says.

    Of several runs that want the same teacher outputs, one writes and the others wait.

    Args:
        module: the student, with the settings of its teacher.
        data: the questions.
        trainer: knows the device and the precision; it runs nothing.

    Returns:
        A sentence that says what was written.

    Raises:
        SmallSpatialError: the teacher cannot be loaded, or its folder holds other teacher outputs.
    """
    with _alone(Path(module.teacher_settings.cache)):
        return _write(module, data, trainer)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Let one run at a time write a cache; the system takes the lock back from one that dies."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.with_name(f".{cache.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another run writes the teacher outputs in {cache}: waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write(module: Any, data: Any, trainer: Trainer) -> str:
    from lightning.pytorch.utilities.seed import isolate_rng

    from lightning_modules.distillation.output_writing import OutputWriting
    from lightning_modules.distillation.teachers.cache_files import CacheWriter

    data.prepare_split("train")
    # The training that may follow shall not depend on whether this came before it.
    with isolate_rng():
        writing = OutputWriting(module, trainer.strategy.root_device)
        writer = CacheWriter(module.teacher_settings.cache, writing.manifest)
        data.collator = writing.collator
        progress = _Progress(int(data.training_images()[0].group_sizes().sum()))
        for loaded in data.every_training_question():
            batch = data.on_before_batch_transfer(loaded, 0)
            if not all(key in writer for key in batch["output_keys"]):
                with trainer.precision_plugin.forward_context():
                    writer.add(writing.outputs(batch))
            progress.count(len(batch["output_keys"]))
        summary = writer.finish()
    del writing
    gc.collect()
    return _said(summary, module.teacher_settings)


class _Progress:
    """A line every some seconds: how far it is, and how fast."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.began = self.written = time.monotonic()

    def count(self, questions: int) -> None:
        self.done = min(self.done + questions, self.total)
        now = time.monotonic()
        if now - self.written < SECONDS_BETWEEN_LINES and self.done < self.total:
            return
        self.written = now
        rate = self.done / max(now - self.began, 1e-6)
        print(
            f"teacher: {self.done:,} of {self.total:,} questions ({self.done / self.total:.0%})  "
            f"questions/s {rate:.1f}",
            flush=True,
        )


def _said(summary: CacheSummary, settings: Any) -> str:
    return (
        f"{settings.cache} holds teacher outputs on {summary.outputs:,} questions, {summary.megabytes:,.1f} "
        f"MB. On average {summary.tail_mass:.2%} of the teacher's probability lies outside of its "
        f"{settings.cache_k} likeliest tokens; of that only the sum is known."
    )
