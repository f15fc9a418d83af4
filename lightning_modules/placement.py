"""Where models are loaded and in which precision: settled before there is a Trainer that could be asked.

A model is made before the Trainer is. The command line therefore says beforehand what the Trainer will
compute on; in a script of your own, `with placed(Placement.of("cpu")):` does the same. Without either, the
machine's GPU is taken where it has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Placement:
    """What a run computes on.

    Attributes:
        device: the type of its device, such as "cpu" or "cuda".
        precision: Lightning's name of its precision, such as "bf16-mixed".
    """

    device: str
    precision: str

    @classmethod
    def of(cls, accelerator: object = "auto", precision: str | int | None = None) -> Placement:
        """What a Trainer with these arguments computes on.

        Args:
            accelerator: Lightning's name of the accelerator, or one of its accelerators.
            precision: Lightning's name of the precision; when left out, the usual one of the device.
        """
        device = device_of(accelerator)
        return cls(device, usual_precision(device) if precision is None else _in_full(str(precision)))

    @property
    def weights(self) -> torch.dtype:
        """The precision of weights that are not trained.

        Under "16-mixed" they are in float16 as well: some layers of the vision towers take no mixture of
        float16 and bfloat16.
        """
        if self.precision.startswith("bf16"):
            return torch.bfloat16
        return torch.float16 if self.precision in ("16-mixed", "16-true") else torch.float32

    @property
    def products(self) -> torch.dtype:
        """The precision in which products with 4-bit weights are computed."""
        return torch.float16 if self.weights == torch.float16 else torch.bfloat16


def _in_full(precision: str) -> str:
    """A precision's whole name: Lightning also takes short ones."""
    return {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}.get(
        precision, precision
    )


def device_of(accelerator: object) -> str:
    """The type of device that an accelerator means on this machine."""
    name = accelerator if isinstance(accelerator, str) else type(accelerator).__name__.lower()
    if name in ("auto", "gpu"):
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    return next((kind for kind in ("cuda", "mps", "cpu") if name.startswith(kind)), name)


def usual_precision(device: str) -> str:
    """Mixed precision on a GPU: with bfloat16, or with float16 where bfloat16 is only emulated.

    Elsewhere full precision: bfloat16 is slower on a CPU.
    """
    if device != "cuda" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


_PLACEMENT: ContextVar[Placement | None] = ContextVar("placement", default=None)


def present_placement() -> Placement:
    """What models are loaded for at present."""
    return _PLACEMENT.get() or Placement.of()


@contextmanager
def placed(placement: Placement) -> Iterator[None]:
    """Load models for what a Trainer will compute on."""
    token = _PLACEMENT.set(placement)
    try:
        yield
    finally:
        _PLACEMENT.reset(token)
