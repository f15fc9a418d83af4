"""Adapters in folders: writing what was trained, giving it to a base model again, merging the two.

`lightning_modules/vlm/bottleneck.py` writes its own folders; all others are peft's.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from torch import nn

from lightning_modules.vlm.adapters import ADAPTER, AdapterError
from lightning_modules.vlm.bottleneck import SETTINGS, bottleneck_names, load_bottlenecks, save_bottlenecks
from lightning_modules.vlm.prompt_tuning import make_room, suppress, tied_tables_are_fine, virtual_names


def save_adapter(network: nn.Module, folder: Path, tokenizer: Any = None, base: str | None = None) -> bool:
    """Write the adapter of a model into a folder, for `PeftModel.from_pretrained` or `load_adapter`.

    Args:
        network: what `add_adapter` returned.
        folder: the folder to write into.
        tokenizer: written beside the adapter where the adapter consists of added tokens.
        base: where the base model is found; by default where it was loaded from.

    Returns:
        Whether there was an adapter; a model that is trained whole, or not at all, has none.
    """
    from peft import PeftModel, PeftType

    if bottleneck_names(network):
        save_bottlenecks(network, folder)
        return True
    if not isinstance(network, PeftModel):
        return False
    settings: Any = network.active_peft_config
    settings.base_model_name_or_path = base or _findable(settings.base_model_name_or_path)
    folder.mkdir(parents=True, exist_ok=True)
    # "auto" would ask the hub whether the vocabulary has grown.
    network.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").write_text(_readme(settings))
    if tokenizer is not None and settings.peft_type == PeftType.TRAINABLE_TOKENS:
        tokenizer.save_pretrained(folder)
    return True


def load_adapter(model: Any, folder: Path | str) -> nn.Module:
    """Give a base model the adapter that a folder holds.

    Raises:
        AdapterError: the folder holds none, or one that was trained in another model.
    """
    folder = Path(folder)
    if (folder / SETTINGS).exists():
        return load_bottlenecks(model, folder)
    if not (folder / "adapter_config.json").exists():
        raise AdapterError(
            f"{folder} holds no adapter: adapter_config.json is missing. `make export` writes such a folder."
        )
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file

    settings: Any = PeftConfig.from_pretrained(str(folder))
    trained_in = settings.base_model_name_or_path or ""
    here = getattr(model, "name_or_path", "") or ""
    other = AdapterError(
        f"The adapter in {folder} was trained in another model ({trained_in or 'a twin'}) than this one "
        f"({here or 'a twin'}): load that model, or train a new adapter."
    )
    if (
        trained_in
        and here
        and trained_in != here
        and not any(Path(name).exists() for name in (trained_in, here))
    ):
        raise other
    if ids := getattr(settings, "token_indices", None):
        make_room(model, max(ids) + 1)
        suppress(model, ids)
    try:
        with tied_tables_are_fine():
            network = PeftModel.from_pretrained(model, str(folder))
    except (ValueError, RuntimeError) as error:
        raise other from error
    shapes = {name: tensor.shape for name, tensor in load_file(folder / "adapter_model.safetensors").items()}
    loaded = get_peft_model_state_dict(network, save_embedding_layers=False)
    if shapes != {name: tensor.shape for name, tensor in loaded.items()}:
        raise other
    return network


def load_trained(model: nn.Module, checkpoint: Path | str) -> None:
    """Give a model the tensors that a run which trained it whole (`method: full`) has in its checkpoint.

    Raises:
        AdapterError: the file is no such checkpoint, or one of another model.
    """
    import torch

    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)["state_dict"]
    except (OSError, RuntimeError, KeyError, UnpicklingError) as error:
        raise AdapterError(f"{checkpoint} is not the checkpoint of a run: {error}") from error
    trained = {name.removeprefix("network."): tensor for name, tensor in state.items()}
    there = model.state_dict()
    for name, tensor in trained.items():
        if name not in there or there[name].shape != tensor.shape:
            raise AdapterError(
                f"The checkpoint {checkpoint} holds {name} of the shape {tuple(tensor.shape)}, which this "
                "model does not have: it was trained as another model, or with an adapter, whose folder is "
                "needed then. Give the model's own settings, or the folder as `adapter`."
            )
    model.load_state_dict(trained, strict=False)


def require_mergeable(network: nn.Module) -> None:
    """Raise `AdapterError` where a merged model could not be, or would answer otherwise.

    Bottlenecks have no place in the model's own weights. DoRA over 4-bit weights computes something else than
    over the plain weights that they stand for (logits of a small model differed by a sixth of their size).
    """
    from peft import PeftModel

    wrapped: Any = network if isinstance(network, PeftModel) else None
    in_4_bits = wrapped is not None and getattr(wrapped.get_base_model(), "is_quantized", False)
    if in_4_bits and any(getattr(config, "use_dora", False) for config in wrapped.peft_config.values()):
        raise AdapterError(
            "DoRA over 4-bit weights computes otherwise than over plain ones, so a merged model would give "
            "other answers: leave MERGE out, and open the adapter on the model in 4 bits."
        )
    if bottleneck_names(network):
        raise AdapterError(
            "Bottleneck adapters are layers of their own and cannot be merged into the model's weights: "
            "leave MERGE out, and open the adapter folder with lightning_modules.vlm.export.load_adapter."
        )


def merge(network: nn.Module, adapter: Path) -> Any:
    """The base model with the adapter in its weights, in the precision of its token table.

    A 4-bit base model becomes one of plain weights with the same values first: merging into 4 bits would
    round the adapter away.

    Args:
        network: what `add_adapter` returned; it is used up.
        adapter: the folder that `save_adapter` wrote it to.

    Raises:
        AdapterError: it cannot be merged.
    """
    from peft import PeftModel

    require_mergeable(network)
    model: Any = network
    if isinstance(network, PeftModel):
        if getattr(network.get_base_model(), "is_quantized", False):
            plain = _unwrapped(network).dequantize()
            plain.is_loaded_in_4bit = False  # transformers forgets to, and peft asks
            with tied_tables_are_fine():
                network = PeftModel.from_pretrained(plain, str(adapter))
        _put_copies_in_place(network)
        model = network.merge_and_unload()
    return model.to(model.get_input_embeddings().weight.dtype)


def _unwrapped(network: Any) -> Any:
    """The base model as it was; peft's own `unload` refuses to take IA3 off 4-bit weights."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import ModulesToSaveWrapper

    model = network.get_base_model()
    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            model.set_submodule(name, module.original_module)
        elif isinstance(module, BaseTunerLayer):
            model.set_submodule(name, module.get_base_layer())
    model.__dict__.pop("peft_config", None)
    return model


