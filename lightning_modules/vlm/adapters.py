"""Which of a model's weights are trained, and through which adapter.

Everything is frozen first; then one method unfreezes or adds what it trains. Adapters are peft's, except
bottlenecks (`bottleneck.py`). Which layers get them is said in words (`target_modules.py`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from lightning_modules.base import ModelError
from lightning_modules.vlm.bottleneck import bottleneck_names, insert_bottlenecks
from lightning_modules.vlm.families import Part
from lightning_modules.vlm.prompt_tuning import (
    add_virtual_tokens,
    start_values,
    tied_tables_are_fine,
    virtual_names,
)
from lightning_modules.vlm.target_modules import TargetModules, belongs_to, require_layers

Method = Literal["none", "full", "lora", "dora", "rslora", "ia3", "prompt_tuning", "bottleneck"]

LOW_RANK: tuple[Method, ...] = ("lora", "dora", "rslora")

USUAL_TARGETS: dict[Method, list[TargetModules]] = {
    "lora": ["attention"],
    "dora": ["attention"],
    "rslora": ["attention"],
    "ia3": ["key_value", "feed_forward"],
    "bottleneck": ["attention", "feed_forward"],
}
"""Where a method puts its adapters unless told otherwise: where its authors did."""

ADAPTER = "default"
"""What peft calls a model's only adapter."""


class AdapterError(ModelError):
    """An adapter cannot be made, loaded or merged as asked."""


@dataclass(frozen=True)
class AdapterConfig:
    """What is trained.

    Args:
        method: `none` trains nothing; `full` the parts themselves; `lora`, `dora`, `rslora`, `ia3` and
            `bottleneck` add an adapter to layers; `prompt_tuning` trains the embeddings of added tokens.
        rank: lora, dora, rslora: the rank of the added matrices.
        alpha: lora, dora, rslora: their scale, divided by the rank (rslora: by its root).
        dropout: dropout in front of the added matrices, or within the bottleneck.
        four_bit: the base model's linear layers are held in NF4 (QLoRA).
        parts: the parts of the model that get adapters, or that `full` trains.
        target_modules: which linear layers of these parts get adapters, in words that fit every model; by
            default those the method's authors chose.
        also_train: parts whose own weights are trained beside the adapter.
        virtual_tokens: prompt_tuning: number of added tokens.
        bottleneck_width: bottleneck: features in the narrow layer.

    Raises:
        AdapterError: the settings contradict each other.
    """

    method: Method = "lora"
    rank: int = 16
    alpha: float = 32
    dropout: float = 0.05
    four_bit: bool = False
    parts: Sequence[Part] = ("language_model",)
    target_modules: list[TargetModules] | None = None
    also_train: Sequence[Literal["vision_tower", "connector"]] = ()
    virtual_tokens: int = 20
    bottleneck_width: int = 64

    def __post_init__(self) -> None:
        """Refuse contradictions while the YAML is read."""
        for name in ("rank", "alpha", "virtual_tokens", "bottleneck_width"):
            if getattr(self, name) <= 0:
                raise AdapterError(f"{name} is {getattr(self, name)}; it must be positive.")
        if not 0 <= self.dropout < 1:
            raise AdapterError(f"dropout is {self.dropout}; it must be at least 0 and below 1.")
        if not self.parts and self.method != "none":
            raise AdapterError(f"parts is empty, but {self.method} needs to know what to train.")
        both = set(self.parts) & set(self.also_train)
        if both and self.method not in ("none", "full"):
            raise AdapterError(
                f"{both.pop()} stands in parts and in also_train: give it an adapter, or train it whole."
            )
        if self.method == "none" and self.also_train:
            raise AdapterError("method none trains nothing: leave also_train out, or take method full.")
        if self.method == "full" and self.four_bit:
            raise AdapterError("Weights in 4 bits cannot be trained: take an adapter, or four_bit: false.")
        if self.method == "prompt_tuning" and (list(self.parts) != ["language_model"] or self.also_train):
            raise AdapterError(
                "prompt_tuning trains the added tokens' embeddings alone: set parts to [language_model] and "
                "leave also_train out."
            )
        if self.method in ("none", "full", "prompt_tuning") and self.target_modules is not None:
            raise AdapterError(
                f"method {self.method} puts no adapters into layers: leave target_modules out."
            )
        if self.target_modules == []:
            raise AdapterError(
                "target_modules is empty: name some, or leave it out for the method's usual ones."
            )


