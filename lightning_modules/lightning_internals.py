"""What Lightning keeps to itself and this project cannot do without, in one place.

`tests/test_lightning_internals.py` says when a version of Lightning changes any of it.
"""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer


def data_fetcher(trainer: Trainer) -> Any:
    """What hands the loader's batches to the training loop: its `iterator`, and what it has fetched ahead."""
    return trainer.fit_loop._data_fetcher


def is_attached(module: LightningModule) -> bool:
    """Whether a module has a trainer; asking for `module.trainer` raises where it has none."""
    return module._trainer is not None