def _put_copies_in_place(network: Any) -> None:
    """Replace parts by their trained copies, over which peft's merging of IA3 stumbles."""
    from peft.utils.other import ModulesToSaveWrapper

    model = network.get_base_model()
    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            model.set_submodule(name, module.modules_to_save[ADAPTER])


def _readme(settings: Any) -> str:
    """How to open the adapter, in place of the form that peft leaves to be filled in."""
    base = settings.base_model_name_or_path or "the twin that `make export` writes"
    lines = [
        "---",
        f"base_model: {settings.base_model_name_or_path!r}",
        "library_name: peft",
        "---",
        f"An adapter for {base}.",
        "",
        "    model = AutoModelForImageTextToText.from_pretrained(BASE_MODEL)",
    ]
    if ids := getattr(settings, "token_indices", None):
        lines += [
            f"    model.resize_token_embeddings({max(ids) + 1})  # unless it has as many rows or more",
            "    model = PeftModel.from_pretrained(model, THIS_FOLDER)",
            "",
            f"Every prompt begins with {' '.join(virtual_names(len(ids)))}, which the tokenizer here knows.",
        ]
    else:
        lines += ["    model = PeftModel.from_pretrained(model, THIS_FOLDER)"]
    return "\n".join(lines) + "\n"


def _findable(name: str | None) -> str:
    """A model's name, or nothing for a twin, which may have gone through a temporary folder."""
    return "" if not name or (Path(name).is_absolute() and not Path(name).exists()) else name