def prompt_tokens(config: AdapterConfig) -> list[str]:
    """The tokens that every prompt begins with: `<virtual_0>`, ... for prompt tuning, otherwise none."""
    return virtual_names(config.virtual_tokens) if config.method == "prompt_tuning" else []


def four_bit_config(
    config: AdapterConfig, parts: Mapping[str, str], products: torch.dtype = torch.bfloat16
) -> Any:
    """How transformers loads the base model: in NF4 with double quantisation.

    The connector, parts that are trained whole, and the output head stay as they are.

    Args:
        config: what is trained.
        parts: the dotted names of the model's parts.
        products: the precision in which products are computed.

    Returns:
        A `transformers.BitsAndBytesConfig`, or None unless `config.four_bit`.

    Raises:
        AdapterError: bitsandbytes is not installed.
    """
    if not config.four_bit:
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise AdapterError(
            "four_bit: true needs the package bitsandbytes: install it with `pip install -e '.[qlora]'`, "
            "or set four_bit: false."
        )
    from transformers import BitsAndBytesConfig

    whole = {parts[part] for part in ("connector", *config.also_train) if part in parts}
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=products,
        llm_int8_skip_modules=[*sorted(whole), "lm_head"],
    )


def add_adapter(
    model: Any, parts: Mapping[str, str], config: AdapterConfig, tokenizer: Any = None
) -> nn.Module:
    """Freeze a model and add what is to be trained.

    Args:
        model: a transformers model; it is changed in place.
        parts: the dotted names of its parts.
        config: what to train.
        tokenizer: prompt_tuning: the tokenizer, which learns the added tokens.

    Returns:
        The model to train: a `peft.PeftModel` around it, or itself.

    Raises:
        ModelError: the words for layers mean nothing in a part; the message says what would.
    """
    missing = [part for part in (*config.parts, *config.also_train) if part not in parts]
    if missing and config.method != "none":
        raise AdapterError(f"This model has no {missing[0]}; it has {', '.join(parts)}.")
    model.requires_grad_(False)
    if config.method == "none":
        return model
    if config.method == "full":
        _train_whole(model, parts, {*config.parts, *config.also_train})
        return model
    if config.method == "prompt_tuning":
        return _tune_prompt(model, config, tokenizer)
    words = config.target_modules or USUAL_TARGETS[config.method]
    layers = require_layers(model, parts, config.parts, words)
    if config.method == "bottleneck":
        names = [layer.name for layer in layers if layer.role == "output"]
        if not names:
            raise AdapterError(
                f"target_modules: {list(words)} holds no layer that closes a block; a bottleneck stands "
                "behind attention, feed_forward, or both."
            )
        insert_bottlenecks(model, names, config.bottleneck_width, config.dropout)
        _train_whole(model, parts, set(config.also_train))
        for name in names:
            model.get_submodule(name).bottleneck.requires_grad_(True)
        return model
    if config.method == "ia3":
        # The authors rescale what a feed-forward block holds inside, which is what its last layer takes in.
        layers = [layer for layer in layers if layer.block != "feed_forward" or layer.role == "output"]
    return _wrap(model, parts, config, layers)


