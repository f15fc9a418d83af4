"""The whole network against its description, computed question by question; a step of training likewise."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial
from typing import Any

import pytest
import torch
from lightning import Callback
from torch import Tensor, nn

from datamodules.samples import SpatialSample
from lightning_modules.base import Batch
from lightning_modules.phases import Phase
from lightning_modules.schedule import WarmupCosine
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.model import TinyGiantNetwork
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.tiny_giant.vocabulary import NUMBER
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData
from tests.helpers.plain_tiny_giant import PlainTinyGiant
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import CONFIG, collator_for

FULL = dataclasses.replace(CONFIG, image_size=(96, 64), global_grid=(2, 3), experts=5, top_k=2)
SENTENCE = "The answer about [Region 1] is 2.32 and 0.02 about [Region 0] ."
CONFIGURATIONS = {
    "everything": FULL,
    "three experts a word": dataclasses.replace(FULL, top_k=3, fusion_layers=1, decoder_layers=1),
    "paper": dataclasses.replace(FULL, geometry="none", relations=False, fusion_layers=1),
    "all that measures": dataclasses.replace(
        FULL,
        geometry="containment",
        scale="picture",
        count_head=True,
        picture_counts=True,
        focus=True,
        depth_encoding="floor",
    ),
    "depth alone": dataclasses.replace(FULL, rgb_backbone=None, scale="picture", focus=True),
    "geometry alone": dataclasses.replace(
        FULL, rgb_backbone=None, depth_backbone=None, focus=True, scale="regions"
    ),
    "counted by what hides": dataclasses.replace(
        FULL,
        rgb_backbone=None,
        depth_backbone=None,
        geometry="containment",
        focus=True,
        count_head=True,
        picture_counts=True,
    ),
    "rgb alone": dataclasses.replace(FULL, depth_backbone=None, geometry="mask", experts=0),
}


def asked() -> list[SpatialSample]:
    """Of two images, one of them without depth; one question is about no image, one about no region."""
    first, second = ([one.replace(rationale=SENTENCE) for one in questions(n, size=(96, 64))] for n in (0, 1))
    flat = [one.replace(depth=None) for one in first[:2]]
    blind = second[1].replace(image=None, depth=None, regions=())
    whole = second[2].replace(question="How many pallets ?", regions=(), rationale="3 pallets .")
    return [flat[0], second[1], flat[1], second[0], second[3], blind, whole]


def unsettled(network: nn.Module) -> None:
    """Biases and scales that begin at 0 or 1 would hide what is done with them."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)


def network_for(config: TinyGiantConfig) -> TinyGiantNetwork:
    torch.manual_seed(0)
    network = TinyGiantNetwork(config).eval()
    unsettled(network)
    return network


