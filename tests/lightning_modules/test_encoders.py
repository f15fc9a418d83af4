"""Encoders of timm as they were trained: their activation, all of their weights, how images are resized."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from torch import Tensor

from lightning_modules.package_weights import WeightsError, refuse_other_activation, timm_network
from lightning_modules.vlm.composed_encoder import VisionTower
from lightning_modules.vlm.composed_processor import make_processor
from lightning_modules.vlm.tokenizers import make_tokenizer

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {"depth": 2, "embed_dim": 32, "num_heads": 2}
"""A transformer of images with a few thousand weights."""

SIGLIP, CLIP = "vit_base_patch16_siglip_224.webli", "vit_base_patch16_clip_quickgelu_224.openai"


def encoders_of_experiments() -> list[str]:
    """The encoders that experiment files name."""
    files = [yaml.safe_load(file.read_text()) for file in (ROOT / "experiments").rglob("*.yaml")]
    modules = [file.get("model", {}) for file in files if isinstance(file, dict)]
    models = [module.get("init_args", {}).get("model") for module in modules]
    return sorted({model["encoder"] for model in models if isinstance(model, dict) and "encoder" in model})


def activation(network: torch.nn.Module) -> Tensor:
    """What the first layer's activation makes of some numbers."""
    numbers = torch.linspace(-4, 4, 33)
    return network.blocks[0].mlp.act(numbers)  # type: ignore[union-attr, index]


def test_clip_has_the_activation_it_was_trained_with() -> None:
    """QuickGELU by its definition, x * sigmoid(1.702 x); GELU differs from it by up to 0.02 in each layer."""
    numbers = torch.linspace(-4, 4, 33)
    clip = next(name for name in encoders_of_experiments() if "clip" in name)
    with torch.device("meta"):
        network = VisionTower(clip, 224).network
    torch.testing.assert_close(activation(network), numbers * torch.sigmoid(1.702 * numbers))
    assert (activation(network) - torch.nn.functional.gelu(numbers)).abs().max() > 0.01


@pytest.mark.parametrize("name", encoders_of_experiments())
def test_no_experiment_names_an_encoder_that_would_be_another_one(name: str) -> None:
    refuse_other_activation(name)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        (name.replace("_quickgelu", ""), name)
        for name in timm.list_models("*quickgelu*", pretrained=True)
        if timm.is_model(name.replace("_quickgelu", ""))
    ],
)
def test_the_same_weights_in_another_network_are_refused(name: str, right: str) -> None:
    if name not in timm.list_pretrained():
        pytest.skip("timm has these weights under one name only")
    for pretrained, weights in ((True, None), (False, {})):
        with pytest.raises(WeightsError, match=f"QuickGELU.*Take '{right}'"):
            timm_network(name, pretrained, weights, num_classes=0)


def test_without_weights_any_network_is_made() -> None:
    with torch.device("meta"):
        assert VisionTower("vit_base_patch16_clip_224.openai", 224)


def weights_of(name: str) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(timm.create_model(name, **SMALL).state_dict())


def tower(name: str, weights: dict[str, Tensor]) -> torch.nn.Module:
    return timm_network(name, False, weights, num_classes=0, global_pool="", **SMALL)


@pytest.mark.parametrize("name", [SIGLIP, CLIP])
def test_all_weights_but_those_of_the_head_are_loaded(name: str) -> None:
    weights = weights_of(name)
    loaded = tower(name, dict(weights)).state_dict()
    left_out = {each.partition(".")[0] for each in weights.keys() - loaded.keys()}
    assert left_out == ({"attn_pool"} if name == SIGLIP else {"head"})
    assert all(torch.equal(tensor, weights[each]) for each, tensor in loaded.items())
    without_pooling = {each: tensor for each, tensor in weights.items() if each in loaded}
    assert tower(name, without_pooling).state_dict().keys() == loaded.keys()


@pytest.mark.parametrize("name", [SIGLIP, CLIP])
@pytest.mark.parametrize("extra", ["blocks.2.norm1.weight", "blocks.1.attn.q_norm.weight", "attn_pool.gate"])
def test_weights_without_a_place_are_refused(name: str, extra: str) -> None:
    weights = {**weights_of(name), extra: torch.ones(32)}
    with pytest.raises((WeightsError, RuntimeError), match=extra):
        tower(name, weights)


@pytest.mark.parametrize("absent", ["blocks.1.norm1.weight", "pos_embed", "norm.bias"])
def test_weights_that_are_missing_are_refused(absent: str) -> None:
    weights = weights_of(SIGLIP)
    del weights[absent]
    with pytest.raises(WeightsError, match=f"lack 1 of .*{absent}"):
        tower(SIGLIP, weights)


def test_the_least_torchvision_knows_lanczos() -> None:
    """Below 0.27 transformers takes bicubic where a processor's settings say Lanczos, as SmolVLM's do."""
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    least = next(each for each in requirements if each.startswith("torchvision>=")).partition(">=")[2]
    assert tuple(map(int, least.split("."))) >= (0, 27)


@pytest.mark.parametrize("method", ["LANCZOS", "BICUBIC", "BILINEAR"])
def test_processors_resize_as_pillow_does(method: str) -> None:
    processor = make_processor(SIGLIP, 45, 4, make_tokenizer([]))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    resample = Image.Resampling[method]
    batch = processor.image_processor(
        [Image.fromarray(pixels)],
        return_tensors="pt",
        resample=resample,
        do_normalize=False,
        do_rescale=False,
    )
    ours = batch["pixel_values"][0].permute(1, 2, 0).numpy()
    pillow = np.asarray(Image.fromarray(pixels).resize((45, 45), resample)).astype(float)
    assert np.abs(ours - pillow).max() <= 2
