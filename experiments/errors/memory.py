"""What to say when a device has no memory left: which settings need less, in the order to turn them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.run_folders.run_folder import RunError

TRAINING_KNOBS = (
    ("data.init_args.batch_size", "lower (raise trainer.accumulate_grad_batches for it)"),
    ("data.init_args.questions_per_image", "lower"),
    ("model.init_args.activation_checkpointing", "true"),
    ("model.init_args.image_tokens", "lower"),
    ("model.init_args.maximum_tokens", "lower"),
    ("model.init_args.adapter.four_bit", "true"),
    ("model.init_args.teacher.four_bit", "true"),
    ("model.init_args.network.image_size", "smaller"),
)
"""Settings that need less memory, those first that change what is learnt the least."""

ANSWERING_KNOBS = (
    ("data.init_args.evaluation_batch_size", "lower"),
    ("data.init_args.questions_per_image", "lower"),
    ("model.init_args.image_tokens", "lower"),
    ("model.init_args.adapter.four_bit", "true"),
    ("model.init_args.network.image_size", "smaller"),
)
"""The same for runs that only answer."""

_SIGNS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class OutOfMemory(RunError):
    """A device's memory does not suffice."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left."""
    # torch has a class for it, but libraries and other devices raise plain ones with such a text.
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
    )


def out_of_memory(config: Mapping[str, Any], trains: bool, error: BaseException) -> OutOfMemory:
    """The error for the user.

    Args:
        config: the run's configuration.
        trains: whether it happened while training, or while answering.
        error: what was raised.
    """
    knobs = TRAINING_KNOBS if trains else ANSWERING_KNOBS
    present = [
        f"{name}: {value}"
        for name, value in knobs
        if _takes(config, name.split(".")) and _value(config, name.split(".")) is not True
    ]
    said = str(error).strip().partition(". ")[0].partition("\n")[0]
    return OutOfMemory(
        f"The device has no memory left ({said}). Less is needed with, in this order: "
        f"{'; '.join(present) or 'a smaller model'}. RESUME=1 goes on with a training."
    )


def _takes(config: Mapping[str, Any], path: list[str]) -> bool:
    """Whether a configuration has a place for a setting, even where it is left empty."""
    *parents, name = path
    for parent in parents:
        config = config.get(parent)  # type: ignore[assignment]
        if config is None:
            return False
    return name in config


def _value(config: Mapping[str, Any], path: list[str]) -> Any:
    for name in path:
        config = config[name]
    return config