def describe_trainable(model: Any, parts: Mapping[str, str]) -> str:
    """A table: for each part, how many parameters it has, how many of them are trained, and how."""
    total = dict.fromkeys(parts, 0)
    trained = dict.fromkeys(parts, 0)
    counted: set[int] = set()
    # What peft has replaced by a trained copy is still there, and not used.
    for name, parameter in _base(model).named_parameters(remove_duplicate=False):
        if id(parameter) in counted or ".original_module." in f".{name}":
            continue
        counted.add(id(parameter))
        part = belongs_to(name, parts)
        total[part] += _count(parameter)
        trained[part] += _count(parameter) * parameter.requires_grad
    rows = [("part", "parameters", "trained", "share", "how")]
    method = method_of(model)
    for part in parts:
        how = "frozen" if not trained[part] else "whole" if trained[part] == total[part] else method
        rows.append((part, *_figures(total[part], trained[part]), how))
    rows.append(("all", *_figures(sum(total.values()), sum(trained.values())), ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _tune_prompt(model: Any, config: AdapterConfig, tokenizer: Any) -> nn.Module:
    if tokenizer is None:
        raise AdapterError("prompt_tuning adds tokens, and needs the model's tokenizer to do so.")
    from peft import TrainableTokensConfig, get_peft_model

    values = start_values(model, tokenizer, config.virtual_tokens)
    ids = add_virtual_tokens(model, tokenizer, config.virtual_tokens)
    embeddings = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is embeddings)
    with tied_tables_are_fine():
        network = get_peft_model(model, TrainableTokensConfig(token_indices=ids, target_modules=[name]))
    delta: Any = model.get_submodule(name)
    with torch.no_grad():
        delta.trainable_tokens_delta[ADAPTER].copy_(values)
    return network


def _wrap(model: Any, parts: Mapping[str, str], config: AdapterConfig, layers: Sequence[Any]) -> nn.Module:
    """LoRA and its relatives, and IA3."""
    from peft import IA3Config, LoraConfig, get_peft_model

    whole = _outermost([parts[part] for part in config.also_train])
    swallowed = [layer.name for layer in layers if any(layer.name.startswith(f"{path}.") for path in whole)]
    if swallowed:
        raise AdapterError(
            f"{swallowed[0]} is to get an adapter, but lies within a part in also_train: in this model one "
            "part lies within the other. Name only one of them."
        )
    shared: dict[str, Any] = {
        "target_modules": [layer.name for layer in layers],
        "modules_to_save": whole or None,
    }
    settings: Any
    if config.method == "ia3":
        inside = [layer.name for layer in layers if layer.block == "feed_forward"]
        settings = IA3Config(feedforward_modules=inside, **shared)
    else:
        settings = LoraConfig(
            r=config.rank,
            # peft's scale is a number, its annotation says a whole one.
            lora_alpha=config.alpha,  # type: ignore[arg-type]
            lora_dropout=config.dropout,
            use_dora=config.method == "dora",
            use_rslora=config.method == "rslora",
            **shared,
        )
    network = get_peft_model(model, settings)
    _train_whole(model, parts, set(config.also_train), copies=True)
    return network


def _train_whole(model: nn.Module, parts: Mapping[str, str], wanted: set[Any], copies: bool = False) -> None:
    """Train the parameters of some parts, in float32: steps of a small learning rate vanish in bfloat16.

    Args:
        model: the model.
        parts: where its parts lie.
        wanted: the parts to train.
        copies: train peft's copies of them, and not what else those copies hold.
    """
    if not wanted:
        return
    for name, parameter in model.named_parameters():
        if copies and ".modules_to_save." not in name:
            continue
        if belongs_to(name.replace(f"modules_to_save.{ADAPTER}.", ""), parts) in wanted:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
        elif copies:
            parameter.requires_grad_(False)


def _outermost(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]


def _base(model: Any) -> Any:
    return (
        model.get_base_model()
        if hasattr(model, "peft_config") and hasattr(model, "get_base_model")
        else model
    )


def method_of(model: Any) -> str:
    """The method that a model's adapter was made with; `partly` for a model without one."""
    if bottleneck_names(model):
        return "bottleneck"
    settings = getattr(model, "peft_config", {}).get(ADAPTER)
    if settings is None:
        return "partly"
    kind = str(settings.peft_type.value).lower()
    if kind == "lora":
        return "dora" if settings.use_dora else "rslora" if settings.use_rslora else "lora"
    return {"trainable_tokens": "prompt_tuning"}.get(kind, kind)


def _count(parameter: nn.Parameter) -> int:
    """Number of values; two 4-bit ones are packed into one byte."""
    packed = getattr(parameter, "quant_state", None)
    return int(torch.Size(packed.shape).numel()) if packed is not None else parameter.numel()


def _figures(total: int, trained: int) -> tuple[str, str, str]:
    return f"{total:,}", f"{trained:,}", f"{100 * trained / max(total, 1):.2f} %"
