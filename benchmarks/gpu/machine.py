"""What is measured on: a GPU, or a CPU with stand-ins of small shapes."""

from __future__ import annotations

import gc
import platform
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from benchmarks.matrix_units import peak_operations
from benchmarks.measuring import forget_peak, is_out_of_memory, peak_resident_bytes
from lightning_modules.placement import Placement

GIGABYTE = 1e9


@dataclass(frozen=True)
class Machine:
    """A device with its clock and its memory.

    Attributes:
        device: where everything computes.
    """

    device: Literal["cuda", "cpu"]

    @staticmethod
    def find(stand_ins: bool = False) -> Machine:
        """The GPU if there is one; the CPU otherwise, and where stand-ins are asked for."""
        return Machine("cuda" if torch.cuda.is_available() and not stand_ins else "cpu")

    @property
    def is_gpu(self) -> bool:
        """Whether real shapes are measured, and not stand-ins."""
        return self.device == "cuda"

    @property
    def name(self) -> str:
        """The device, in words."""
        if self.is_gpu:
            return torch.cuda.get_device_name()
        return f"CPU ({platform.machine()}), stand-ins of small shapes: these figures say nothing of a GPU"

    @cached_property
    def peak(self) -> float:
        """Operations a second of its matrix units: bfloat16 on a GPU, float32 on a CPU."""
        return peak_operations(self.device)

    @cached_property
    def placement(self) -> Placement:
        """What models are loaded for: the device with the project's usual precision on it."""
        return Placement.of(self.device)

    def now(self) -> float:
        """Seconds, once all is done that was begun."""
        if self.is_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def forget_peak(self) -> None:
        """Let the peak of memory begin anew."""
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            forget_peak()

    def peak_gigabytes(self) -> float:
        """The most memory since `forget_peak`: allocated on the GPU, or resident in this process."""
        peak = torch.cuda.max_memory_allocated() if self.is_gpu else peak_resident_bytes()
        return peak / GIGABYTE

    def free(self) -> None:
        """Give back what nobody holds any more."""
        gc.collect()
        if self.is_gpu:
            torch.cuda.empty_cache()


def does_not_fit(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that something does not fit into the memory."""
    while error is not None:
        if isinstance(error, Exception) and is_out_of_memory(error):
            return True
        error = error.__cause__ or error.__context__
    return False
