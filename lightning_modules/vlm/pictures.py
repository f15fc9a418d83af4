"""Pictures as one model sees them: tensors for its vision tower, and the tokens they take in the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from datamodules.samples import ImageSource
from lightning_modules.vlm.families import Family


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        tensors: what the model's forward takes, by name; pictures are joined along the first dimension.
        text: what stands for the picture in the prompt.
    """

    tensors: dict[str, Tensor]
    text: str


def prepare_picture(source: ImageSource, processor: Any, family: Family) -> Picture:
    """Open a picture and prepare it with the model's own processor.

    Raises:
        UnreadableImage: it cannot be decoded.
        ValueError: its shape is one the model cannot look at.
    """
    rgb = source.open().convert("RGB")
    options = getattr(processor, "images_kwargs", {})
    prepared = processor.image_processor([rgb], return_tensors="pt", **options)
    text = processor.replace_image_token(prepared, 0)
    tensors = {
        name: prepared[name] for name in processor.image_processor.model_input_names if name in prepared
    }
    if family.nested_pictures:
        # [question, tile, ...] becomes [tile, 1, ...]: nothing is padded to another question's tiles.
        tensors = {name: tensor.transpose(0, 1) for name, tensor in tensors.items()}
    return Picture(tensors, text)


def join_pictures(pictures: Sequence[Sequence[Picture]]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """The pictures of a batch, given for each question.

    Returns:
        tensors by name, empty where there is no picture at all; and by the same names how many of a tensor's
        rows belong to each question.
    """
    flat = [picture for several in pictures for picture in several]
    if not flat:
        return {}, {}
    names = list(flat[0].tensors)
    tensors = {name: torch.cat([picture.tensors[name] for picture in flat]) for name in names}
    rows = {name: [sum(len(one.tensors[name]) for one in several) for several in pictures] for name in names}
    return tensors, rows


def choose_questions(
    prompt: Mapping[str, Tensor], rows: Mapping[str, Sequence[int]], chosen: Sequence[int]
) -> dict[str, Tensor]:
    """The inputs of some questions of a batch.

    Args:
        prompt: the batch's inputs, by name.
        rows: how many rows of each picture tensor belong to each question.
        chosen: which questions, in order.
    """
    inputs: dict[str, Tensor] = {}
    for name, tensor in prompt.items():
        if name not in rows:
            inputs[name] = tensor[list(chosen)]
        elif any(rows[name][question] for question in chosen):
            pieces = tensor.split(list(rows[name]))
            inputs[name] = torch.cat([pieces[question] for question in chosen])
    return inputs
