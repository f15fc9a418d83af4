"""Combinations of precision, optimizer, weights and device that cannot work, as a table of sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from datamodules.samples import SmallSpatialError

HALF = frozenset({torch.float16, torch.bfloat16})
HALF_THROUGHOUT = ("bf16-true", "16-true")


class PrecisionError(SmallSpatialError):
    """What is asked for cannot be computed in this precision."""


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32, or as it is where it is more precise."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@dataclass(frozen=True)
class Combination:
    """What comes together in a run; what is not known yet is left out, and nothing is refused for it.

    Attributes:
        precision: Lightning's name of it.
        device: the type of device.
        trains: whether anything is trained.
        optimizer: the optimizer's class.
        trained: the precisions of trained weights.
        frozen: the precisions of all other weights.
    """

    precision: str
    device: str
    trains: bool
    optimizer: type[torch.optim.Optimizer] | None = None
    trained: frozenset[torch.dtype] = field(default_factory=frozenset)
    frozen: frozenset[torch.dtype] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Refusal:
    """One row of the table: when a combination cannot work, and what to say then."""

    applies: Callable[[Combination], bool]
    sentence: str


REFUSALS = (
    Refusal(
        lambda it: it.precision.startswith("transformer-engine"),
        "precision {precision} needs NVIDIA's transformer-engine, which this project does not use: take "
        "bf16-mixed.",
    ),
    Refusal(
        lambda it: it.precision == "16-mixed" and it.device == "cpu",
        "precision 16-mixed is for GPUs, and this run computes on a CPU: take 32-true, or bf16-mixed to see "
        "what a GPU would compute.",
    ),
    Refusal(
        lambda it: it.trains and it.precision in HALF_THROUGHOUT,
        "precision {precision} holds trained weights in half precision too, where a step of a usual learning "
        "rate is smaller than the distance to the next number: most of them would stay as they are. Train "
        "with {mixed}, which keeps trained weights in float32 and the others as small; test, validate and "
        "predict take {precision}.",
    ),
    Refusal(
        lambda it: bool(it.trained & HALF),
        "Some of the trained weights are in half precision, where most steps of a usual learning rate are "
        "rounded away: convert them with .float() before the training.",
    ),
    Refusal(
        lambda it: it.trains and it.precision == "32-true" and bool(it.frozen & HALF),
        "precision 32-true trains float32 weights between frozen ones that were loaded in half precision, "
        "and layers take no mixture of the two: load the model with "
        '`with placed(Placement.of(accelerator, "32-true")):`, or train with bf16-mixed.',
    ),
    Refusal(
        lambda it: it.optimizer is not None and issubclass(it.optimizer, torch.optim.SparseAdam),
        "SparseAdam takes sparse gradients only, and no weights here have such: take AdamW.",
    ),
    Refusal(
        lambda it: (
            it.optimizer is not None
            and issubclass(it.optimizer, torch.optim.LBFGS)
            and it.precision == "16-mixed"
        ),
        "LBFGS asks for several gradients a step, which precision 16-mixed cannot scale: take bf16-mixed, or "
        "another optimizer.",
    ),
)
"""What cannot work. The first row that applies is said."""


def refuse_unworkable(combination: Combination) -> None:
    """Raise `PrecisionError` where a combination cannot work."""
    for refusal in REFUSALS:
        if refusal.applies(combination):
            mixed = "16-mixed" if combination.precision == "16-true" else "bf16-mixed"
            raise PrecisionError(
                refusal.sentence.format(
                    precision=combination.precision, device=combination.device, mixed=mixed
                )
            )


def combination_of(
    module: LightningModule, trainer: Trainer, trains: bool, optimizer: OptimizerCallable
) -> Combination:
    """What comes together when a Trainer runs a module.

    Args:
        module: the module.
        trainer: the Trainer.
        trains: whether it will be trained, and not only answer.
        optimizer: makes the optimizer from parameters.
    """
    parameters = list(module.parameters())
    trained = [one for one in parameters if trains and one.requires_grad]
    return Combination(
        precision=str(trainer.precision),
        device=trainer.strategy.root_device.type,
        trains=trains,
        optimizer=_class_of(optimizer, trained) if trains else None,
        trained=frozenset(one.dtype for one in trained),
        frozen=frozenset(one.dtype for one in parameters if not one.requires_grad),
    )


def _class_of(optimizer: OptimizerCallable, trained: list[nn.Parameter]) -> type[torch.optim.Optimizer]:
    """The class of an optimizer of the weights that are trained; some take only weights of certain shapes.

    Raises:
        PrecisionError: it does not take these.
    """
    try:
        return type(optimizer(trained or [nn.Parameter(torch.zeros(1))]))
    except (ValueError, RuntimeError) as error:
        raise PrecisionError(
            f"The optimizer does not take the weights that are trained: {error}. Take torch.optim.AdamW, or "
            "train other parts of the model."
        ) from error


def leave_scaling_to_trainer(optimizer: torch.optim.Optimizer) -> None:
    """Let gradients be clipped before a fused optimizer's step.

    A fused optimizer offers to undo the loss's scale within its step. Lightning then refuses to clip, since
    the gradients would still be scaled, even under bf16-mixed, which scales nothing. Without the offer the
    Trainer undoes the scale before it clips, as for every other optimizer.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
