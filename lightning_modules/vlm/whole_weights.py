"""Loading weights whole: one that is missing, of another shape, or damaged is an error and no warning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.samples import why_not_readable
from lightning_modules.base import ModelError
from lightning_modules.model_source import ModelSource, first_line

NAMED_AT_MOST = 3

EXPORT_AGAIN = "Copy the folder again from where it was trained, or write it again with `make export`."

Mismatch = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A tensor's name, its shape in the file, and its shape in the model."""


def load_whole(auto_class: Any, source: ModelSource, **options: Any) -> Any:
    """A model of transformers with all of its weights.

    Args:
        auto_class: the class whose `from_pretrained` is called.
        source: where the model is.
        options: passed on to it.

    Raises:
        ModelError: weights are missing, have other shapes than the configuration says, lie in a layer that
            the configuration does not have, or are in a file that is damaged or absent.
        ImportError: a package is missing.
        OSError, ValueError: whatever else transformers finds wrong.
    """
    from safetensors import SafetensorError

    try:
        model, report = auto_class.from_pretrained(
            source.place,
            revision=source.commit(),
            output_loading_info=True,
            # Named by `require_whole`, with their shapes.
            ignore_mismatched_sizes=True,
            **options,
        )
    except torch.OutOfMemoryError:
        raise
    except (
        *(SafetensorError, UnpicklingError, RuntimeError, FileNotFoundError),
        *(json.JSONDecodeError, KeyError, AttributeError, AssertionError),
    ) as error:
        if damaged := damaged_file(Path(source.place)):
            raise ModelError(
                f"The weights of {source} cannot be loaded: {damaged} {_again(source)}"
            ) from error
        if isinstance(error, (OSError, KeyError, AttributeError)):
            raise
        if isinstance(error, NotImplementedError) and "Meta" in str(error):
            # What had another shape was left without values, and then looked at.
            raise ModelError(
                f"{source} holds weights of another shape than its config.json says, most likely those of "
                f"its vocabulary. {_again(source)}"
            ) from error
        advice = "" if isinstance(error, RuntimeError) else f" {_again(source)}"
        raise ModelError(f"The weights of {source} cannot be loaded: {first_line(error)}{advice}") from error
    require_whole(model, report, source)
    return model


def require_whole(model: nn.Module, report: dict[str, Any], source: ModelSource) -> None:
    """Raise `ModelError` where a model was not given all of its weights.

    What may be left out is left out of the report already: tied heads, and buffers that are computed. A
    tensor that the model has no place for is an error where it belongs to a layer: the model would be another
    one. Others, such as a head for another task, are said in a line.
    """
    missing = sorted(report["missing_keys"])
    total = len(model.state_dict())
    if missing:
        raise ModelError(
            f"{source} lacks {_number(len(missing), total)} weights of its model: {_listed(missing)}. They "
            f"would be random. {_again(source)}"
        )
    mismatched = sorted({*report["mismatched_keys"], *_mismatched_in_4_bits(model)})
    if mismatched:
        shown = [
            f"{name} is {_shape(there)} instead of {_shape(wanted)}" for name, there, wanted in mismatched
        ]
        raise ModelError(
            f"{source} holds {_number(len(mismatched), total)} weights of another shape than its config.json "
            f"says: {_listed(shown)}. {_again(source)}"
        )
    unused = sorted(report["unexpected_keys"])
    if cut := [name for name in unused if _lies_in_a_layer(model, name)]:
        raise ModelError(
            f"{source} holds {len(cut):,} weights that its config.json leaves no place for: {_listed(cut)}. "
            f"The model would run without them. {_again(source)}"
        )
    if unused:
        print(f"{source} holds {len(unused):,} weights that its model does not use: {_listed(unused)}.")


def damaged_file(folder: Path) -> str | None:
    """A sentence that names the first weights file of a folder that is absent or cannot be opened."""
    from safetensors import SafetensorError, safe_open

    for index in sorted(folder.glob("*.index.json")):
        try:
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            return f"{index} cannot be read ({first_line(error)}). {why_not_readable(index)}".rstrip()
        absent = [name for name in shards if not (folder / name).is_file()]
        if absent:
            return (
                f"{folder} lacks {len(absent)} of the {len(shards)} files of {index.name}: {_listed(absent)}."
            )
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            return f"the file {file} is damaged ({first_line(error)}). {why_not_readable(file)}".rstrip()
    return None


def adapter_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of an adapter's file.

    Raises:
        ModelError: the file is absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise ModelError(f"{file.parent} holds no whole adapter: {file.name} is missing. {EXPORT_AGAIN}")
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The adapter's file {file} is damaged ({first_line(error)}). "
            f"{why_not_readable(file) or EXPORT_AGAIN}"
        ) from error


def adapter_lacks(folder: Path, missing: Sequence[str], total: int) -> ModelError:
    """The error where a folder lacks tensors of its adapter."""
    return ModelError(
        f"The adapter in {folder} lacks {_number(len(missing), total)} tensors: {_listed(missing)}. They "
        f"would be untrained. {EXPORT_AGAIN}"
    )


def _mismatched_in_4_bits(model: nn.Module) -> list[Mismatch]:
    """Layers in 4 bits of another shape than theirs, which transformers packs without a look at it."""
    found: list[Mismatch] = []
    for name, module in model.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and isinstance(module, nn.Linear):
            there, wanted = tuple(state.shape), (module.out_features, module.in_features)
            if there != wanted:
                found.append((f"{name}.weight", there, wanted))
    return found


def _lies_in_a_layer(model: nn.Module, name: str) -> bool:
    """Whether a tensor is a weight of a layer that the model has, or of one more in a row of its layers."""
    layer, _, tensor = name.rpartition(".")
    modules = dict(model.named_modules())
    if layer in modules:
        return tensor in ("weight", "bias")
    while layer and layer not in modules:
        layer, _, following = layer.rpartition(".")
    return isinstance(modules[layer], nn.ModuleList) and following.isdecimal()


def _again(source: ModelSource) -> str:
    """What to do."""
    if source.is_folder:
        return (
            f"Write {source} again with save_pretrained, or fetch it again; config.json and weights have to "
            "be of the same model."
        )
    return f"Fetch it again with `hf download {source.place} --force-download`, or name another revision."


def _number(count: int, total: int) -> str:
    return f"{count:,} of {total:,}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED_AT_MOST]) + (", ..." if len(names) > NAMED_AT_MOST else "")


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"
