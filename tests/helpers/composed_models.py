"""The smallest language model, and composed models of it."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lightning_modules.vlm.composed_encoder import VisionTower
from lightning_modules.vlm.composed_model import ComposedVlm
from lightning_modules.vlm.encoder_swap import assemble
from lightning_modules.vlm.tiny_models import make_tokenizer


def small_llama(words: int, **changes: Any) -> LlamaConfig:
    """A language model of a few thousand parameters."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaConfig(vocab_size=words, **{**sizes, **changes})


def tiny_composed(
    encoder: str = "test_vit", image_size: int = 96, image_tokens: int | None = 9, **options: Any
) -> tuple[ComposedVlm, Any]:
    """A composed model and its processor; every call makes the same bits."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer([], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tower = VisionTower(encoder, image_size)
    language_model = LlamaForCausalLM(small_llama(len(tokenizer)))
    return assemble(tower, encoder, language_model, tokenizer, image_size, image_tokens, **options)
