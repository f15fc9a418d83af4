"""Tiny random models: models of the real transformers classes with few layers, made in memory from a seed.

A tiny random model has its family's model class, processor class, special tokens and chat template, so that
everything the real model goes through runs offline and in seconds: expansion of images into tokens, chat
template, label mask, generation. It knows nothing until it is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_modules.base import ModelError
from lightning_modules.vlm.chat_templates import CHATML, INTERNVL, QWEN, SMOLVLM
from lightning_modules.vlm.tokenizers import make_tokenizer


@dataclass(frozen=True)
class TinySize:
    """How large a tiny random model is; about 2 million parameters by default.

    Attributes:
        width: hidden size of language model and vision tower; a multiple of 16 x `heads`.
        layers: layers of the language model.
        vision_layers: layers of the vision tower.
        heads: attention heads of both; the language model has half as many heads of keys and values.
        image_size: edge of an image in pixels; a multiple of 2 x `patch_size`.
        patch_size: edge of a patch in pixels. 112 and 14 make 16 tokens of an image; PaliGemma, which does
            not merge patches, takes one token for each patch of 2 x `patch_size`.
        image_tiles: SmolVLM, InternVL: the most tiles an image is cut into; 1 for the whole image only.
    """

    width: int = 128
    layers: int = 4
    vision_layers: int = 4
    heads: int = 4
    image_size: int = 112
    patch_size: int = 14
    image_tiles: int = 1

    def __post_init__(self) -> None:
        """Raise `ModelError` where the numbers do not fit each other."""
        if small := [name for name, value in vars(self).items() if value < 1]:
            raise ModelError(
                f"A tiny random model's {small[0]} is {getattr(self, small[0])}; it must be at least 1."
            )
        if self.width % (16 * self.heads) or self.heads % 2:
            raise ModelError(
                f"A tiny random model of width {self.width} cannot have {self.heads} heads: the width must "
                "be a multiple of 16 times the heads, and their number even."
            )
        if self.image_size % (2 * self.patch_size):
            raise ModelError(
                f"A tiny random model's image_size of {self.image_size} must be a multiple of twice its "
                f"patch_size of {self.patch_size}."
            )

    @property
    def image_tokens(self) -> int:
        """Tokens of one square tile after two by two patches are merged."""
        return (self.image_size // self.patch_size // 2) ** 2

    @property
    def spread(self) -> float:
        """Standard deviation of the first weights.

        The real models' 0.02 suits widths of thousands; a narrow network that starts with it hardly tells its
        inputs apart.
        """
        return float(self.width**-0.5)

    @property
    def text(self) -> dict[str, Any]:
        """What the language models of all families call the same."""
        return {
            "hidden_size": self.width,
            "intermediate_size": 3 * self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads // 2,
            "max_position_embeddings": 8192,
            "initializer_range": self.spread,
        }

    @property
    def vision(self) -> dict[str, Any]:
        """What the vision towers of all families call the same."""
        return {
            "hidden_size": self.width,
            "intermediate_size": 3 * self.width,
            "num_hidden_layers": self.vision_layers,
            "num_attention_heads": self.heads,
            "patch_size": self.patch_size,
            "image_size": self.image_size,
            "initializer_range": self.spread,
        }


def make_tiny_model(family_name: str, seed: int = 0, size: TinySize | None = None) -> tuple[Any, Any]:
    """A family's tiny random model in evaluation mode and its processor; the same seed makes the same bits.

    Raises:
        ModelError: the family has no tiny random model.
    """
    import torch

    if family_name not in TINY_MODELS:
        raise ModelError(
            f"There is no tiny random model of {family_name!r}; there are some of {', '.join(TINY_MODELS)}."
        )
    # The caller's random numbers are left as they are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, processor = TINY_MODELS[family_name](size or TinySize())
    model.generation_config.eos_token_id = model.config.get_text_config().eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model.eval(), processor


def _token_ids(tokenizer: Any) -> dict[str, Any]:
    """What a language model's configuration says of the tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _smolvlm_tokenizer() -> Any:
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    return make_tokenizer(
        ["<fake_token_around_image>", "<image>", "<global-img>", *tiles],
        SMOLVLM,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
    )


def _tiled_images(size: TinySize, image_processor: type) -> Any:
    side = int((size.image_tiles - 1) ** 0.5) if size.image_tiles > 1 else 1
    return image_processor(
        size={"longest_edge": side * size.image_size},
        max_image_size={"longest_edge": size.image_size},
        do_image_splitting=side > 1,
    )


def _tiled_settings(size: TinySize, vision: str, processor: Any) -> dict[str, Any]:
    """What the configurations of both generations of SmolVLM say alike."""
    from transformers import LlamaConfig

    return {
        "text_config": LlamaConfig(**size.text, **_token_ids(processor.tokenizer)).to_dict(),
        "vision_config": {"model_type": vision, **size.vision},
        "image_token_id": processor.image_token_id,
        "scale_factor": 2,
    }


