"""Language models with random weights, and what they read, for the benchmark of a whole step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.logit_distillation import SUPERVISED
from lightning_modules.distillation.attention.layer_map import pair_layers
from lightning_modules.distillation.decoder_pass import layer_count
from lightning_modules.vlm.collator import IGNORED


@dataclass(frozen=True)
class Shape:
    """A language model of Qwen2's architecture.

    Attributes:
        layers: their number.
        heads: of queries, in each layer.
        key_heads: of keys and values.
        width: of the hidden states.
        inner_width: of the feed-forward blocks.
        vocabulary: how many tokens there are.
        tied: whether the head is the table of embeddings.
        spread: standard deviation of the random weights.
    """

    layers: int
    heads: int
    key_heads: int
    width: int
    inner_width: int
    vocabulary: int
    tied: bool = True
    spread: float = 0.02


SHAPES = {
    "cpu": {
        # So wide a spread makes attention as sharp as trained models have it.
        "student": Shape(2, 8, 2, 512, 1024, 49_152, spread=0.05),
        "teacher": Shape(4, 12, 4, 768, 1536, 49_152, spread=0.05),
    },
    "cuda": {
        "student": Shape(36, 16, 2, 2048, 11_008, 151_936),
        "teacher": Shape(28, 28, 4, 3584, 18_944, 152_064, tied=False),
    },
}


class Models(NamedTuple):
    """Who learns, and from whom."""

    student: Any
    teacher: Any

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The layers whose attention is compared."""
        return pair_layers(layer_count(self.student), layer_count(self.teacher), "linear")


class Sequences(NamedTuple):
    """What the models read, and what the student learns, `[1, tokens]`."""

    inputs: dict[str, Tensor]
    labels: Tensor


def make_model(shape: Shape, device: str, attention: str) -> Any:
    """A language model with random weights, in bfloat16 on a GPU."""
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(shape.layers)
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        tie_word_embeddings=shape.tied,
        initializer_range=shape.spread,
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def make_models(shapes: dict[str, Shape], device: str, attention: str) -> Models:
    """The student with its adapter and activation checkpointing, and the frozen teacher."""
    from peft import LoraConfig, get_peft_model

    student = make_model(shapes["student"], device, attention)
    student.activation_checkpointing_enable()
    # Without peft's usual zeros, so that all parts of the adapter have a gradient.
    adapter = LoraConfig(r=128, lora_alpha=256, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with torch.device(device):
        network = get_peft_model(student, adapter).train()
    return Models(network, make_model(shapes["teacher"], device, attention).eval().requires_grad_(False))


def make_sequences(tokens: int, vocabulary: int, device: str) -> Sequences:
    """One sequence of random tokens, with the answer at its end."""
    drawn = torch.randint(vocabulary, (1, tokens), generator=torch.Generator().manual_seed(0)).to(device)
    labels = drawn.clone()
    labels[:, : round(tokens * (1 - SUPERVISED))] = IGNORED
    return Sequences({"input_ids": drawn, "attention_mask": torch.ones_like(drawn)}, labels)
