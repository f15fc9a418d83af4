"""Modules that fail as a machine, a library or a mistake of the code would."""

from __future__ import annotations

import errno
import os
from typing import Any

from torch import nn

from experiments.callbacks import predictions
from tests.helpers.stub import StubModule


class FullDisk(StubModule):
    """Finds the disk full when the first checkpoint is written."""

    def on_train_start(self) -> None:
        def full(fd: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        os.fsync = full


class FullOfPredictions(StubModule):
    """Finds the disk full when its answers are written: within a batch, or at the end, as FULL says."""

    def on_test_start(self) -> None:
        def full(*_: Any) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        place = "judge" if os.environ["FULL"] == "within a batch" else "unique_lines"
        setattr(predictions, place, full)


class Refusing(StubModule):
    """Is made of what a library does not take."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        raise ValueError("`pad_token_id` must be one\nof the vocabulary")


class Mistaken(StubModule):
    """Has a mistake in its constructor."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        raise AssertionError("this cannot happen")


class MistakenInAStep(StubModule):
    """Has a mistake in its loss."""

    def loss(self, batch: Any) -> Any:
        raise ValueError("shapes do not match")


class NotDifferentiable(StubModule):
    """Has a loss without a gradient at 0, where it is."""

    def loss(self, batch: Any) -> Any:
        terms, layer = super().loss(batch), self.layers[0]
        assert isinstance(layer, nn.Linear)
        return {**terms, "root": (0 * layer.weight.sum()).sqrt()}


class NoNumber(StubModule):
    """Has a loss that is NaN in the step after its sixth, unless SURVIVE is set."""

    def loss(self, batch: Any) -> Any:
        terms = super().loss(batch)
        wrong = self.training and self.global_step == 6 and "SURVIVE" not in os.environ
        return {name: term * float("nan") if wrong else term for name, term in terms.items()}
