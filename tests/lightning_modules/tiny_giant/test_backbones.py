"""A pretrained backbone keeps its batch statistics, from the first step of a training on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning import Callback
from torch import nn

from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.backbones import Backbone
from lightning_modules.tiny_giant.model import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData


class Modes(Callback):
    """Whether batch norms take the statistics of the batch, at each step."""

    def __init__(self) -> None:
        self.seen: list[set[bool]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *step: Any) -> None:
        norms = [each for each in module.network.rgb.modules() if isinstance(each, nn.BatchNorm2d)]
        assert norms
        self.seen.append({norm.training for norm in norms})


@pytest.mark.parametrize(("pretrained", "of_the_batch"), [("none", True), ("file", False)])
def test_statistics_are_frozen_where_weights_are_pretrained(
    tmp_path: Any, pretrained: str, of_the_batch: bool
) -> None:
    """Lightning never says `train()`, and puts every layer back into the mode it had before a validation."""
    torch.manual_seed(0)
    if pretrained == "file":
        weights = tmp_path / "lcnet.pth"
        torch.save(Backbone("lcnet_050", 3, 16).network.state_dict(), weights)
        pretrained = str(weights)
    shape = TinyGiantConfig(
        image_size=(64, 64), width=32, visual_width=16, pretrained=pretrained, global_grid=(2, 2)
    )
    modes = Modes()
    trainer = bare_trainer(max_epochs=2, callbacks=[modes], limit_val_batches=1.0)
    trainer.fit(TinyGiant(shape, [Phase("normalized", 2)]), datamodule=MemoryData())
    assert modes.seen == [{of_the_batch}] * 4
