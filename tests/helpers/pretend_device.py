"""A device that is not the CPU, where there is none: what would stop or wait on a GPU, seen on a CPU.

torch knows one CPU, so a tensor that says `cpu:1` lies nowhere. Here such tensors hold CPU data, on which
every operation is computed. An operation on tensors of both devices raises, as it would with a GPU. What the
host waits for is counted: reading a value, shapes that depend on values, copies either way.

What CUDA alone does (its own kernels, autocast, memory) is not seen here.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self
from unittest.mock import patch

import torch
from lightning import Callback
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cpu", 1)

aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense.default: "item",
    aten.is_nonzero.default: "item",
    aten.equal.default: "equal",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten.masked_scatter_backward.default: "masked_select",
    aten.bincount.default: "bincount",
    aten.repeat_interleave.Tensor: "repeat_interleave",
    aten._unique2.default: "unique",
    aten.unique_dim.default: "unique",
    aten.unique_consecutive.default: "unique",
}
"""Operations whose result, or its shape, the host has to know before it goes on."""

INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Their indices may lie on the host; those of bool are turned into numbers first, which waits."""

FILLING = {aten.masked_fill.Tensor, aten.masked_fill_.Tensor}
"""What they fill in is a number of the host; from the device it is read first."""

COPIES = {aten.copy_.default, aten._to_copy.default}

ROOT = str(Path(__file__).resolve().parents[2])


class MixedDevices(RuntimeError):
    """Tensors of two devices met in one operation."""


