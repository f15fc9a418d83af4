"""The smallest tiny random models, and a question for them; shared by tests of adapters and export."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from lightning_modules.vlm.adapters import AdapterConfig, add_adapter, prompt_tokens
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model

SIZE = TinySize(width=64, layers=2, vision_layers=2)
NAMES = ("smolvlm", "qwen2_5_vl", "internvl", "paligemma")
"""A tiny random model of each kind of model; SmolVLM's two families have the same layers."""

METHODS = ("lora", "dora", "rslora", "ia3", "bottleneck", "prompt_tuning", "full")


def tiny_model(name: str) -> tuple[Any, Any]:
    """A model and its processor."""
    return make_tiny_model(name, size=SIZE)


def adapted(name: str, config: AdapterConfig) -> tuple[Any, Any]:
    """A tiny random model with an adapter, and its processor."""
    model, processor = tiny_model(name)
    network = add_adapter(model, FAMILIES[name].parts, config, processor.tokenizer)
    return network.eval(), processor


def question(processor: Any, config: AdapterConfig | None = None) -> dict[str, Tensor]:
    """An image and a question; for prompt tuning the added tokens stand in front of it."""
    added = "".join(prompt_tokens(config)) if config else ""
    image = Image.linear_gradient("L").resize((112, 112)).convert("RGB")
    text = f"{processor.image_token}{added}How many chairs are there?"
    batch = processor(text=[text], images=[[image]], return_tensors="pt")
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


@torch.no_grad()
def logits(network: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """What the network says of every next token [1, tokens, vocabulary]."""
    return network(**inputs).logits


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    """The trained parameters by name."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def as_if_trained(network: nn.Module) -> None:
    """Move every trained parameter away from where it began."""
    generator = torch.Generator().manual_seed(1)
    for parameter in trained(network).values():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
