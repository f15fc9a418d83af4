"""Checkpoints that hold what was trained and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from datamodules.samples import SmallSpatialError, why_not_readable

NO_CHECKPOINT = (
    *(OSError, RuntimeError, EOFError, UnpicklingError, SafetensorError),
    # What torch's unpickler comes upon in bytes that nobody has pickled.
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError, struct.error),
)
"""What is raised for a file that is no whole checkpoint."""


class CheckpointError(SmallSpatialError):
    """A checkpoint cannot be read, or does not belong to the module it is loaded into."""


@contextmanager
def readable_checkpoint(path: Path | str) -> Iterator[None]:
    """Raise `CheckpointError` where the file that is read here is absent or no whole checkpoint."""
    try:
        yield
    except NO_CHECKPOINT as error:
        why = "" if "://" in str(path) else why_not_readable(Path(path))
        raise CheckpointError(
            f"The checkpoint {path} cannot be read. "
            + (why or "It is not whole, or is none: copy it again from its run, or take another one.")
        ) from error


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A run's checkpoint, its tensors mapped from the disk; no code in it is run.

    Raises:
        CheckpointError: the file is absent, not whole, or no checkpoint of a run.
    """
    with readable_checkpoint(path):
        checkpoint = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(
            f"{path} holds tensors, but is no checkpoint of a run: name one of its last.ckpt."
        )
    return checkpoint


def trained_names(module: nn.Module) -> set[str]:
    """Names of the tensors that training changes: trainable parameters and the buffers beside them.

    A buffer (the running statistics of a normalisation layer, say) counts as trained where its own layer
    has a trainable parameter.
    """
    # Duplicates stay: a table shared by two layers stands under both names in a state dict.
    parameters = module.named_parameters(remove_duplicate=False)
    names = {name for name, parameter in parameters if parameter.requires_grad}
    layers = {name.rpartition(".")[0] for name in names}
    return names | {name for name, _ in module.named_buffers() if name.rpartition(".")[0] in layers}


def keep_trainable(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a state dict that training changes."""
    wanted = trained_names(module)
    return {name: tensor for name, tensor in state.items() if name in wanted}


def require_trainable(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` where a trained tensor is missing or has another shape.

    Frozen tensors may be missing: loading is not strict, which would otherwise let a wrong checkpoint load
    nothing at all in silence.
    """
    persistent = module.state_dict()
    expected = [name for name in trained_names(module) if name in persistent]
    missing = sorted(name for name in expected if name not in state)
    if missing:
        raise CheckpointError(
            f"The checkpoint lacks {len(missing)} of {len(expected)} trained tensors of "
            f"{type(module).__name__}, the first is {missing[0]!r}. It was written by another model or "
            "another configuration: pass the config.yaml that stands beside the checkpoint."
        )
    for name in expected:
        if state[name].shape != persistent[name].shape:
            raise CheckpointError(
                f"The checkpoint's {name!r} has shape {tuple(state[name].shape)}, the model's "
                f"{tuple(persistent[name].shape)}: pass the config.yaml that stands beside the checkpoint."
            )
