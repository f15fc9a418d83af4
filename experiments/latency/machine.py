"""The machine that was measured on, in words and numbers."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

PACKAGES = ("torch", "torchvision", "transformers", "pillow")


def load_average() -> list[float] | None:
    """How many processes ran or waited on average, over 1, 5 and 15 minutes; None where nobody counts."""
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else None


def machine(device: torch.device, precision: str, module: nn.Module) -> dict[str, Any]:
    """What computes, and in which precision.

    Args:
        device: where the module computes.
        precision: Lightning's name of the Trainer's precision.
        module: the module.
    """
    weights = {str(parameter.dtype).removeprefix("torch.") for parameter in module.parameters()}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "accelerator": device.type,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "dtype": ", ".join(sorted(weights)) or None,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def processor_name() -> str:
    """The CPU by its name, as far as the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for line in told.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()