def _refuse(cls: type, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
    """Refuse what is asked outside of a `PretendDevice`."""
    raise RuntimeError(f"{function} outside of PretendDevice")


def _described(tensor: Tensor) -> str:
    """Shape and type; values would be a wait."""
    return f"OnDevice({tuple(tensor.shape)}, {tensor.dtype})"


class OnDevice(Tensor):
    """A tensor that says `cpu:1` and holds the data of a plain one."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        """Wrap a plain tensor."""
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )
        made.held = held
        return made

    __torch_function__: Any = torch._C._disabled_torch_function_impl

    __torch_dispatch__: Any = classmethod(_refuse)

    def tolist(self) -> Any:
        """The values, copied to the host first."""
        return self.cpu().tolist()

    __repr__: Any = _described


class PretendDevice(TorchDispatchMode):
    """Within it `cpu:1` is a device; see the module.

    Attributes:
        waits: how often the host waited: by what, and by the line of the project (or else of a library).
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()
        self._counting = True
        self._changed = ExitStack()

    def __enter__(self) -> Self:
        """Begin."""
        for name in ("tensor", "as_tensor"):
            self._changed.enter_context(patch.object(torch, name, _from_host(getattr(torch, name))))
        # Else `Module.to` would write the device's data into parameters that say `cpu`.
        swap = torch.__future__.set_swap_module_params_on_conversion
        self._changed.callback(swap, torch.__future__.get_swap_module_params_on_conversion())
        swap(True)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """End."""
        super().__exit__(*error)
        self._changed.close()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Count nothing, as where a batch comes from pinned memory while the device computes."""
        before, self._counting = self._counting, False
        try:
            yield
        finally:
            self._counting = before

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        """Check the devices, count the waits, and compute on the CPU."""
        here: list[OnDevice] = []
        host: list[Tensor] = []

        def held(value: Any) -> Any:
            if not isinstance(value, OnDevice):
                if isinstance(value, Tensor):
                    host.append(value)
                return value
            here.append(value)
            return value.held

        plain_arguments = _each(held, arguments)
        plain_options = {name: _each(held, value) for name, value in (options or {}).items()}
        device = plain_options.get("device")
        on_device = bool(here) if device is None else torch.device(device) == DEVICE
        if function in COPIES:
            on_device = self._copy(function, arguments, device, on_device)
        elif here:
            _require_one_device(function, arguments, here, host)
            for what in _waits(function, arguments, here, host):
                self._count(what)
        if device is not None:
            plain_options["device"] = torch.device("cpu")
        results = function(*plain_arguments, **plain_options)
        # An operation in place gives back what it was given.
        given = {id(tensor.held): tensor for tensor in here}
        return _each(lambda result: _wrapped(result, given), results) if on_device else results

    def _copy(self, function: Any, arguments: Any, device: Any, on_device: bool) -> bool:
        """Count a copy between devices; whether its result lies on the device."""
        if function is aten.copy_.default:
            to, source = (isinstance(tensor, OnDevice) for tensor in arguments[:2])
        else:
            source = isinstance(arguments[0], OnDevice)
            to = source if device is None else on_device
        # A number that the host has is sent along with the kernel.
        if to and not source and not (function is aten.copy_.default and arguments[1].ndim == 0):
            self._count("host to device")
        if source and not to:
            self._count("device to host")
        return to

    def _count(self, what: str) -> None:
        if self._counting:
            self.waits[what, _line()] += 1


def _from_host(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.tensor` as a copy from the host where a device is named, which no dispatch would see."""

    def made(data: Any, *arguments: Any, device: Any = None, **options: Any) -> Tensor:
        tensor = make(_each(_read, data), *arguments, **options)
        return tensor if device is None else tensor.to(device)

    return made


def _read(value: Any) -> Any:
    return value.item() if isinstance(value, OnDevice) and value.ndim == 0 else value


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """A value changed, or all of those in lists and tuples."""
    if isinstance(value, list | tuple):
        return type(value)([_each(change, one) for one in value])
    return change(value)


def _wrapped(value: Any, given: dict[int, OnDevice]) -> Any:
    if not isinstance(value, Tensor):
        return value
    return given[id(value)] if id(value) in given else OnDevice(value)


def _require_one_device(function: Any, arguments: Any, here: list[OnDevice], host: list[Tensor]) -> None:
    """Raise `MixedDevices` unless what lies on the host may: numbers, and the indices of what does not."""
    takes_numbers = torch.Tag.pointwise in function.tags or function in FILLING
    if takes_numbers and all(tensor.ndim == 0 for tensor in host):
        return
    if function in INDEXING and isinstance(arguments[0], OnDevice):
        return
    if host:
        met = ", ".join(f"{tuple(t.shape)} on {t.device}" for t in (*here, *host))
        raise MixedDevices(f"{function} of {met} at {_line()}")


def _waits(function: Any, arguments: Any, here: list[OnDevice], host: list[Tensor]) -> Iterator[str]:
    """What an operation on the device waits for."""
    if function in WAITS:
        yield WAITS[function]
    if function in FILLING and isinstance(arguments[2], OnDevice):
        yield "item"
    if function in INDEXING:
        for index in arguments[1]:
            if isinstance(index, Tensor) and not isinstance(index, OnDevice):
                yield "host to device"
            filled = function is not aten.index.Tensor and arguments[2].numel() == 1
            if index is not None and index.dtype in (torch.bool, torch.uint8) and not filled:
                yield "boolean index"


def _line() -> str:
    """The innermost line of the project that is being run, and that of a library that it has called."""
    frame: FrameType | None = sys._getframe(1)
    library = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__:
            if file.startswith(ROOT) and "site-packages" not in file:
                return f"{file[len(ROOT) + 1 :]}:{frame.f_lineno}{library and f' in {library}'}"
            if not library and "site-packages/" in file and "site-packages/torch/" not in file:
                library = f"{file.rpartition('site-packages/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return library


class PretendStrategy(SingleDeviceStrategy):
    """Trains on `cpu:1`; batches come from pinned memory, which is not waited for."""

    def __init__(self, device: PretendDevice) -> None:
        super().__init__(DEVICE, accelerator=CPUAccelerator())
        self.device = device

    def batch_to_device(self, *arguments: Any, **options: Any) -> Any:
        """Move a batch, uncounted."""
        with self.device.uncounted():
            return super().batch_to_device(*arguments, **options)

    def teardown(self) -> None:
        """Leave everything where it is: a swap of tensors fails where anything still holds one."""


class WaitsOfSteps(Callback):
    """What each training step waited for, from its start to that of the next one."""

    def __init__(self, device: PretendDevice) -> None:
        self.device = device
        self.steps: list[Counter[tuple[str, str]]] = []

    def on_train_batch_start(self, *_: Any) -> None:
        """A step of its own."""
        self.device.waits = Counter()
        self.steps.append(self.device.waits)

    def on_train_epoch_end(self, *_: Any) -> None:
        """What follows belongs to no step."""
        self.device.waits = Counter()
