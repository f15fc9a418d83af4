"""What differs between families of vision-language models, and nothing that does not.

A family is a set of models that share their transformers classes. Everything else (how pictures are expanded
into tokens, how a conversation is written, which token ends an answer) is asked of the model's own processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lightning_modules.base import ModelError

Part = Literal["language_model", "vision_tower", "connector"]
"""The three parts of every vision-language model."""

TokenTypes = Literal["none", "modality", "prefix"]
"""What a model wants to be told of each token beside its number.

`modality`: whether it stands for a piece of a picture. `prefix`: whether it belongs to the prompt, which sees
itself in both directions, or to the answer.
"""

ImageBudget = Callable[[Any, int], None]
"""Sets a processor so that no picture takes more than so many tokens; raises `ModelError` where it cannot."""


@dataclass(frozen=True)
class Family:
    """Models that share their transformers classes.

    A processor that the collator can use has a `tokenizer`, an `image_processor`, the placeholder
    `image_token` with its `image_token_id`, `replace_image_token` (what stands in the text for one picture),
    and a chat template, unless `chat` is false.

    Attributes:
        name: what the family is called in the zoo.
        model_type: what its models' `config.json` says under `model_type`.
        parts: where the parts lie in the loaded model, as dotted names. A part may lie within another one
            (the connector of Qwen2.5-VL within its vision tower) and is then not meant by the outer one.
        limit_image_tokens: makes its pictures smaller.
        token_types: what the model wants to be told of each token.
        nested_pictures: whether its processor returns pictures as [questions, tiles, ...].
        chat: whether prompts are written with a chat template. Without one, pictures come first, then the
            beginning-of-text token, the texts, and a line break.
        stop_strings: texts after which nothing more is generated, beside the token that ends an answer.
    """

    name: str
    model_type: str
    parts: Mapping[str, str]
    limit_image_tokens: ImageBudget
    token_types: TokenTypes = "none"
    nested_pictures: bool = False
    chat: bool = True
    stop_strings: tuple[str, ...] = ()


def limit_by_tiles(processor: Any, tokens: int) -> None:
    """SmolVLM: a picture is cut into square tiles and also shown as a whole, all with the same tokens."""
    tiles = tokens // processor.image_seq_len
    if tiles < 1:
        raise ModelError(_too_few(tokens, processor.image_seq_len))
    # A square picture of n x n tiles is the most expensive one; the whole picture comes on top.
    side = int((tiles - 1) ** 0.5)
    processor.image_processor.do_image_splitting = side >= 2
    tile = processor.image_processor.max_image_size["longest_edge"]
    processor.image_processor.size = {"longest_edge": max(1, side) * tile}


def limit_by_pixels(processor: Any, tokens: int) -> None:
    """Qwen2.5-VL: one token for each square of merged patches, at the picture's own shape."""
    images = processor.image_processor
    pixels = (images.patch_size * images.merge_size) ** 2
    if tokens < 4:
        raise ModelError(_too_few(tokens, 4))
    fewest = min(images.size["shortest_edge"], tokens * pixels)
    images.size = {"shortest_edge": fewest, "longest_edge": tokens * pixels}


def limit_by_patches(processor: Any, tokens: int) -> None:
    """InternVL: a picture is cut into tiles, and where there are several also shown as a whole."""
    tiles = tokens // processor.image_seq_length
    if tiles < 1:
        raise ModelError(_too_few(tokens, processor.image_seq_length))
    processor.image_processor.max_patches = tiles - 1 if tiles > 2 else 1


def limit_fixed(processor: Any, tokens: int) -> None:
    """PaliGemma: every picture takes the same number of tokens, which its weights decide."""
    if tokens < processor.image_seq_length:
        raise ModelError(
            f"image_tokens is {tokens}, but this model always looks at a picture with "
            f"{processor.image_seq_length} tokens: leave image_tokens out, or take another model."
        )


def _too_few(tokens: int, fewest: int) -> str:
    return f"image_tokens is {tokens}, but this model needs at least {fewest} tokens to look at a picture."


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
        Family("idefics3", "idefics3", _INNER_PARTS, limit_by_tiles, nested_pictures=True),
        Family("smolvlm", "smolvlm", _INNER_PARTS, limit_by_tiles, nested_pictures=True),
        Family("qwen2_5_vl", "qwen2_5_vl", _QWEN_PARTS, limit_by_pixels, token_types="modality"),
        Family("internvl", "internvl", _TOWER_PARTS, limit_by_patches),
        Family("paligemma", "paligemma", _TOWER_PARTS, limit_fixed, token_types="prefix", chat=False),
        Family("composed", "composed_vlm", _COMPOSED_PARTS, limit_fixed),
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
        "FAMILIES of lightning_modules/vlm/families.py: where its parts lie, how its pictures get smaller."
    )
