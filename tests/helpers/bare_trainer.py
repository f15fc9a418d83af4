"""A Trainer that trains and tests and writes nothing."""

from __future__ import annotations

from typing import Any

from lightning import Trainer


def bare_trainer(**options: Any) -> Trainer:
    """On the CPU, without logger, checkpoints, bars or validation."""
    return Trainer(
        **{
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "use_distributed_sampler": False,
            "limit_val_batches": 0,
            **options,
        }
    )
