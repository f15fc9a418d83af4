"""What cannot be computed is refused in a sentence at the start; everything else trains and answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from lightning_modules.phases import Phase
from lightning_modules.placement import Placement, placed
from lightning_modules.precision import (
    REFUSALS,
    Combination,
    PrecisionError,
    at_least_float32,
    refuse_unworkable,
)
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData
from tests.helpers.small_models import SIZE

WORKS = Combination("bf16-mixed", "cuda", True, torch.optim.AdamW, frozenset({torch.float32}))
BROKEN = {
    "transformer-engine": replace(WORKS, precision="transformer-engine"),
    "is for GPUs": replace(WORKS, precision="16-mixed", device="cpu"),
    "Train with bf16-mixed": replace(WORKS, precision="bf16-true"),
    "Train with 16-mixed": replace(WORKS, precision="16-true"),
    r"\.float\(\)": replace(WORKS, trained=frozenset({torch.float32, torch.bfloat16})),
    "takes? no mixture": replace(WORKS, precision="32-true", frozen=frozenset({torch.bfloat16})),
    "sparse gradients": replace(WORKS, optimizer=torch.optim.SparseAdam),
    "LBFGS": replace(WORKS, precision="16-mixed", optimizer=torch.optim.LBFGS),
}


def tiny_giant(fused: bool = False) -> TinyGiant:
    torch.manual_seed(0)
    shape = TinyGiantConfig(image_size=(64, 64), geometry="floor_fit", relations=True)
    return TinyGiant(
        shape,
        [Phase("normalized", 9)],
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, fused=fused),
    )


def trained(fused: bool, **trainer: Any) -> dict[str, Tensor]:
    """The weights after three clipped steps."""
    module = tiny_giant(fused)
    bare_trainer(max_steps=3, gradient_clip_val=0.1, **trainer).fit(module, datamodule=MemoryData())
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("said", BROKEN)
def test_what_cannot_work_is_refused(said: str) -> None:
    with pytest.raises(PrecisionError, match=said):
        refuse_unworkable(BROKEN[said])


def test_a_fit_is_refused_for_the_weights_it_has() -> None:
    halved = tiny_giant().bfloat16()
    with pytest.raises(PrecisionError, match=r"trained weights are in half precision.*\.float\(\)"):
        bare_trainer(max_steps=1).fit(halved, datamodule=MemoryData())
    halved.network.fusion.float()
    for parameter in halved.parameters():
        parameter.requires_grad = parameter.dtype is torch.float32
    with pytest.raises(PrecisionError, match="32-true trains float32 weights between frozen ones"):
        bare_trainer(max_steps=1).fit(halved, datamodule=MemoryData())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_losses_are_taken_in_float32_at_least(kind: torch.dtype) -> None:
    expected = torch.float64 if kind is torch.float64 else torch.float32
    assert at_least_float32(torch.ones(1, dtype=kind)).dtype is expected


def test_every_row_of_the_table_is_met_and_none_by_what_works() -> None:
    for refusal in REFUSALS:
        assert any(refusal.applies(combination) for combination in BROKEN.values()), refusal.sentence
        assert not refusal.applies(WORKS)
        # What only answers may be in half precision throughout.
        assert not refusal.applies(Combination("bf16-true", "cpu", False, frozen=frozenset({torch.bfloat16})))


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_fused_optimizer_clips_as_a_plain_one_does(precision: Literal["bf16-mixed", "16-mixed"]) -> None:
    """Under 16-mixed the loss's scale has to be gone before gradients are clipped."""
    plugin = MixedPrecision(
        precision, "cpu", torch.amp.GradScaler("cpu") if precision == "16-mixed" else None
    )
    if precision == "16-mixed":
        # Our own table would stop it on a CPU, where Lightning's own scaler does not exist.
        fused, plain = (_scaled_steps(one, plugin) for one in (True, False))
    else:
        fused, plain = (trained(one, plugins=[plugin]) for one in (True, False))
    assert fused.keys() == plain.keys()
    for name, weights in plain.items():
        torch.testing.assert_close(fused[name], weights, atol=2e-4, rtol=0)


