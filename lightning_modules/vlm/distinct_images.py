"""Prompts as embeddings, with every distinct image of a batch encoded once.

Questions of one batch are often about the same image. Its pixels then stand in the batch several times; the
vision tower sees them once, and all placeholders of that image get the same features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import ModelError

_STRIDE = 61
"""Every how many numbers of an image are added up; no divisor of rows or patches, so it falls everywhere."""


@dataclass(frozen=True)
class EmbeddedPrompts:
    """Prompts ready for the language model.

    Attributes:
        embeddings: `[questions, tokens, hidden size]`, with images in their places.
        images: for each question the numbers of its images (or tiles of images), in order; the same
            number is the same image.
    """

    embeddings: Tensor
    images: list[tuple[int, ...]]


def embed_prompts(network: Any, prompt: Mapping[str, Tensor]) -> EmbeddedPrompts:
    """Look up the embeddings of prompts and put the images' features in.

    Args:
        network: the transformers model, without an adapter's wrapper around it.
        prompt: its inputs: `input_ids` and, where there are images, their tensors.

    Raises:
        ModelError: the features do not fill the placeholders.
    """
    placeholders = prompt["input_ids"] == network.config.image_token_id
    # The placeholder may lie beyond the vocabulary, and its own embedding is replaced anyway.
    embeddings: Tensor = network.get_input_embeddings()(prompt["input_ids"].masked_fill(placeholders, 0))
    features, identities = _encode_distinct(network, prompt)
    expected = placeholders.sum(1).tolist()
    found = sum(len(features[identity]) for identity in identities)
    if sum(expected) != found:
        raise ModelError(
            f"The prompts hold {sum(expected)} placeholders for image tokens, but the images have {found} "
            "such tokens: let the model's own processor make both."
        )
    if identities:
        pieces = torch.cat([features[identity] for identity in identities])
        embeddings = embeddings.masked_scatter(placeholders[..., None], pieces.to(embeddings.dtype))
    return EmbeddedPrompts(embeddings, _by_question(features, identities, expected))


def _encode_distinct(network: Any, prompt: Mapping[str, Tensor]) -> tuple[list[Tensor], list[int]]:
    """The features of distinct images, and which of them stand in the prompts, in order."""
    pixels = prompt.get("pixel_values")
    if pixels is None:
        return [], []
    grid = prompt.get("image_grid_thw")
    if grid is not None:
        # Qwen2.5-VL: patches of all images one after another.
        patches = list(pixels.split(grid.prod(-1).tolist()))
        chosen, identities = _distinct(list(zip(patches, grid, strict=True)))
        inputs = {"pixel_values": pixels, "image_grid_thw": grid}
        if len(chosen) < len(patches):
            inputs = {
                "pixel_values": torch.cat([patches[index] for index in chosen]),
                "image_grid_thw": grid[chosen],
            }
    else:
        inputs = {name: prompt[name] for name in ("pixel_values", "pixel_attention_mask") if name in prompt}
        if nested := pixels.ndim == 5:
            inputs = {name: tensor.flatten(0, 1) for name, tensor in inputs.items()}
        if nested and pixels.shape[1] > 1:
            # SmolVLM: [questions, tiles, ...], filled up with tiles that are zero everywhere.
            real = inputs["pixel_values"].flatten(1).any(1)
            inputs = {name: tensor[real] for name, tensor in inputs.items()}
        units = list(zip(*inputs.values(), strict=True))
        chosen, identities = _distinct(units)
        if len(chosen) < len(units):
            inputs = {name: tensor[chosen] for name, tensor in inputs.items()}
        if nested:
            inputs = {name: tensor.unsqueeze(1) for name, tensor in inputs.items()}
    return list(network.get_image_features(**inputs).pooler_output), identities


def _distinct(units: list[tuple[Tensor, ...]]) -> tuple[list[int], list[int]]:
    """The first of each set of equal units, and for each unit the number of its set.

    A sum over a few of the numbers finds what may be equal; what is taken as equal is compared in full.
    """
    sums = torch.stack([unit[0].flatten()[::_STRIDE].double().sum() for unit in units]).tolist()
    chosen: list[int] = []
    sets: dict[Any, list[int]] = {}
    identities = []
    for index, unit in enumerate(units):
        alike = sets.setdefault(sums[index], [])
        for number in alike:
            if all(torch.equal(a, b) for a, b in zip(unit, units[chosen[number]], strict=True)):
                identities.append(number)
                break
        else:
            alike.append(len(chosen))
            identities.append(len(chosen))
            chosen.append(index)
    return chosen, identities


def _by_question(features: list[Tensor], identities: list[int], tokens: list[int]) -> list[tuple[int, ...]]:
    """Deal the images out to the questions, by how many placeholders each question has."""
    remaining = iter(identities)
    dealt = []
    for count in tokens:
        own: list[int] = []
        while count > 0:
            own.append(next(remaining))
            count -= len(features[own[-1]])
        dealt.append(tuple(own))
    return dealt
