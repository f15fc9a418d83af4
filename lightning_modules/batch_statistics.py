"""Batch normalisation that does not learn."""

from __future__ import annotations

from torch import nn


def freeze_batch_statistics(network: nn.Module) -> None:
    """Put batch normalisation into evaluation mode: pretrained statistics stay as they came.

    Small batches of alike images would ruin them. To be called after every change to train mode.
    """
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