def _scaled_steps(fused: bool, plugin: MixedPrecision) -> dict[str, Tensor]:
    """Three clipped steps of a small layer with a scaled loss."""
    from lightning_modules.precision import leave_scaling_to_trainer

    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 8)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3, fused=fused)
    leave_scaling_to_trainer(optimizer)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(3):
        scaler.scale(layer(torch.ones(2, 8)).square().sum()).backward()
        scaler.unscale_(optimizer)
        plugin.clip_gradients(optimizer, 0.1)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return {name: parameter.detach() for name, parameter in layer.named_parameters()}


def test_an_optimizer_is_asked_about_the_weights_that_are_trained() -> None:
    """Muon takes matrices alone: those of LoRA, but not the biases and norms of a whole model."""
    lora = PeftSft("smolvlm_500m", True, AdapterConfig(), tiny_size=SIZE, optimizer=torch.optim.Muon)
    lora.refuse_unworkable(bare_trainer(), trains=True)
    lora.optimizer_callable([one for one in lora.parameters() if one.requires_grad])
    whole = tiny_giant()
    whole.optimizer_callable = torch.optim.Muon
    with pytest.raises(PrecisionError, match="does not take the weights"):
        whole.refuse_unworkable(bare_trainer(), trains=True)


def test_training_in_half_precision_throughout_is_refused_before_the_first_step() -> None:
    module = tiny_giant()
    with pytest.raises(PrecisionError, match="keeps trained weights in float32"):
        bare_trainer(max_steps=1, precision="bf16-true").fit(module, datamodule=MemoryData())


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", "bf16-mixed"])
def test_tiny_giant_answers_in_every_precision(precision: str) -> None:
    module, data = tiny_giant(), MemoryData()
    module.vocabulary.build(data.texts())
    bare_trainer(precision=precision).test(module, datamodule=data, verbose=False)
    assert module.summary is not None and module.summary["n"] == 16


@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "prompt_tuning", "bottleneck", "full"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_whatever_is_trained_is_in_float32(method: Any, precision: str) -> None:
    """Between frozen weights of half precision: a small step would be rounded away there."""
    with placed(Placement("cuda", precision)):
        module = PeftSft(
            "smolvlm_2b",
            True,
            AdapterConfig(method=method, also_train=() if method == "prompt_tuning" else ("connector",)),
            tiny_size=SIZE,
        )
    assert {p.dtype for p in module.parameters() if p.requires_grad} == {torch.float32}


@pytest.mark.parametrize("trains", [True, False])
def test_weights_in_4_bits_may_lie_elsewhere_than_the_trainer_computes(trains: bool) -> None:
    """As after each fit on a GPU: its end moves the whole model to the CPU, and the test moves it back."""
    module = tiny_giant()
    packed = nn.Parameter(torch.empty(8, 1, dtype=torch.uint8, device="meta"), requires_grad=False)
    packed.quant_state = object()  # type: ignore[attr-defined]  # what bitsandbytes keeps beside its weights
    module.packed = packed
    module.refuse_unworkable(bare_trainer(), trains)


def test_full_precision_between_weights_of_half_precision_is_refused() -> None:
    with placed(Placement("cuda", "bf16-mixed")):
        module = PeftSft("smolvlm_500m", True, AdapterConfig(), tiny_size=SIZE)
    with pytest.raises(PrecisionError, match="no mixture of the two"):
        module.refuse_unworkable(bare_trainer(precision="32-true"), trains=True)
    with placed(Placement("cpu", "32-true")):
        module = PeftSft("smolvlm_500m", True, AdapterConfig(), tiny_size=SIZE)
    module.refuse_unworkable(bare_trainer(precision="32-true"), trains=True)
