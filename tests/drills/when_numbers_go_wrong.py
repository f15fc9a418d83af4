"""Losses and gradients that are no numbers."""

from __future__ import annotations

import torch

from tests.drills.drill import INJECTED, drill, require
from tests.drills.faulty import AT_STEP
from tests.drills.place import Place, ended, require_sentence, said


def all_finite(path: object) -> bool:
    """Whether a checkpoint's weights are numbers throughout."""
    state = torch.load(str(path), weights_only=True)["state_dict"]
    return all(bool(torch.isfinite(tensor).all()) for tensor in state.values())


@drill("the loss is NaN at a step", INJECTED)
def loss(place: Place) -> None:
    """It stops, names the step and the batch's questions, and keeps the state before the step."""
    finished = ended(place.drilled(fault="loss_is_no_number"), 1)
    require_sentence(finished, f"not finite at step {AT_STEP}", "questions")
    kept = [*place.run_folder.glob(f"checkpoints/before_step_{AT_STEP}.ckpt")]
    require(kept, "the state before the step is not kept")
    state = torch.load(kept[0], weights_only=True)
    require(state["global_step"] == AT_STEP and all_finite(kept[0]), "the state is not that before the step")
    require(str(kept[0].relative_to(place.folder)) in said(finished), "it does not say where the state is")
    place.resumed()
    place.require_as_undisturbed()


@drill("the gradient is NaN at a step whose loss is a number", INJECTED)
def gradient(place: Place) -> None:
    """It stops, and no checkpoint holds the weights that were spoilt; resumed, it ends undisturbed."""
    finished = ended(place.drilled(fault="gradient_is_no_number"), 1)
    require_sentence(finished, "not finite", f"step {AT_STEP}")
    bad = [path.name for path in place.run_folder.glob("checkpoints/*.ckpt") if not all_finite(path)]
    require(not bad, f"{bad} hold weights that are no numbers")
    place.resumed()
    place.require_as_undisturbed()
