"""Writing what was trained: the adapter alone, or the model with the adapter merged into its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from lightning_modules.vlm.adapters import AdapterError
from lightning_modules.vlm.bottleneck import bottleneck_names, save_bottlenecks


def save_adapter(network: nn.Module, folder: Path, tokenizer: Any = None) -> bool:
    """Write the adapter of a model into a folder, for `PeftModel.from_pretrained` or `load_adapter`.

    Args:
        network: what `add_adapter` returned.
        folder: the folder to write into.
        tokenizer: written beside the adapter where the adapter consists of added tokens.

    Returns:
        Whether there was an adapter; a model that is trained whole, or not at all, has none.
    """
    from peft import PeftModel, PeftType

    if bottleneck_names(network):
        save_bottlenecks(network, folder)
        return True
    if not isinstance(network, PeftModel):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    # "auto" would ask the hub whether the vocabulary has grown.
    network.save_pretrained(str(folder), save_embedding_layers=False)
    if tokenizer is not None and network.active_peft_config.peft_type == PeftType.TRAINABLE_TOKENS:
        tokenizer.save_pretrained(folder)
    return True


def merge(network: nn.Module, adapter: Path) -> Any:
    """The base model with the adapter in its weights, in the precision of its token table.

    A 4-bit base model becomes one of plain weights with the same values first: merging into 4 bits would
    round the adapter away.

    Args:
        network: what `add_adapter` returned; it is used up.
        adapter: the folder that `save_adapter` wrote it to.

    Raises:
        AdapterError: bottlenecks have no place in the model's own weights.
    """
    from peft import PeftModel

    if bottleneck_names(network):
        raise AdapterError(
            "Bottleneck adapters are layers of their own and cannot be merged into the model's weights: "
            "leave MERGE out, and open the adapter folder with lightning_modules.vlm.adapters.load_adapter."
        )
    model: Any = network
    if isinstance(network, PeftModel):
        if getattr(network.get_base_model(), "is_quantized", False):
            network = PeftModel.from_pretrained(network.unload().dequantize(), str(adapter))
        model = network.merge_and_unload()
    return model.to(model.get_input_embeddings().weight.dtype)
