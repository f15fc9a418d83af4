"""The processor of composed vision-language models: images and texts to the model's inputs."""

from __future__ import annotations

from typing import Any

from transformers import ProcessorMixin

IMAGE_TOKEN = "<image>"
"""Stands for an image in a text; the processor writes it once for each token of the image."""

# Language models write a message's content as one text: lists of images and texts become one.
_FLATTEN = (
    "{%- set flat = namespace(messages=[]) -%}"
    "{%- for message in messages -%}"
    "{%- if message['content'] is string -%}{%- set flat.text = message['content'] -%}"
    "{%- else -%}{%- set flat.text = '' -%}{%- for part in message['content'] -%}"
    "{%- set flat.text = flat.text + ('"
    + IMAGE_TOKEN
    + "\n' if part['type'] == 'image' else part['text']) -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- set flat.messages = flat.messages + [{'role': message['role'], 'content': flat.text}] -%}"
    "{%- endfor -%}"
    "{%- set messages = flat.messages -%}"
)

_PLAIN = (
    "{%- for message in messages -%}"
    "{{ message['role'] | capitalize + ': ' + message['content'] }}"
    "{{ (eos_token if message['role'] == 'assistant' else '') + '\n' }}"
    "{%- endfor -%}{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""How a language model that was never taught to converse is asked."""


class ComposedProcessor(ProcessorMixin):
    """Expands images into placeholder tokens and normalises them as the encoder wants.

    Args:
        image_processor: resizes and normalises images.
        tokenizer: the language model's, which knows `IMAGE_TOKEN`.
        image_seq_length: tokens of one image.
        chat_template: how a conversation of texts and images is written.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_length: int = 49,
        chat_template: str | None = None,
        **arguments: Any,
    ) -> None:
        self.image_seq_length = image_seq_length
        self.image_token = IMAGE_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        super().__init__(image_processor, tokenizer, chat_template=chat_template, **arguments)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **arguments: Any) -> str:
        """What stands in the text for one image."""
        return self.image_token * self.image_seq_length


def conversation_template(tokenizer: Any) -> str:
    """A chat template that takes images, made of the one that a tokenizer has for texts."""
    return _FLATTEN + (tokenizer.chat_template or _PLAIN)


def make_processor(encoder: str, image_size: int, image_tokens: int, tokenizer: Any) -> ComposedProcessor:
    """The processor of an encoder and a language model's tokenizer, which learns the placeholder.

    An image is resized to a square as a whole, without a crop: what is cut off cannot be asked about.
    """
    import timm
    from transformers import ViTImageProcessor
    from transformers.image_utils import PILImageResampling

    config = timm.data.resolve_data_config({}, pretrained_cfg=_data_config(encoder))
    images = ViTImageProcessor(
        size={"height": image_size, "width": image_size},
        resample=getattr(PILImageResampling, config["interpolation"].upper()),
        image_mean=list(config["mean"]),
        image_std=list(config["std"]),
        do_convert_rgb=True,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    return ComposedProcessor(images, tokenizer, image_tokens, conversation_template(tokenizer))


def _data_config(encoder: str) -> dict[str, Any]:
    import timm

    config = timm.get_pretrained_cfg(encoder)
    return config.to_dict() if config else {}
