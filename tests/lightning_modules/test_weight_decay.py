"""What decays: what the recipe says, and neither biases, norms nor scales."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.optimizers import optimizer_of
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.small_models import SIZE, as_if_trained
from tests.helpers.stub import StubData, StubModule

RATE, DECAY = 0.1, 0.5
MAKE = partial(torch.optim.AdamW, lr=RATE, weight_decay=DECAY)


def shrunk(module: nn.Module, decay: Any = "matrices") -> dict[str, float]:
    """What is left of each trained parameter after a step on gradients of 0: all that decay does."""
    before = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}
    optimizer = optimizer_of(MAKE, module, decay)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    after = dict(module.named_parameters())
    return {
        name: float(after[name].norm() / values.norm()) for name, values in before.items() if values.norm()
    }


def tiny_giant() -> TinyGiant:
    torch.manual_seed(0)
    shape = TinyGiantConfig(image_size=(64, 64), width=32, visual_width=16, global_grid=(2, 2))
    module = TinyGiant(shape, [Phase("normalized", 1)])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1)
    return module


def test_biases_and_norms_are_spared_and_matrices_decay() -> None:
    found = shrunk(tiny_giant())
    spared = {name for name, share in found.items() if share == pytest.approx(1)}
    decayed = {name for name, share in found.items() if share == pytest.approx(1 - RATE * DECAY, rel=1e-4)}
    assert spared | decayed == found.keys()
    assert all(name in spared for name in found if name.endswith("bias") or "norm" in name)
    # Biases of several experts stand together in one matrix.
    assert {name for name in spared if name.endswith(("up_bias", "down_bias"))}
    assert all(name in decayed for name in found if name.endswith((".up", ".down", "embedding.weight")))


def test_everything_decays_where_one_says_so() -> None:
    assert {round(share, 4) for share in shrunk(tiny_giant(), "all").values()} == {0.95}


@pytest.mark.parametrize(
    ("method", "spared"),
    [("ia3", "ia3_l"), ("dora", "lora_magnitude_vector"), ("lora", None), ("bottleneck", "bias")],
)
def test_the_scales_of_an_adapter_are_spared_and_its_matrices_decay(method: Any, spared: str | None) -> None:
    """IA3 and DoRA multiply by their vectors: 1 changes nothing, where 0 switches a layer off."""
    module = PeftSft("smolvlm_500m", True, AdapterConfig(method=method), tiny_size=SIZE)
    as_if_trained(module.network)
    found = shrunk(module)
    for name, share in found.items():
        expected = 1.0 if spared and spared in name else 1 - RATE * DECAY
        assert share == pytest.approx(expected, rel=1e-4), name


@pytest.mark.parametrize(
    "make", [partial(torch.optim.SGD, lr=0.1), partial(torch.optim.AdamW, weight_decay=0.0)]
)
def test_without_decay_there_is_one_group(make: Any) -> None:
    assert len(optimizer_of(make, tiny_giant(), "matrices").param_groups) == 1


def test_every_trained_parameter_is_in_one_group() -> None:
    module = tiny_giant()
    module.network.embedding.weight.requires_grad_(False)
    groups = optimizer_of(MAKE, module, "matrices").param_groups
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(p) for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize(("decay", "expected"), [("matrices", {2: 0.5, 1: 0.0}), ("all", {2: 0.5, 1: 0.5})])
def test_a_fit_decays_what_its_module_says(decay: Any, expected: dict[int, float]) -> None:
    module, trainer = StubModule(optimizer=MAKE), bare_trainer(max_steps=1)
    module.decay = decay
    trainer.fit(module, StubData(num_workers=0))
    groups = trainer.optimizers[0].param_groups
    assert {p.dim(): group["weight_decay"] for group in groups for p in group["params"]} == expected
