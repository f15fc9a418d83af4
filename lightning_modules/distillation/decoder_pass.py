"""Running a model as far as distillation needs it: to its last hidden states, not to its logits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lightning_modules.distillation.attention.tap import AttentionTap, TappedLayer


@dataclass(frozen=True)
class DecoderPass:
    """What a model has computed of a batch.

    Attributes:
        hidden: the last hidden states, before the head, `[batch, tokens, width]`.
        layers: the tapped layers of its attention, by their numbers; none where none were asked for.
    """

    hidden: Tensor
    layers: list[TappedLayer]


def run(
    network: nn.Module, language_model: str, inputs: dict[str, Tensor], layers: Collection[int] = ()
) -> DecoderPass:
    """Run a model up to its last hidden states; its head sees a single position, so logits cost nothing.

    Args:
        network: the model, perhaps wrapped by peft.
        language_model: where its language model lies.
        inputs: the model's inputs.
        layers: numbers of the layers to tap.
    """
    seen: list[Tensor] = []
    decoder = _base(network).get_submodule(language_model).get_decoder()

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        seen.append(output.last_hidden_state)

    hook = decoder.register_forward_hook(keep)
    try:
        if not layers:
            network(**inputs, logits_to_keep=1, use_cache=False)
            return DecoderPass(seen[-1], [])
        with AttentionTap(network, language_model, layers) as tap:
            network(**inputs, logits_to_keep=1, use_cache=False)
            return DecoderPass(seen[-1], tap.take())
    finally:
        hook.remove()


def head_of(network: nn.Module) -> nn.Module:
    """A model's output head."""
    head: nn.Module = _base(network).get_output_embeddings()
    return head


def softcap_of(network: nn.Module) -> float | None:
    """What a model's logits are squashed into, if they are."""
    return getattr(_base(network).config.get_text_config(), "final_logit_softcapping", None)


def layer_count(network: nn.Module) -> int:
    """Layers of a model's language model."""
    return int(_base(network).config.get_text_config().num_hidden_layers)


def vocabulary_size(network: nn.Module) -> int:
    """Tokens that a model's logits are about."""
    return int(_base(network).config.get_text_config().vocab_size)


def is_quantized(network: nn.Module) -> bool:
    """Whether a model's weights are held in few bits, and stay on the device they were loaded to."""
    return bool(getattr(_base(network), "is_quantized", False))


def _base(network: Any) -> Any:
    return network.get_base_model() if hasattr(network, "get_base_model") else network
