"""Models in 4 bits: what of them is, how that is said to transformers, and making it plain again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


def quantized_part(network: nn.Module) -> Any:
    """The model of transformers that was loaded in few bits: a whole one, or a composed one's language model.

    Returns:
        It, or None where all weights are plain.
    """
    return next((module for module in network.modules() if getattr(module, "hf_quantizer", None)), None)


def loading_settings(network: nn.Module, parts: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a `BitsAndBytesConfig` that loads the whole model as it is here; {} where it is plain.

    Args:
        network: the model, with or without an adapter.
        parts: the dotted names of its parts.
    """
    quantized = quantized_part(network)
    if quantized is None:
        return {}
    settings: dict[str, Any] = quantized.hf_quantizer.quantization_config.to_diff_dict()
    settings.pop("_load_in_4bit", None)
    packed = [name for name, module in network.named_modules() if hasattr(module, "quant_state")]
    # A composed model has its language model in 4 bits alone; loaded whole, all of it would be.
    plain = {path for path in parts.values() if not any(f".{path}." in f".{name}" for name in packed)}
    settings["llm_int8_skip_modules"] = sorted({*(settings.get("llm_int8_skip_modules") or ()), *plain})
    return settings


def make_plain(model: Any) -> Any:
    """Give a model in 4 bits plain weights of the same values, in place."""
    quantized = quantized_part(model)
    if quantized is not None:
        quantized.dequantize()
        quantized.is_loaded_in_4bit = False  # transformers forgets to, and peft asks
    return model