@pytest.mark.parametrize("halved", [False, True], ids=["whole", "after dropout"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_network_computes_what_its_description_says(name: str, halved: bool) -> None:
    config = CONFIGURATIONS[name]
    network, batch = network_for(config), collator_for(config)(asked())
    plain = PlainTinyGiant(network, 0.5 if halved else 1.0)
    for layer in network.modules() if halved else ():
        if isinstance(layer, nn.Dropout):
            layer.register_forward_hook(lambda layer, given, made: made / 2)
    with torch.no_grad():
        encoded, routings = network.encode(batch)
        tokens, values = batch["free_form"], batch["free_form_values"]
        written = network.decoder(tokens[:, :-1], values[:, :-1], encoded)
        logits, log_values = written.logits, written.log_values
        for q, (expected, measured) in enumerate(plain(batch, "free_form")):
            length, count = expected.shape
            torch.testing.assert_close(logits[q, :length, :count], expected, atol=5e-4, rtol=1e-4)
            torch.testing.assert_close(log_values[q, :length], measured, atol=5e-4, rtol=1e-4)
    assert len(routings) == len(plain.routers)


def losses_of(plain: PlainTinyGiant, batch: Batch, weights: dict[str, float]) -> dict[str, Tensor]:
    """The four terms as the papers have them: cross-entropy, Huber, Switch (eq. 4) and ST-MoE (eq. 5)."""
    words, numbers = [], [torch.zeros(())]
    for q, (logits, log_values) in enumerate(plain(batch, "normalized")):
        target, values = batch["normalized"][q, 1:], batch["normalized_values"][q, 1:]
        for step, chances in enumerate(logits.log_softmax(-1)):
            words.append(-chances[target[step]])
            if target[step] == NUMBER:
                off = (log_values[step] - values[step].clamp(min=0.05).log()).abs()
                numbers.append(off - 0.05 if off > 0.1 else off**2 / 0.2)
    balance, z = [], []
    for logits in map(torch.stack, plain.routers.values()):
        balance.append(logits.shape[1] * (shares_of(logits) * logits.softmax(-1).mean(0)).sum())
        z.append(logits.exp().sum(-1).log().square().mean())
    return {
        "word_loss": torch.stack(words).mean(),
        "number_loss": weights["value_weight"] * torch.stack(numbers).sum() / len(batch["question"]),
        "balance_loss": weights["balance_weight"] * torch.stack(balance).mean(),
        "z_loss": weights["z_weight"] * torch.stack(z).mean(),
    }


def shares_of(logits: Tensor) -> Tensor:
    """What share of the choices of the two best experts a word went to each."""
    return torch.zeros_like(logits).scatter(1, logits.topk(2, -1).indices, 0.5).mean(0)


class FirstBatch(Callback):
    """Keeps the first batch, and the network that it is trained on."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Batch, index: int) -> None:
        self.batch, self.network = batch, copy.deepcopy(module.network)


def test_a_step_of_training_descends_the_four_losses_and_logs_them() -> None:
    weights: Any = {"balance_weight": 0.3, "z_weight": 0.2, "value_weight": 0.7}
    descend, constant = partial(torch.optim.SGD, lr=1.0), WarmupCosine(0.0, 1.0)
    torch.manual_seed(0)
    giant = TinyGiant(FULL, [Phase("normalized", 1)], optimizer=descend, schedule=constant, **weights)
    unsettled(giant)
    first, trainer = FirstBatch(), bare_trainer(max_steps=1, log_every_n_steps=1)
    trainer.callbacks.append(first)  # type: ignore[attr-defined]
    trainer.fit(giant, MemoryData(images=1, batch_size=1))
    plain = PlainTinyGiant(first.network)
    terms = losses_of(plain, first.batch, weights)
    total = torch.stack(list(terms.values())).sum()
    expected = {f"train/{name}": float(term.detach()) for name, term in {"loss": total, **terms}.items()}
    for layer, logits in enumerate(map(torch.stack, plain.routers.values())):
        chances = logits.detach().softmax(-1)
        entropy = -(chances * chances.log()).sum(-1).mean() / torch.tensor(float(chances.shape[1])).log()
        expected[f"router/layer{layer}/entropy"] = float(entropy)
        for expert, share in enumerate(shares_of(logits)):
            expected[f"router/layer{layer}/expert{expert}"] = float(share)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert logged == pytest.approx(expected, rel=1e-4)
    after = dict(giant.network.named_parameters())
    before = dict(first.network.named_parameters())
    slopes = torch.autograd.grad(total, list(before.values()), materialize_grads=True, allow_unused=True)
    for (name, parameter), slope in zip(before.items(), slopes, strict=True):
        torch.testing.assert_close(parameter - after[name], slope, atol=2e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("part", ["fusion", "decoder"])
def test_dropout_is_drawn_in_training_and_nowhere_else(part: str) -> None:
    none: Any = {"fusion": {"decoder_layers": 0}, "decoder": {"fusion_layers": 0}}[part]
    network, batch = network_for(dataclasses.replace(CONFIG, dropout=0.5, **none)), collator_for()(asked())

    def logits() -> Tensor:
        encoded, _ = network.encode(batch)
        return network.decoder(batch["normalized"], batch["normalized_values"], encoded).logits

    with torch.no_grad():
        assert torch.equal(logits(), logits())
        for layer in network.train().modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        assert not torch.allclose(logits(), logits(), atol=1e-2)
