"""Bottleneck adapters: small layers after attention and feed-forward (Houlsby et al., 2019).

Each closes a block: after the block's last linear layer its output goes through a narrow layer and back, and
is added to itself. The way back starts at zero, so that a fresh adapter changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from datamodules.samples import why_not_readable
from lightning_modules.base import ModelError
from lightning_modules.vlm.whole_weights import adapter_lacks, adapter_tensors

SETTINGS = "bottleneck.json"
WEIGHTS = "bottleneck.safetensors"


class Bottleneck(nn.Module):
    """Down to `width`, GELU, dropout, and up again; held in float32, whatever the model's precision.

    Args:
        size: features of what comes in and goes out.
        width: features in between.
        dropout: share of those features that training drops.
    """

    def __init__(self, size: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.down = nn.Linear(size, width, dtype=torch.float32)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(width, size, dtype=torch.float32)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """What is added to `hidden` [..., size]."""
        inner = self.down(hidden.to(self.down.weight.dtype))
        return self.up(self.dropout(nn.functional.gelu(inner))).to(hidden.dtype)


class WithBottleneck(nn.Module):
    """A linear layer followed by a bottleneck.

    Args:
        layer: the layer as it was; a 4-bit one too.
        width: features of the bottleneck.
        dropout: dropout within the bottleneck.
    """

    def __init__(self, layer: nn.Linear, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = layer
        self.bottleneck = Bottleneck(layer.out_features, width, dropout).to(layer.weight.device)

    def forward(self, hidden: Tensor) -> Tensor:
        """The layer's output [..., out_features], with the bottleneck's added."""
        output = self.layer(hidden)
        return output + self.bottleneck(output)


def insert_bottlenecks(model: nn.Module, names: Iterable[str], width: int, dropout: float = 0.0) -> None:
    """Wrap the linear layers of these names."""
    for name in names:
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear), f"{name} is no linear layer"
        model.set_submodule(name, WithBottleneck(layer, width, dropout))


def bottleneck_names(model: nn.Module) -> list[str]:
    """The names of the wrapped layers."""
    return [name for name, module in model.named_modules() if isinstance(module, WithBottleneck)]


def remove_bottlenecks(model: nn.Module) -> None:
    """Put the layers back that were wrapped."""
    for name in bottleneck_names(model):
        wrapped = model.get_submodule(name)
        assert isinstance(wrapped, WithBottleneck)
        model.set_submodule(name, wrapped.layer)


def save_bottlenecks(model: nn.Module, folder: Path, base: str) -> None:
    """Write where the bottlenecks are, and every trained tensor of the model.

    Args:
        model: the model.
        folder: the folder to write into.
        base: where the model without bottlenecks is found; "" where it was made in memory.
    """
    from safetensors.torch import save_file

    names = bottleneck_names(model)
    first = model.get_submodule(names[0])
    assert isinstance(first, WithBottleneck)
    trained = {
        name: parameter.detach().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    settings = {
        "base_model": base,
        "width": first.bottleneck.down.out_features,
        "layers": names,
        "tensors": sorted(trained),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(trained, folder / WEIGHTS)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")


def load_bottlenecks(model: nn.Module, folder: Path) -> nn.Module:
    """Give a base model the bottlenecks that a folder holds.

    Raises:
        ModelError: the bottlenecks were trained in another model, or not all of their tensors are there.
    """
    file = folder / SETTINGS
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The adapter's file {file} cannot be read. {why_not_readable(file)}".rstrip()
        ) from error
    weights = adapter_tensors(folder / WEIGHTS)
    if absent := sorted(set(settings.get("tensors", ())) - weights.keys()):
        raise adapter_lacks(folder, absent, len(settings["tensors"]))
    modules = dict(model.named_modules())
    missing = [name for name in settings["layers"] if not isinstance(modules.get(name), nn.Linear)]
    if not missing:
        insert_bottlenecks(model, settings["layers"], settings["width"])
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        missing = [name for name, tensor in weights.items() if shapes.get(name) != tensor.shape]
    if missing:
        remove_bottlenecks(model)
        trained_in = settings["base_model"] or "made in memory"
        raise ModelError(
            f"The adapter in {folder} was trained in another model ({trained_in}): "
            f"{missing[0]!r} is not in this one, or has another size. Load that model, or train a new one."
        )
    model.load_state_dict(weights, strict=False)
    return model
