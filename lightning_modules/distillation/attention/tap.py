"""A tap on attention: queries and keys of chosen layers, while sdpa goes on computing the layers' outputs.

`output_attentions=True` gives nothing under sdpa, and under eager a `heads x tokens x tokens` stack of every
layer. Instead the language model's attention goes through a function of ours, registered with transformers,
which hands the call on to sdpa and keeps the queries and keys of the layers that were asked for: all that is
needed to compute any rows of their maps later.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lightning_modules.base import ModelError

TAP = "smallspatial_tap"
"""The name under which transformers knows the tap."""


@dataclass(frozen=True)
class TappedLayer:
    """What the attention maps of one layer are made of, for a batch.

    Attributes:
        number: the layer's number in its language model, from zero.
        queries: after rotary embedding, [batch, heads, tokens, channels].
        keys: after rotary embedding, [batch, key heads, tokens, channels]; `heads` is a multiple of
            `key heads`, and neighbouring heads share a key head.
        scaling: what the products of queries and keys are multiplied by before the softmax.
        mask: true where a query may look at a key, [batch, 1, tokens, tokens]; None where `causal` says all.
        causal: without a mask, whether queries look at earlier keys and themselves only, or at all.
    """

    number: int
    queries: Tensor
    keys: Tensor
    scaling: float
    mask: Tensor | None = None
    causal: bool = True

    def visible(self, samples: slice, rows: slice, columns: slice) -> Tensor:
        """Whether the queries of `rows` may look at the keys of `columns`, [samples, rows, columns]."""
        if self.mask is not None:
            return self.mask[samples, 0, rows, columns]
        batch, _, length, _ = self.queries.shape
        tokens = torch.arange(length, device=self.queries.device)
        earlier = tokens[columns] <= tokens[rows, None]
        seen = earlier if self.causal else torch.ones_like(earlier)
        return seen.expand(len(range(batch)[samples]), -1, -1)

    def maps(self) -> Tensor:
        """The whole attention maps, [batch, heads, tokens, tokens]: for looking at, not for training.

        Rows of queries that may look at nothing, as those of padding on the left, are 0.
        """
        everything = slice(None)
        visible = self.visible(everything, everything, everything)
        return attention_maps(self.queries, self.keys, visible, self.scaling).nan_to_num(0.0)


def attention_maps(queries: Tensor, keys: Tensor, visible: Tensor, scaling: float) -> Tensor:
    """Rows of attention maps, each a distribution over the visible keys, [samples, heads, rows, columns].

    They are of float32, or of float64 where the queries are; products are taken in the queries' own
    precision, as eager attention does.

    Args:
        queries: [samples, heads, rows, channels].
        keys: [samples, key heads, columns, channels].
        visible: whether a row's query may look at a column's key, [samples, rows, columns]; at least one in
            each row.
        scaling: what products are multiplied by.
    """
    samples, heads, rows, channels = queries.shape
    key_heads, columns = keys.shape[1:3]
    shared = heads // key_heads
    bias = queries.new_zeros(visible.shape).masked_fill_(~visible, float("-inf"))
    # Heads that share keys lie behind each other as further rows, so that keys need not be repeated.
    bias = bias.repeat(1, shared, 1)[:, None].expand(-1, key_heads, -1, -1)
    scores = torch.baddbmm(
        # For a single sample these are views.
        bias.reshape(samples * key_heads, shared * rows, columns) if samples > 1 else bias[0, :1],
        queries.reshape(samples * key_heads, shared * rows, channels),
        keys.reshape(samples * key_heads, columns, channels).transpose(1, 2),
        alpha=scaling,
    )
    precise = torch.promote_types(scores.dtype, torch.float32)
    return scores.view(samples, heads, rows, columns).softmax(-1, dtype=precise)


class AttentionTap:
    """Taps layers of a model's language model within a `with` block.

    >>> with AttentionTap(model, "model.language_model", [0, 3]) as tap:
    ...     output = model(**inputs)
    >>> layers = tap.take()

    Only the language model's own forward pass is tapped: layers that activation checkpointing runs again for
    the backward pass are not. A further pass replaces what the one before has left. The vision tower keeps
    its attention and is never seen.

    Args:
        model: the whole model, also one that peft has wrapped.
        language_model_path: where its language model lies: a dotted name, within what peft has wrapped.
        layers: numbers of layers, from zero.

    Raises:
        ModelError: the model has no such layer, or does not leave its attention to sdpa.
    """

    def __init__(self, model: nn.Module, language_model_path: str, layers: Collection[int]) -> None:
        # A model of peft, which is not imported here.
        unwrap: Any = getattr(model, "get_base_model", lambda: model)
        self.language_model: Any = unwrap().get_submodule(language_model_path)
        self.layers = sorted(set(layers))
        if not hasattr(self.language_model, "get_decoder"):
            raise ModelError(_no_tap(self.language_model, "it is no language model of transformers"))
        self.decoder: Any = self.language_model.get_decoder()
        self._require_layers()
        self._collected: dict[int, TappedLayer] = {}
        self._running = False
        self._hooks: list[Any] = []
        self._previous = ""

    def __enter__(self) -> Self:
        """Let the language model's attention go through the tap.

        Raises:
            ModelError: its attention is not sdpa, it is tapped already, or its layers are checkpointed in a
                way that gives tapped queries no gradient.
        """
        config = self.decoder.config
        if config._attn_implementation not in ("sdpa", TAP):
            raise ModelError(
                _no_tap(self.language_model, f"its attention is {config._attn_implementation!r}")
            )
        self._require_checkpoints_that_keep_gradients()
        tapped = [
            module for module in self.decoder.modules() if getattr(module, "layer_idx", None) in self.layers
        ]
        if any(module in _taps for module in tapped):
            raise ModelError(
                "A layer is tapped twice: leave the first AttentionTap before the second begins."
            )
        _register()
        self._forget()
        self._previous = config._attn_implementation
        config._attn_implementation = TAP
        _taps.update(dict.fromkeys(tapped, self))
        self._hooks = [
            self.decoder.register_forward_pre_hook(self._begin),
            self.decoder.register_forward_hook(self._end, always_call=True),
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the model its attention back."""
        for hook in self._hooks:
            hook.remove()
        for module in [module for module, tap in _taps.items() if tap is self]:
            del _taps[module]
        self.decoder.config._attn_implementation = self._previous
        if kind is not None:
            self._forget()

    def take(self) -> list[TappedLayer]:
        """Hand over the layers of the last forward pass, by their numbers, and forget them.

        Raises:
            ModelError: a layer was not seen.
        """
        unseen = [layer for layer in self.layers if layer not in self._collected]
        if unseen:
            raise ModelError(
                _no_tap(self.language_model, f"layer {unseen[0]} was not seen in the last forward pass")
            )
        layers = [self._collected[number] for number in self.layers]
        self._forget()
        return layers

    def collect(
        self,
        module: nn.Module,
        queries: Tensor,
        keys: Tensor,
        mask: Tensor | None,
        scaling: float | None,
        causal: bool,
    ) -> None:
        """Keep what a layer's attention was called with, if this is the forward pass itself."""
        if not self._running:
            return
        cached = keys.shape[2] - queries.shape[2]
        if cached:
            raise ModelError(
                f"A tapped model was given {queries.shape[2]} tokens after {cached} cached ones: run it on "
                "whole sequences, without a cache."
            )
        if mask is not None and mask.dtype != torch.bool:
            raise ModelError(
                _no_tap(self.language_model, f"its attention adds a bias of type {mask.dtype} to the scores")
            )
        number = int(module.layer_idx)  # type: ignore[arg-type]  # what `_taps` holds has this number
        self._collected[number] = TappedLayer(
            number, queries, keys, queries.shape[-1] ** -0.5 if scaling is None else scaling, mask, causal
        )

    def _begin(self, *_: object) -> None:
        self._forget()
        self._running = True

    def _end(self, *_: object) -> None:
        self._running = False

    def _forget(self) -> None:
        self._collected = {}
        self._running = False

    def _require_layers(self) -> None:
        available = int(self.decoder.config.num_hidden_layers)
        outside = [layer for layer in self.layers if not 0 <= layer < available]
        if outside:
            raise ModelError(
                f"Layer {outside[0]} shall be tapped, but {type(self.language_model).__name__} has "
                f"{available} layers, 0 to {available - 1}: change the layer map."
            )

    def _require_checkpoints_that_keep_gradients(self) -> None:
        for module in self.decoder.modules():
            checkpoint = getattr(module, "_gradient_checkpointing_func", None)
            settings = getattr(checkpoint, "keywords", {})
            if (
                module.training
                and getattr(module, "gradient_checkpointing", False)
                and settings.get("use_reentrant")
            ):
                raise ModelError(
                    "Activation checkpointing with use_reentrant: true hides a layer's queries and keys from "
                    "the gradient, so that attention cannot be distilled: set use_reentrant: false."
                )


