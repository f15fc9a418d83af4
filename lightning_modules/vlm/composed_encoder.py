"""Any timm network as the vision tower of a composed vision-language model."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from lightning_modules.base import ModelError
from lightning_modules.batch_statistics import freeze_batch_statistics
from lightning_modules.package_weights import timm_network


class VisionTower(nn.Module):
    """A timm network without its head, which gives a map of features.

    Batch normalisation keeps its statistics, in training as well.

    Args:
        name: a timm model name.
        image_size: edge of the square image, in pixels.
        pretrained: take the weights that timm knows of.
        weights: take these weights instead, under timm's names.

    Raises:
        ModelError: timm has no such network, or cannot make it for this size.
        WeightsError: its weights cannot be had, or not all of them.
    """

    def __init__(
        self, name: str, image_size: int, pretrained: bool = False, weights: dict[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        arguments: dict[str, Any] = {"num_classes": 0, "global_pool": ""}
        known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
        if known is not None and known.fixed_input_size:
            # Position embeddings are made, or resampled, for this size; convolutions take any.
            arguments["img_size"] = image_size
        try:
            self.network: Any = timm_network(name, pretrained, weights, **arguments)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ModelError(
                f"timm cannot make the vision encoder {name!r} for images of {image_size} pixels: {error}"
            ) from error
        self.prefix_tokens = int(getattr(self.network, "num_prefix_tokens", 0))
        self.channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
        patches = getattr(self.network, "patch_embed", None)
        self.patch_grid: tuple[int, int] | None = getattr(patches, "grid_size", None)

    def train(self, mode: bool = True) -> VisionTower:
        """Train mode, but for batch statistics."""
        super().train(mode)
        freeze_batch_statistics(self)
        return self

    def forward(self, pixel_values: Tensor) -> Tensor:
        """From normalised `[images, 3, size, size]` to features `[images, channels, height, width]`."""
        features: Tensor = self.network.forward_features(pixel_values)
        if features.ndim == 3:
            assert self.patch_grid is not None, "a sequence of tokens comes from patches"
            # Class and register tokens say nothing about where.
            return features[:, self.prefix_tokens :].transpose(1, 2).unflatten(2, self.patch_grid)
        return features.permute(0, 3, 1, 2) if self.channels_last else features


def default_image_size(name: str) -> int:
    """The edge of the images an encoder was made for, in pixels.

    Raises:
        ModelError: timm has no such network.
    """
    if not timm.is_model(name):
        similar = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        hint = f", but for example {', '.join(similar)}" if similar else ""
        raise ModelError(f"timm has no vision encoder {name!r}{hint}.")
    config = timm.get_pretrained_cfg(name)
    return int(config.input_size[-1]) if config else 224


def feature_map_shape(name: str, image_size: int) -> tuple[int, int, int]:
    """Channels, height and width of an encoder's features, without computing or allocating them.

    Raises:
        ModelError: an image of this size has no patch.
    """
    with torch.device("meta"):
        tower = VisionTower(name, image_size).eval()
        patches = getattr(tower.network, "patch_embed", None)
        edge = int(patches.patch_size[0]) if patches is not None else 1
        if image_size < edge:
            raise ModelError(
                f"model.image_size is {image_size}, less than one patch of the encoder {name}: take a "
                f"multiple of {edge} pixels."
            )
        channels, height, width = tower(torch.zeros(1, 3, image_size, image_size)).shape[1:]
    return int(channels), int(height), int(width)
