"""Vision backbones from timm, for RGB and for depth."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from datamodules.samples import SmallSpatialError, did_you_mean
from lightning_modules.batch_statistics import freeze_batch_statistics
from lightning_modules.package_weights import package_weights, timm_network, timm_origin, timm_weights

STRIDES = (8, 16, 32)
"""Which feature maps are used: one for each halving of the image's size from an eighth on."""


class BackboneError(SmallSpatialError):
    """A vision backbone cannot be built as asked."""


class Backbone(nn.Module):
    """A timm network that gives one feature map at an eighth of the image's size.

    Its maps of stride 8, 16 and 32 are projected to one width and added, so that a small region still finds
    fine detail and a large one sees its surroundings.

    Args:
        name: a timm model name with `features_only` support.
        channels: 3 for RGB, 1 for depth.
        width: channels of the feature map.
        pretrained: `none`, `hub`, `package`, or the path of a weights file.

    Attributes:
        origin: where the weights come from.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, channels: int, width: int, pretrained: str = "none") -> None:
        super().__init__()
        weights = None
        if pretrained not in ("none", "hub"):
            file = package_weights(name) if pretrained == "package" else Path(pretrained)
            weights = timm_weights(name, file)
        try:
            self.network = timm_network(
                name, pretrained == "hub", weights, features_only=True, in_chans=channels
            )
        except RuntimeError as error:
            known = did_you_mean(name, timm.list_models())
            raise BackboneError(f"timm cannot make the backbone {name!r}: {error}.{known}") from error
        self.origin = timm_origin(name, pretrained)
        feature_info = self.network.feature_info
        strides = list(feature_info.reduction())
        if not set(STRIDES) <= set(strides):
            raise BackboneError(f"The backbone {name!r} has maps of stride {strides}, not of {STRIDES}.")
        self.levels = [strides.index(stride) for stride in STRIDES]
        maps = feature_info.channels()
        self.project = nn.ModuleList(nn.Conv2d(maps[level], width, 1) for level in self.levels)
        self.freeze_statistics = pretrained != "none"
        config = timm.get_pretrained_cfg(name)
        mean, deviation = (config.mean, config.std) if config and channels == 3 else ((0.5,), (0.5,))
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1), persistent=False)
        # Lightning trains a module in the mode it finds it in, and never says `train()`.
        self.train()

    def train(self, mode: bool = True) -> Backbone:
        """Train mode; a pretrained network's batch statistics stay as they came, they ruin small batches."""
        super().train(mode)
        if self.freeze_statistics:
            freeze_batch_statistics(self.network)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """From uint8 `[images, channels, height, width]` to `[images, width, height / 8, width / 8]`."""
        pixels = (images.to(self.mean.dtype) / 255 - self.mean) / self.deviation
        maps = self.network(pixels.contiguous(memory_format=torch.channels_last))
        total: Tensor = self.project[0](maps[self.levels[0]])
        for level, project in zip(self.levels[1:], self.project[1:], strict=True):
            total = total + nn.functional.interpolate(project(maps[level]), size=total.shape[-2:])
        return total