_taps: WeakKeyDictionary[nn.Module, AttentionTap] = WeakKeyDictionary()
"""The modules whose attention is tapped, and who gets it."""

_SCORES_CHANGED_BY = ("softcap", "s_aux", "position_bias")
"""Arguments by which some families change the scores; their maps are not what queries and keys alone give."""


def _tapped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **arguments: Any,
) -> tuple[Tensor, Tensor | None]:
    """Sdpa as transformers calls it, with a word to the tap."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    tap = _taps.get(module)
    if tap is not None:
        changed = [name for name in _SCORES_CHANGED_BY if arguments.get(name) is not None]
        if changed:
            raise ModelError(_no_tap(tap.language_model, f"its attention takes {changed[0]}"))
        causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
        tap.collect(module, query, key, attention_mask, scaling, causal and query.shape[2] > 1)
    output: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, is_causal=is_causal, **arguments
    )
    return output


def _register() -> None:
    """Make the tap known to transformers, with the masks of sdpa."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(TAP, _tapped_attention)
    AttentionMaskInterface.register(TAP, sdpa_mask)


def _no_tap(language_model: nn.Module, why: str) -> str:
    return (
        f"The attention of {type(language_model).__name__} cannot be tapped: {why}. Attention distillation "
        "needs a family whose language model leaves its attention to sdpa, as Qwen2.5-VL, SmolVLM and "
        "InternVL do; load it with attn_implementation sdpa, or distil the logits alone."
    )
