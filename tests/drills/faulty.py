"""The program with a fault in it: FAULT names a function of this file that plants it."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image
from torch.utils.data import get_worker_info

from datamodules.samples import ImageFile
from experiments import run
from experiments.callbacks import predictions
from lightning_modules.tiny_giant.module import TinyGiant

AT_STEP = 6
"""Where losses and gradients go wrong."""

A_DAY = timedelta(days=1)


def killed_at_a_file() -> None:
    """Kill the process when a file AT is about to get its name for the COUNT-th time; half of it is there."""
    replace, seen = Path.replace, [0]

    def replaced(path: Path, target: Any) -> Path:
        if Path(target).name == os.environ["AT"]:
            seen[0] += 1
            if seen[0] == int(os.environ["COUNT"]):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    patch.object(Path, "replace", replaced).start()


def killed_in_predictions() -> None:
    """Kill the process when some answers are written and others are not."""
    judge, seen = predictions.judge, [0]

    def judged(*arguments: Any) -> Any:
        seen[0] += 1
        if seen[0] == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return judge(*arguments)

    patch.object(predictions, "judge", judged).start()


def loss_is_no_number() -> None:
    """Have the loss be NaN at a step."""
    _change_loss(lambda module, terms: {name: term * torch.nan for name, term in terms.items()})


def gradient_is_no_number() -> None:
    """Have the gradient be NaN at a step whose loss is a number."""

    def root_of_nothing(module: TinyGiant, terms: dict[str, Any]) -> dict[str, Any]:
        weight = next(parameter for parameter in module.parameters() if parameter.requires_grad)
        return {**terms, "root": (0 * weight.sum()).sqrt()}

    _change_loss(root_of_nothing)


def _change_loss(changed: Any) -> None:
    loss = TinyGiant.loss

    def wrong(module: TinyGiant, batch: Any) -> Any:
        terms = loss(module, batch)
        return changed(module, terms) if module.training and module.global_step == AT_STEP else terms

    patch.object(TinyGiant, "loss", wrong).start()


def worker_killed() -> None:
    """Kill the loading worker that opens its 20th image; NOTE names it."""
    _at_an_image(lambda: os.kill(os.getpid(), signal.SIGKILL))


def worker_hangs() -> None:
    """Have the loading worker that opens its 20th image wait for ever; NOTE names it."""
    _at_an_image(lambda: time.sleep(10_000))


def _at_an_image(happens: Any) -> None:
    opened, seen = ImageFile.open, [0]

    def wrong(image: ImageFile) -> Image.Image:
        if get_worker_info() is not None:
            seen[0] += 1
            if seen[0] == 20:
                Path(os.environ["NOTE"]).write_text(image.name)
                happens()
        return opened(image)

    patch.object(ImageFile, "open", wrong).start()


def clock_of_yesterday() -> None:
    """Set the clock back by a day."""
    strftime, now = time.strftime, time.time

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - A_DAY

    def formatted(form: str, *moment: Any) -> str:
        return strftime(form, *(moment or (time.localtime(now() - A_DAY.total_seconds()),)))

    patch("experiments.run_folders.provenance.datetime", Yesterday).start()
    patch.object(time, "strftime", formatted).start()
    patch.object(time, "time", lambda: now() - A_DAY.total_seconds()).start()


def clock_goes_back_within() -> None:
    """Set the clock back by a day while the run trains."""
    on_train_start = TinyGiant.on_train_start

    def started(module: TinyGiant) -> None:
        on_train_start(module)
        clock_of_yesterday()

    patch.object(TinyGiant, "on_train_start", started).start()


def main() -> Any:
    """Plant the fault, then run what was typed."""
    globals()[os.environ["FAULT"]]()
    return run.main()
