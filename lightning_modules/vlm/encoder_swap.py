"""Put a vision-language model together from an encoder and a language model, to compare encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from lightning_modules.base import ModelError
from lightning_modules.model_source import ModelSource, source_of
from lightning_modules.package_weights import package_weights, timm_origin, timm_weights
from lightning_modules.vlm.whole_weights import load_whole
from lightning_modules.weights_digest import NO_WEIGHTS, file_digest

if TYPE_CHECKING:
    from lightning_modules.vlm.composed_model import ComposedVlm, Reduction
    from lightning_modules.vlm.composed_processor import ComposedProcessor

Weights = Literal["hub", "package", "none"]
"""Where pretrained weights come from: the hub (or a folder), an installed Python package, or nowhere."""


def compose(
    encoder: str,
    language_model: str,
    encoder_weights: Weights = "hub",
    language_weights: Weights = "hub",
    image_size: int | None = None,
    image_tokens: int | None = None,
    reduction: Reduction = "shuffle",
    **loading: Any,
) -> tuple[ComposedVlm, ComposedProcessor]:
    """A composed model whose connector alone has random weights, and its processor.

    Args:
        encoder: a timm model name, such as `vit_base_patch14_dinov2` or `tf_efficientnet_lite0`.
        language_model: a causal language model's name on the hub (`owner/name` or `owner/name@revision`), or
            its folder.
        encoder_weights: where the encoder's weights come from.
        language_weights: where the language model's weights come from. With `none` they are random, but
            configuration and tokenizer still come from the hub or the folder.
        image_size: edge of the square image, in pixels; by default what the encoder was made for.
        image_tokens: tokens of one image; by default one for each of the encoder's features.
        reduction: how neighbouring features become one token.
        loading: passed to the language model's `from_pretrained`: `dtype`, `quantization_config`.

    Raises:
        ModelError: a part is not known, cannot be had, or the sizes do not fit each other.
    """
    from lightning_modules.vlm.composed_encoder import VisionTower, default_image_size

    size = image_size or default_image_size(encoder)
    weights = timm_weights(encoder, package_weights(encoder)) if encoder_weights == "package" else None
    tower = VisionTower(encoder, size, pretrained=encoder_weights == "hub", weights=weights)
    language, tokenizer = load_language_model(language_model, language_weights, **loading)
    return assemble(tower, encoder, language, tokenizer, size, image_tokens, reduction)


def assemble(
    tower: Any,
    encoder: str,
    language_model: Any,
    tokenizer: Any,
    image_size: int,
    image_tokens: int | None = None,
    reduction: Reduction = "shuffle",
) -> tuple[ComposedVlm, ComposedProcessor]:
    """A composed model of a vision tower and a language model that already have their weights.

    Raises:
        ModelError: the sizes do not fit each other.
    """
    from lightning_modules.vlm.composed_encoder import feature_map_shape
    from lightning_modules.vlm.composed_model import ComposedConfig, ComposedVlm, register
    from lightning_modules.vlm.composed_processor import make_processor

    if not isinstance(getattr(language_model, "model", None), nn.Module):
        raise ModelError(
            f"A {type(language_model).__name__} does not hold its layers under `model`, where adapters look "
            "for them: take a language model such as Llama, SmolLM, Qwen, Gemma or Mistral."
        )
    register()
    shape = feature_map_shape(encoder, image_size)
    tokens = image_tokens or shape[1] * shape[2]
    processor = make_processor(encoder, image_size, tokens, tokenizer)
    config = ComposedConfig(
        text_config=language_model.config,
        encoder=encoder,
        image_size=image_size,
        feature_shape=shape,
        image_tokens=tokens,
        reduction=reduction,
        image_token_id=processor.image_token_id,
    )
    model = ComposedVlm(config, tower, language_model)
    dtype = language_model.dtype
    model.connector.to(language_model.device, dtype)
    model.vision_tower.to(language_model.device, dtype)
    model.generation_config = language_model.generation_config
    return model.eval(), processor


def load_language_model(name: str, weights: Weights, **loading: Any) -> tuple[Any, Any]:
    """A causal language model and its tokenizer.

    Raises:
        ModelError: they cannot be had from there.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if weights == "package":
        return _from_gguf(package_weights(name), **loading)
    source = source_of(name)
    commit = source.commit()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.place, revision=commit)
        if weights == "none":
            config = AutoConfig.from_pretrained(source.place, revision=commit)
            return AutoModelForCausalLM.from_config(config, dtype=loading.get("dtype")), tokenizer
        return load_whole(AutoModelForCausalLM, source, **loading), tokenizer
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The language model {name!r} cannot be loaded: {error} Give a causal language model's name on "
            "the hub, or a folder with its configuration, weights and tokenizer."
        ) from error


def composed_origin(
    encoder: str, language_model: str, encoder_weights: Weights, language_weights: Weights
) -> str:
    """Where the weights of both parts come from: commits, digests of files, or nowhere."""
    if language_weights == "package":
        origin = file_digest(package_weights(language_model))
    else:
        origin = NO_WEIGHTS if language_weights == "none" else source_of(language_model).origin()
    return f"encoder {timm_origin(encoder, encoder_weights)}, language model {origin}"


def _from_gguf(file: Path, **loading: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    if loading.pop("quantization_config", None) is not None:
        raise ModelError("The packaged language model cannot be quantised again: take language_weights: hub.")
    # As plain numbers, which can be trained, adapted and saved.
    plain = GgufConfig(dequantize=True)
    model = load_whole(
        AutoModelForCausalLM,
        ModelSource(str(file.parent)),
        gguf_file=file.name,
        quantization_config=plain,
        **loading,
    )
    return model, AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
