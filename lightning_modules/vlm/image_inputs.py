"""Images as one model sees them: tensors for its vision tower, and the tokens they take in the text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from datamodules.samples import ImageSource, open_rgb
from lightning_modules.vlm.families import Family


@dataclass(frozen=True)
class ProcessedImage:
    """One image.

    Attributes:
        tensors: what the model's forward takes, by name; images are joined along the first dimension.
        text: what stands for the image in the prompt.
        tokens: how many placeholders there are in it.
        size: width and height of the image itself, in pixels.
        padded: whether a border was added, because the sides were too unequal.
    """

    tensors: dict[str, Tensor]
    text: str
    tokens: int
    size: tuple[int, int]
    padded: bool = False


def prepare_image(
    source: ImageSource, processor: Any, family: Family, limit: int | None = None
) -> ProcessedImage:
    """Open an image and prepare it with the model's own processor.

    Args:
        source: the image.
        processor: the model's processor.
        family: the model's family.
        limit: the most tokens that it may take; what the processor is limited to when left out.

    Raises:
        UnreadableImage: it cannot be decoded.
        ValueError: its shape is one the model cannot look at.
        ModelError: the model cannot look at it with so few tokens.
    """
    rgb = open_rgb(source)
    fitted = family.image_limit.fit(processor, rgb, limit)
    options = {**getattr(processor, "images_kwargs", {}), **fitted.options}
    prepared = processor.image_processor([fitted.image], return_tensors="pt", **options)
    text = processor.replace_image_token(prepared, 0)
    tensors = {
        name: prepared[name] for name in processor.image_processor.model_input_names if name in prepared
    }
    if family.nested_images:
        # [question, tile, ...] becomes [tile, 1, ...]: nothing is padded to another question's tiles.
        tensors = {name: tensor.transpose(0, 1) for name, tensor in tensors.items()}
    return ProcessedImage(tensors, text, text.count(processor.image_token), rgb.size, fitted.padded)


class BatchImages:
    """The images of a batch, each prepared once for every limit it is shown with.

    Args:
        processor: the model's processor.
        family: the model's family.
    """

    def __init__(self, processor: Any, family: Family) -> None:
        self.processor = processor
        self.family = family
        self._prepared: dict[tuple[ImageSource, int | None], ProcessedImage] = {}

    def prepare(self, source: ImageSource, limit: int | None = None) -> ProcessedImage:
        """An image that takes at most `limit` tokens, or in full; raises as `prepare_image` does."""
        whole = self._prepared.get((source, None))
        if limit is not None and whole is not None and whole.tokens <= limit:
            return whole
        if (source, limit) not in self._prepared:
            self._prepared[source, limit] = prepare_image(source, self.processor, self.family, limit)
        return self._prepared[source, limit]

    def scaled(self, limits: Collection[int], window: int | None) -> dict[str, str]:
        """A sentence on each image that one of these limits makes smaller, by its name."""
        return {
            source.name: (
                f"The image {source.name} ({_pixels(image)}) takes {self.prepare(source).tokens} tokens, "
                f"which do not fit into maximum_tokens ({window}) beside its question: it is scaled down to "
                f"{image.tokens} tokens."
            )
            for (source, limit), image in list(self._prepared.items())
            if limit in limits
        }

    def padded(self) -> dict[str, str]:
        """A sentence on each image that got a border, by its name."""
        return {
            source.name: (
                f"The sides of the image {source.name} ({_pixels(image)}) are too unequal for the model: "
                "it gets a border."
            )
            for (source, _), image in self._prepared.items()
            if image.padded
        }


def _pixels(image: ProcessedImage) -> str:
    return f"{image.size[0]}x{image.size[1]} pixels"


def join_images(images: Sequence[Sequence[ProcessedImage]]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """The images of a batch, given for each question.

    Returns:
        tensors by name, empty where there is no image at all; and by the same names how many of a tensor's
        rows belong to each question.
    """
    flat = [image for several in images for image in several]
    if not flat:
        return {}, {}
    names = list(flat[0].tensors)
    tensors = {name: torch.cat([image.tensors[name] for image in flat]) for name in names}
    rows = {name: [sum(len(one.tensors[name]) for one in several) for several in images] for name in names}
    return tensors, rows


def choose_questions(
    prompt: Mapping[str, Tensor], rows: Mapping[str, Sequence[int]], chosen: Sequence[int]
) -> dict[str, Tensor]:
    """The inputs of some questions of a batch.

    Args:
        prompt: the batch's inputs, by name.
        rows: how many rows of each image tensor belong to each question.
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