def _smolvlm(size: TinySize) -> tuple[Any, Any]:
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    processor = SmolVLMProcessor(
        _tiled_images(size, SmolVLMImageProcessor),
        _smolvlm_tokenizer(),
        SmolVLMVideoProcessor(),
        image_seq_len=size.image_tokens,
        chat_template=SMOLVLM,
    )
    config = SmolVLMConfig(**_tiled_settings(size, "smolvlm_vision", processor))
    return SmolVLMForConditionalGeneration(config), processor


def _idefics3(size: TinySize) -> tuple[Any, Any]:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    processor = Idefics3Processor(
        _tiled_images(size, Idefics3ImageProcessor),
        _smolvlm_tokenizer(),
        image_seq_len=size.image_tokens,
        chat_template=SMOLVLM,
    )
    config = Idefics3Config(**_tiled_settings(size, "idefics3_vision", processor))
    return Idefics3ForConditionalGeneration(config), processor


def _qwen2_5_vl(size: TinySize) -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = make_tokenizer(
        ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"],
        QWEN,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    pixels = size.image_size**2
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(
            patch_size=size.patch_size, size={"shortest_edge": pixels // 2, "longest_edge": pixels}
        ),
        tokenizer,
        Qwen2VLVideoProcessor(patch_size=size.patch_size),
        chat_template=QWEN,
    )
    # A head's rotary channels are shared out to time, row and column as in the real model: 16, 24, 24.
    channels = size.width // size.heads // 2
    rows = 3 * channels // 8
    config = Qwen2_5_VLConfig(
        text_config={
            **size.text,
            **_token_ids(tokenizer),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [channels - 2 * rows, rows, rows],
            },
        },
        vision_config={
            "initializer_range": size.spread,
            "depth": size.vision_layers,
            "hidden_size": size.width,
            "out_hidden_size": size.width,
            "intermediate_size": 3 * size.width,
            "num_heads": size.heads,
            "patch_size": size.patch_size,
            # Two by two merged patches see each other, and in every other layer all do.
            "window_size": 4 * size.patch_size,
            "fullatt_block_indexes": list(range(1, size.vision_layers, 2)),
        },
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _internvl(size: TinySize) -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
        Qwen2Config,
    )

    edge = {"height": size.image_size, "width": size.image_size}
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = make_tokenizer(
        ["<|im_start|>"],
        INTERNVL,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=names,
    )
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=edge, max_patches=size.image_tiles),
        tokenizer,
        InternVLVideoProcessor(size=edge),
        image_seq_length=size.image_tokens,
        chat_template=INTERNVL,
    )
    config = InternVLConfig(
        text_config=Qwen2Config(**size.text, **_token_ids(tokenizer)).to_dict(),
        vision_config={"model_type": "internvl_vision", **size.vision},
        image_token_id=processor.image_token_id,
        image_seq_length=size.image_tokens,
        downsample_ratio=0.5,
    )
    return InternVLForConditionalGeneration(config), processor


def _paligemma(size: TinySize) -> tuple[Any, Any]:
    from transformers import (
        Gemma2Config,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipImageProcessor,
        SiglipVisionConfig,
    )

    tokenizer = make_tokenizer(["<image>"], bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")
    images = SiglipImageProcessor(
        size={"height": size.image_size, "width": size.image_size}, image_seq_length=size.image_tokens
    )
    processor = PaliGemmaProcessor(images, tokenizer)
    config = PaliGemmaConfig(
        text_config=Gemma2Config(
            **size.text,
            **_token_ids(tokenizer),
            head_dim=size.width // size.heads,
            query_pre_attn_scalar=size.width // size.heads,
            sliding_window=4096,
        ).to_dict(),
        vision_config=SiglipVisionConfig(
            **{**size.vision, "patch_size": 2 * size.patch_size}, vision_use_head=False
        ).to_dict(),
        image_token_index=processor.image_token_id,
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        projection_dim=size.width,
    )
    return PaliGemmaForConditionalGeneration(config), processor


def _composed(size: TinySize) -> tuple[Any, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    from lightning_modules.vlm.composed_encoder import VisionTower
    from lightning_modules.vlm.encoder_swap import assemble

    tokenizer = make_tokenizer(["<|im_start|>"], CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    text = LlamaConfig(**size.text, **_token_ids(tokenizer), tie_word_embeddings=True)
    # timm's own network for tests; its patches of 16 pixels are merged two by two.
    encoder, edge = "test_vit", 32 * round(size.image_tokens**0.5)
    tower = VisionTower(encoder, edge)
    return assemble(tower, encoder, LlamaForCausalLM(text), tokenizer, edge, size.image_tokens)


TINY_MODELS: dict[str, Callable[[TinySize], tuple[Any, Any]]] = {
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
    "qwen2_5_vl": _qwen2_5_vl,
    "internvl": _internvl,
    "paligemma": _paligemma,
    "composed": _composed,
}
"""Makes a tiny random model and its processor, by the family's name; torch is seeded before."""
