"""`ComposedVlm`: any timm vision encoder, a connector, and any causal language model of transformers."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutputWithPast

from lightning_modules.base import ModelError
from lightning_modules.vlm.composed_encoder import VisionTower

Reduction = Literal["shuffle", "average"]
"""How neighbouring features become one image token.

`shuffle` lays the channels of a square of features side by side, which loses nothing but needs a map that
divides evenly; `average` takes the mean over areas, for any map.
"""


class ComposedConfig(PreTrainedConfig):
    """The shape of a composed model.

    Args:
        text_config: the language model's configuration.
        encoder: a timm model name.
        image_size: edge of the square image, in pixels.
        feature_shape: channels, height and width of the encoder's features at that size.
        image_tokens: tokens of one image; a square number.
        reduction: how neighbouring features become one token.
        image_token_id: the number of the placeholder token in prompts.
    """

    model_type = "composed_vlm"
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012 - transformers' own name and form

    def __init__(
        self,
        text_config: Any = None,
        encoder: str = "vit_base_patch16_siglip_224",
        image_size: int = 224,
        feature_shape: tuple[int, int, int] = (768, 14, 14),
        image_tokens: int = 49,
        reduction: Reduction = "shuffle",
        image_token_id: int = 0,
        **arguments: Any,
    ) -> None:
        if isinstance(text_config, dict):
            text_config = AutoConfig.for_model(**text_config)
        # Head and embedding lie within the language model, which knows whether they are one; peft asks here.
        arguments["tie_word_embeddings"] = getattr(text_config, "tie_word_embeddings", False)
        # Before the language model's configuration is set, whose attention would otherwise be reset.
        super().__init__(**arguments)
        self.text_config = text_config
        self.encoder = encoder
        self.image_size = image_size
        self.feature_shape = list(feature_shape)
        self.image_tokens = image_tokens
        self.reduction = reduction
        self.image_token_id = image_token_id


class Connector(nn.Module):
    """Turns features into a fixed number of tokens, and these into the language model's embeddings."""

    def __init__(
        self, feature_shape: tuple[int, int, int], tokens: int, reduction: Reduction, width: int
    ) -> None:
        super().__init__()
        channels, height, rows = *feature_shape[:2], round(tokens**0.5)
        if rows * rows != tokens or rows > min(feature_shape[1:]):
            raise ModelError(
                f"image_tokens is {tokens}, which must be a square number of at most "
                f"{min(feature_shape[1:]) ** 2}, the features of one image."
            )
        self.factor = 1
        self.rows = rows
        if reduction == "shuffle":
            if height % rows or feature_shape[1] != feature_shape[2]:
                raise ModelError(
                    f"{height} x {feature_shape[2]} features cannot be shuffled into {tokens} image tokens: "
                    "choose another image_size or image_tokens, or reduction: average."
                )
            self.factor = height // rows
        inner = channels * self.factor**2
        self.layers = nn.Sequential(
            nn.LayerNorm(inner), nn.Linear(inner, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """From `[images, channels, height, width]` to `[images, tokens, width]`."""
        if self.factor > 1:
            features = nn.functional.pixel_unshuffle(features, self.factor)
        elif features.shape[-2:] != (self.rows, self.rows):
            features = nn.functional.adaptive_avg_pool2d(features, self.rows)
        tokens: Tensor = self.layers(features.flatten(2).transpose(1, 2))
        return tokens


class ComposedVlm(PreTrainedModel, GenerationMixin):
    """A vision-language model put together from three parts, with the contract of transformers' own.

    Prompts hold `config.image_tokens` placeholder tokens for each image, which its features replace. The
    placeholder may lie beyond the language model's vocabulary: its embedding is never looked up.

    Args:
        config: the shape.
        vision_tower: a tower with weights, or None to make one with random weights.
        language_model: a causal language model with weights, or None to make one with random weights.
    """

    config_class = ComposedConfig
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012 - transformers' own name and form
    supports_gradient_checkpointing = True
    _no_split_modules = ["VisionTower", "Connector"]  # noqa: RUF012 - transformers' own name and form
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012 - transformers' own name and form

    def __init__(
        self,
        config: ComposedConfig,
        vision_tower: VisionTower | None = None,
        language_model: PreTrainedModel | None = None,
    ) -> None:
        super().__init__(config)
        self.vision_tower = vision_tower or VisionTower(config.encoder, config.image_size)
        channels, height, width = config.feature_shape
        self.connector = Connector(
            (channels, height, width), config.image_tokens, config.reduction, config.text_config.hidden_size
        )
        self.language_model = language_model or AutoModelForCausalLM.from_config(config.text_config)
        self._tied_weights_keys = {
            f"language_model.{head}": f"language_model.{table}"
            for head, table in (self.language_model._tied_weights_keys or {}).items()
        }
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave all parts as their own libraries made them; only the connector has nobody else."""
        # What is not saved with the weights has to be made anew when a folder is opened.
        make_buffers = getattr(module, "init_non_persistent_buffers", None)
        if callable(make_buffers):
            make_buffers()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's embedding of tokens."""
        embedding: nn.Module = self.language_model.get_input_embeddings()
        return embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's embedding of tokens."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The language model's head."""
        head: nn.Module = self.language_model.get_output_embeddings()
        return head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's head."""
        self.language_model.set_output_embeddings(value)

    def get_decoder(self) -> Any:
        """The language model without its head."""
        return self.language_model.get_decoder()

    def get_image_features(self, pixel_values: Tensor) -> BaseModelOutputWithPooling:
        """The image tokens of normalised images, `pooler_output`: `[images, image_tokens, hidden size]`."""
        weight = self.connector.layers[1].weight
        images = pixel_values.to(next(self.vision_tower.parameters()).dtype)
        features = self.vision_tower(images)
        return BaseModelOutputWithPooling(pooler_output=self.connector(features.to(weight.dtype)))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **arguments: Any,
    ) -> CausalLMOutputWithPast:
        """Loss and logits of prompts with images, or without.

        Args:
            input_ids: `[batch, tokens]`, with placeholders for the tokens of images.
            attention_mask: `[batch, tokens and cached tokens]`, 0 at padding.
            pixel_values: the batch's images in the order of their placeholders, `[images, 3, size, size]`.
            labels: `[batch, tokens]`, -100 where nothing is learnt.
            inputs_embeds: embeddings instead of `input_ids`, with images already in them.
            arguments: what the language model takes besides, such as a cache and positions.

        Raises:
            ModelError: placeholders and images do not match.
        """
        if inputs_embeds is None:
            assert input_ids is not None, "either input_ids or inputs_embeds"
            inputs_embeds = self._embed(input_ids, pixel_values)
        output: CausalLMOutputWithPast = self.language_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, labels=labels, **arguments
        )
        return output

    def _embed(self, input_ids: Tensor, pixel_values: Tensor | None) -> Tensor:
        placeholders = input_ids == self.config.image_token_id
        embeds: Tensor = self.get_input_embeddings()(input_ids.masked_fill(placeholders, 0))
        expected = 0 if pixel_values is None else len(pixel_values) * self.config.image_tokens
        found = int(placeholders.sum())
        if found != expected:
            images = 0 if pixel_values is None else len(pixel_values)
            raise ModelError(
                f"The prompts hold {found} placeholders for image tokens, but {images} images of "
                f"{self.config.image_tokens} tokens each: let the model's own processor make both."
            )
        if pixel_values is None:
            return embeds
        features = self.get_image_features(pixel_values).pooler_output
        assert isinstance(features, Tensor)
        return embeds.masked_scatter(placeholders[..., None], features.to(embeds.dtype))


def register() -> None:
    """Let transformers' `Auto` classes open folders of composed models."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from lightning_modules.vlm.composed_processor import ComposedProcessor

    AutoConfig.register(ComposedConfig.model_type, ComposedConfig, exist_ok=True)
    AutoModelForImageTextToText.register(ComposedConfig, ComposedVlm, exist_ok=True)
    AutoProcessor.register(ComposedConfig, ComposedProcessor, exist_ok=True)
