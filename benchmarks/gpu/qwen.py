"""Qwen2.5-VL at its published shapes, with random weights and without a download."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu.machine import Machine
from benchmarks.language_models import SHAPES, Shape
from benchmarks.logit_distillation import SUPERVISED
from datamodules.loading.grouped import text_length
from datamodules.samples import AnswerType, OpenedImage, SpatialSample
from lightning_modules.vlm import tiny_models
from lightning_modules.vlm.collator import VlmCollator

FAMILY = "qwen2_5_vl"


@dataclass(frozen=True)
class Tower:
    """A vision tower.

    Attributes:
        layers: their number.
        width: of the hidden states.
        inner_width: of the feed-forward blocks.
        heads: of attention.
        whole: the layers that see the whole image; the others see windows.
    """

    layers: int
    width: int
    inner_width: int
    heads: int
    whole: tuple[int, ...]


@dataclass(frozen=True)
class Shapes:
    """What is measured: both language models, the tower that both have, and the edge of an image in pixels.

    Attributes:
        student: the 3B.
        teacher: the 7B.
        tower: in front of both.
        edge: an image takes (edge / 28)^2 tokens.
        shrunk: by how much sequences are shorter than they should be.
    """

    student: Shape
    teacher: Shape
    tower: Tower
    edge: int
    shrunk: int = 1


PUBLISHED = Shapes(
    SHAPES["cuda"]["student"],
    SHAPES["cuda"]["teacher"],
    Tower(32, 1280, 3420, 16, (7, 15, 23, 31)),
    edge=896,
)

STAND_INS = Shapes(
    Shape(3, 4, 2, 64, 128, 2048, spread=0.1),
    Shape(4, 6, 3, 96, 160, 2080, tied=False, spread=0.1),
    Tower(2, 64, 128, 2, (1,)),
    edge=112,
    shrunk=16,
)


def shapes_on(machine: Machine) -> Shapes:
    """The published shapes on a GPU, and stand-ins on a CPU."""
    return PUBLISHED if machine.is_gpu else STAND_INS


@contextmanager
def in_place_of_the_tiny_model(text: Shape, shapes: Shapes, device: str) -> Iterator[None]:
    """Let the family's tiny random model have another shape; on a GPU it is made there, in bfloat16.

    Args:
        text: the shape of its language model.
        shapes: those of its tower and its images.
        device: where its weights are made.
    """

    def make(size: tiny_models.TinySize) -> tuple[Any, Any]:
        return make_qwen(text, shapes, device)

    with patch.dict(tiny_models.TINY_MODELS, {FAMILY: make}):
        yield


_small_tiny_model = tiny_models.TINY_MODELS[FAMILY]


def make_qwen(text: Shape, shapes: Shapes, device: str) -> tuple[Any, Any]:
    """A model with random weights, and the processor of the family's tiny random model."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    small, processor = _small_tiny_model(
        tiny_models.TinySize(width=64, layers=1, vision_layers=1, image_size=shapes.edge)
    )
    tower = shapes.tower
    # A head's rotary channels are shared out to time, row and column: 16, 24, 24 as published.
    channels = text.width // text.heads // 2
    rows = 3 * channels // 8
    config = small.config.to_dict()
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [channels - 2 * rows, rows, rows]}
    config["text_config"] |= {
        "hidden_size": text.width,
        "intermediate_size": text.inner_width,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.key_heads,
        "vocab_size": text.vocabulary,
        "initializer_range": text.spread,
        "rope_parameters": rope,
        "layer_types": None,
        "tie_word_embeddings": text.tied,
    }
    config["vision_config"] |= {
        "depth": tower.layers,
        "hidden_size": tower.width,
        "intermediate_size": tower.inner_width,
        "num_heads": tower.heads,
        "window_size": 112,
        "fullatt_block_indexes": list(tower.whole),
        "out_hidden_size": text.width,
        "initializer_range": text.spread,
    }
    config["tie_word_embeddings"] = text.tied
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if device == "cpu" else torch.bfloat16)
    try:
        with torch.device(device):
            return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config)), processor
    finally:
        torch.set_default_dtype(usual)


@dataclass(frozen=True)
class OneQuestion:
    """A split of a single question about a single image."""

    sample: SpatialSample

    def __len__(self) -> int:
        return 1

    def group_sizes(self) -> np.ndarray:
        """One question."""
        return np.array([1])

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The question."""
        return [self.sample]

    def lengths(self) -> np.ndarray:
        """The length of its texts."""
        return np.array([text_length(self.sample)])

    def labels(self) -> Iterator[tuple[str, str]]:
        """Its task and its answer."""
        yield self.sample.task, self.sample.answer or ""

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        """What is written in it."""
        yield self.sample.question, self.sample.rationale, self.sample.answer or ""


_QUESTION = "How far is the chair from the table ? "
_REASONING = "the chair is near the table and the lamp is far . "


def long_question(reader: VlmCollator, edge: int, tokens: int) -> OneQuestion:
    """A question that fills a window: an image, text, and reasoning as long as in SpaceThinker's samples.

    Args:
        reader: how the model reads, with a window of so many tokens, to which the reasoning is cut.
        edge: of the image, in pixels.
        tokens: of the window.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), dtype=np.uint8)
    sample = SpatialSample(
        id="0",
        question=_QUESTION,
        image=OpenedImage("noise", Image.fromarray(pixels)),
        answer="2 meters",
        answer_type=AnswerType.TEXT,
        rationale=_REASONING,
        group="0",
    )
    bare = reader([sample])["prompt"]["input_ids"].shape[1]
    each, reasoning = (len(reader.conversation.encode(text)) for text in (_QUESTION, _REASONING))
    repeated = 1 + max(0, round(((1 - SUPERVISED) * tokens - bare) / each))
    sample = sample.replace(question=_QUESTION * repeated, rationale=_REASONING * (1 + tokens // reasoning))
    return OneQuestion(sample)
