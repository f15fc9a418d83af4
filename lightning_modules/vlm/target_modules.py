"""From words a reader knows ("attention", "feed_forward") to the names of a model's layers.

Families name the same layer differently: `o_proj`, `out_proj`, `proj` and `projection_layer` all close an
attention. The words are resolved by looking at the model itself, under one of its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from lightning_modules.base import ModelError

TargetModules = Literal["attention", "query_value", "key_value", "feed_forward", "all_linear"]
"""Which linear layers get an adapter.

`attention`: all of an attention (queries, keys, values, output). `query_value`, `key_value`: two of them,
which a model with one fused layer for all three does not have. `feed_forward`: the layers between two
attentions. `all_linear`: every linear layer of the part.
"""

ATTENTION_ROLES = {
    "q_proj": "query",
    "query": "query",
    "k_proj": "key",
    "key": "key",
    "v_proj": "value",
    "value": "value",
    "o_proj": "output",
    "out_proj": "output",
    "proj": "output",
    "projection_layer": "output",
    "dense": "output",
}
"""What the layers inside an attention do, by their names; any other name is "fused"."""

TARGET_ROLES: dict[TargetModules, set[str]] = {
    "attention": {"query", "key", "value", "output", "fused"},
    "query_value": {"query", "value"},
    "key_value": {"key", "value"},
}


@dataclass(frozen=True)
class Layer:
    """A linear layer and what it is for.

    Attributes:
        name: its dotted name in the model.
        block: "attention", "feed_forward" or "other".
        role: "query", "key", "value", "fused", "output" for what closes a block, or "inner".
    """

    name: str
    block: str
    role: str


def belongs_to(name: str, parts: Mapping[str, str]) -> str:
    """The part that a parameter or module lies in: the innermost one whose path its name begins with.

    What lies in none is the output head, which is part of the language model.
    """
    inside = [part for part, path in parts.items() if name == path or name.startswith(f"{path}.")]
    return max(inside, key=lambda part: len(parts[part]), default="language_model")


def layers_of(model: Any, parts: Mapping[str, str], part: str) -> list[Layer]:
    """Every linear layer of a part, without the output head."""
    head = model.get_output_embeddings()
    return [
        Layer(name, block, role)
        for name, block, role in _linear_layers(model, f"{parts[part]}.")
        if belongs_to(name, parts) == part and model.get_submodule(name) is not head
    ]


def select(layers: Sequence[Layer], words: Sequence[TargetModules]) -> list[Layer]:
    """The layers that any of the words means."""
    return [layer for layer in layers if any(_means(word, layer) for word in words)]


def require_layers(
    model: nn.Module, parts: Mapping[str, str], wanted: Sequence[str], words: Sequence[TargetModules]
) -> list[Layer]:
    """The layers that the words mean in the wanted parts.

    Raises:
        ModelError: a word means nothing in a part; the message lists what the part has.
    """
    chosen: dict[str, Layer] = {}
    for part in wanted:
        if part not in parts:
            raise ModelError(f"This model has no {part}; it has {', '.join(parts)}.")
        layers = layers_of(model, parts, part)
        for word in words:
            found = select(layers, [word])
            if not found:
                raise ModelError(_nothing_there(part, word, layers))
            chosen |= {layer.name: layer for layer in found}
    return list(chosen.values())


def _means(word: TargetModules, layer: Layer) -> bool:
    if word == "all_linear":
        return True
    if word == "feed_forward":
        return layer.block == "feed_forward"
    return layer.block == "attention" and layer.role in TARGET_ROLES[word]


def _linear_layers(model: nn.Module, prefix: str) -> Iterator[tuple[str, str, str]]:
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if not name.startswith(prefix) or not isinstance(module, nn.Linear):
            continue
        parent = name.rpartition(".")[0]
        block = _block(parent, modules)
        if block == "attention":
            yield name, block, ATTENTION_ROLES.get(name.rpartition(".")[2], "fused")
        elif block == "feed_forward":
            yield name, block, "output" if name == _last_linear(parent, modules[parent]) else "inner"
        else:
            yield name, block, "inner"


def _block(name: str, modules: Mapping[str, nn.Module]) -> str:
    """What kind of block a module is or lies directly in, by its class and by the name it was given."""
    if not name:
        return "other"
    called = name.rpartition(".")[2].lower()
    kind = type(modules[name]).__name__.lower()
    if "attention" in kind or called in {"attn", "self_attn"}:
        return "attention"
    if "mlp" in kind or "feedforward" in kind or called in {"mlp", "ffn", "feed_forward"}:
        return "feed_forward"
    return "other"


def _last_linear(parent: str, block: nn.Module) -> str:
    return [f"{parent}.{name}" for name, child in block.named_children() if isinstance(child, nn.Linear)][-1]


def _nothing_there(part: str, word: TargetModules, layers: Sequence[Layer]) -> str:
    if not layers:
        return (
            f"target_modules: [{word}] means nothing in the {part}: it has no linear layer. Leave it out of "
            "parts."
        )
    names = sorted({layer.name.rpartition(".")[2] for layer in layers})
    words: tuple[TargetModules, ...] = ("attention", "query_value", "key_value", "feed_forward", "all_linear")
    present = [other for other in words if select(layers, [other])]
    return (
        f"target_modules: [{word}] means nothing in the {part}. Its linear layers are called "
        f"{', '.join(names)}; there you can say {', '.join(present)}."
    )
