"""What differs between families of vision-language models, and nothing that does not.

A family is a set of models that share their transformers classes. Everything else (how images are expanded
into tokens, how a conversation is written, which token ends an answer) is asked of the model's own processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lightning_modules.base import ModelError
from lightning_modules.vlm.image_limits import (
    ImageLimit,
    MergedPatches,
    SameTokens,
    SharedTiles,
    SquareTiles,
)

Part = Literal["language_model", "vision_tower", "connector"]
"""The three parts of every vision-language model."""

TokenTypes = Literal["none", "modality", "prefix"]
"""What a model wants to be told of each token beside its number.

`modality`: whether it stands for a piece of an image. `prefix`: whether it belongs to the prompt, which sees
itself in both directions, or to the answer.
"""


@dataclass(frozen=True)
class Family:
    """Models that share their transformers classes.

    A processor that the collator can use has a `tokenizer`, an `image_processor`, the placeholder
    `image_token` with its `image_token_id`, `replace_image_token` (what stands in the text for one image),
    and a chat template, unless `chat` is false.

    Attributes:
        name: what the family is called in the zoo.
        model_type: what its models' `config.json` says under `model_type`.
        parts: where the parts lie in the loaded model, as dotted names. A part may lie within another one
            (the connector of Qwen2.5-VL within its vision tower) and is then not meant by the outer one.
        image_limit: makes its images smaller.
        token_types: what the model wants to be told of each token.
        nested_images: whether its processor returns images as [questions, tiles, ...].
        chat: whether prompts are written with a chat template. Without one, images come first, then the
            beginning-of-text token, the texts, and a line break.
        question_prefix: what stands before a question where there is no chat template: the name of the task
            that the model was trained to do.
        one_image: whether the model was trained on one image in front of the text, and on no more.
        image_label: what the model was trained to read before each image where a prompt shows several:
            `{number}` counts them through from 1. None where it is empty.
        stop_strings: texts after which nothing more is generated, beside the token that ends an answer.
    """

    name: str
    model_type: str
    parts: Mapping[str, str]
    image_limit: ImageLimit
    token_types: TokenTypes = "none"
    nested_images: bool = False
    chat: bool = True
    question_prefix: str = ""
    one_image: bool = False
    image_label: str = ""
    stop_strings: tuple[str, ...] = ()

    def limit_image_tokens(self, processor: Any, tokens: int) -> None:
        """Set a processor so that no image takes more than so many tokens; raises `ModelError`."""
        self.image_limit.limit(processor, tokens)


_INNER_PARTS: Mapping[str, str] = {
    "language_model": "model.text_model",
    "vision_tower": "model.vision_model",
    "connector": "model.connector",
}
_TOWER_PARTS: Mapping[str, str] = {
    "language_model": "model.language_model",
    "vision_tower": "model.vision_tower",
    "connector": "model.multi_modal_projector",
}
_QWEN_PARTS: Mapping[str, str] = {
    "language_model": "model.language_model",
    "vision_tower": "model.visual",
    "connector": "model.visual.merger",
}
_COMPOSED_PARTS: Mapping[str, str] = {
    "language_model": "language_model.model",
    "vision_tower": "vision_tower",
    "connector": "connector",
}

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        # SmolVLM came out with the classes of Idefics3, and SmolVLM2 with its own.
        Family("idefics3", "idefics3", _INNER_PARTS, SquareTiles(), nested_images=True),
        Family("smolvlm", "smolvlm", _INNER_PARTS, SquareTiles(), nested_images=True),
        Family("qwen2_5_vl", "qwen2_5_vl", _QWEN_PARTS, MergedPatches(), token_types="modality"),
        Family("internvl", "internvl", _TOWER_PARTS, SharedTiles(), image_label="Image-{number}: "),
        # One question about one image is what the mix checkpoints were trained on: "answer en where ...".
        Family(
            "paligemma",
            "paligemma",
            _TOWER_PARTS,
            SameTokens(),
            token_types="prefix",
            chat=False,
            question_prefix="answer en ",
            one_image=True,
        ),
        Family("composed", "composed_vlm", _COMPOSED_PARTS, SameTokens()),
    )
}
"""The families by name."""


def family_of(model_type: str, where: str) -> Family:
    """The family of a model, from the `model_type` of its configuration.

    Raises:
        ModelError: no family has this type; `where` says which model was asked for.
    """
    for family in FAMILIES.values():
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in FAMILIES.values())
    raise ModelError(
        f"{where} is a model of type {model_type!r}; known are {known}. A new type needs an entry in "
        "FAMILIES of lightning_modules/vlm/families.py: where its parts lie, how its images get smaller."
    )
