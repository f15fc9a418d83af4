"""Which of Lightning's strategies a run may take."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy

from experiments.run_folders.run_folder import RunError

ONE_DEVICE = "auto"
SEVERAL_DEVICES = "ddp_find_unused_parameters_true"
"""Views may leave parts of a model without work: no image, no gradient for what looks at it."""

WORKING = (SEVERAL_DEVICES, "ddp_find_unused_parameters_false")
_STARTED_ANEW = (None, "popen", "subprocess_script")


def settled_strategy(strategy: Any, several: bool) -> Any:
    """The strategy to run with, in the form in which it was given.

    Args:
        strategy: Lightning's name of it, its class with arguments as the parser has them, or a strategy.
        several: whether the run has several devices.

    Raises:
        RunError: this project does not run with it.
    """
    if isinstance(strategy, str):
        if strategy == "auto":
            return SEVERAL_DEVICES if several else ONE_DEVICE
        if strategy == "ddp":
            return SEVERAL_DEVICES
        if strategy in WORKING:
            return strategy
        raise RunError(f"{_reason(strategy)} {_advice(strategy)}")
    if isinstance(strategy, Strategy):
        name, start = type(strategy).__name__, getattr(strategy, "_start_method", None)
    else:
        name = str(strategy["class_path"]).rpartition(".")[2]
        start = (strategy.get("init_args") or {}).get("start_method")
    if name not in (DDPStrategy.__name__, SingleDeviceStrategy.__name__):
        raise RunError(f"{_reason(name)} {_advice(name)}")
    if start not in _STARTED_ANEW:
        raise RunError(f"{_reason(f'ddp_{start}')} {_advice(f'{name} with start_method: {start}')}")
    return strategy


def _reason(name: str) -> str:
    """Why a strategy is refused."""
    if name.startswith("ddp_") and name.split("_")[1] in ("spawn", "fork", "notebook", "forkserver"):
        return (
            "Processes that are copied from this one end with their results: score, predictions and report "
            "of the run would be lost."
        )
    lowered = name.lower()
    if any(kind in lowered for kind in ("fsdp", "deepspeed", "modelparallel")):
        return "Models that are divided between devices are not supported yet."
    return "This project trains on one device, or on several that each hold the whole model."


def _advice(name: str) -> str:
    return (
        f"Instead of trainer.strategy {name} take ddp; for a model that is too large, "
        "model.init_args.adapter.four_bit: true and model.init_args.activation_checkpointing: true."
    )
