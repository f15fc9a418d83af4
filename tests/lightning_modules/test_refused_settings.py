"""Settings that nothing can be made with are refused when they are read, and broken weights by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.samples import SmallSpatialError
from lightning_modules.checkpoints import CheckpointError, read_checkpoint
from lightning_modules.optimizers import OptimizerError, require_optimizer
from lightning_modules.package_weights import timm_weights
from lightning_modules.schedule import WarmupCosine
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.vlm.composed_encoder import feature_map_shape
from lightning_modules.vlm.loading import Composed, load_vlm
from lightning_modules.vlm.tiny_models import TinySize
from lightning_modules.vlm.whole_weights import adapter_tensors
from tests.helpers.broken_contents import INSTEAD


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"heads": 7}, "heads is 7, which does not divide network.width, 96.*6 heads"),
        ({"heads": 0}, "heads is 0"),
        ({"width": -96}, "width is -96"),
        ({"top_k": 5}, "top_k is 5, but there are only 4 experts"),
        ({"top_k": 0}, "top_k is 0"),
        ({"experts": -1}, "experts is -1"),
        ({"fusion_layers": -1}, "fusion_layers is -1"),
        ({"image_size": (0, 64)}, "image_size is"),
        ({"image_size": (10, 10)}, r"image_size is \(10, 10\).*multiples of 32"),
        ({"image_size": (96, 70)}, "multiples of 32"),
        ({"global_grid": (2, -3)}, "global_grid is"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"field_of_view": 180.0}, "field_of_view is 180"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SmallSpatialError, match=words):
        TinyGiantConfig(**settings)


def test_shapes_that_fit_are_taken() -> None:
    TinyGiantConfig(heads=6)
    TinyGiantConfig(experts=0, top_k=2)
    TinyGiantConfig(geometry_size=None)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WarmupCosine(warmup_fraction=-0.1), "warmup_fraction is -0.1"),
        (lambda: WarmupCosine(final_fraction=3), "final_fraction is 3"),
        (lambda: TinySize(heads=0), "heads is 0"),
        (lambda: TinySize(layers=-1), "layers is -1"),
        (lambda: Composed("vit", "lm", image_size=0), "image_size is 0"),
        (
            lambda: feature_map_shape("vit_base_patch14_dinov2", 10),
            "one patch of the encoder.*multiple of 14",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, words: str) -> None:
    with pytest.raises(SmallSpatialError, match=words):
        make()


def test_an_optimizer_is_tried_before_it_is_needed() -> None:
    require_optimizer(lambda parameters: torch.optim.AdamW(parameters, lr=0.1, fused=True))
    with pytest.raises(OptimizerError, match="Invalid learning rate: -1"):
        require_optimizer(lambda parameters: torch.optim.SGD(parameters, lr=-1))


@pytest.mark.parametrize("word", [*INSTEAD, "not whole", "does not exist", "a folder"])
def test_a_checkpoint_that_cannot_be_read_says_why(word: str, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    if word == "not whole":
        torch.save({"state_dict": {"a": torch.zeros(1000)}}, file)
        assert read_checkpoint(file)["state_dict"]["a"].shape == (1000,)
        file.write_bytes(file.read_bytes()[:2000])
    elif word == "a folder":
        file.mkdir()
    elif word in INSTEAD:
        file.write_bytes(INSTEAD[word])
    with pytest.raises(CheckpointError, match=f"last.ckpt cannot be read.*{word}"):
        read_checkpoint(file)


def test_tensors_that_are_no_run_are_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="is no checkpoint of a run"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("word", INSTEAD)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_weights_file_that_cannot_be_read_says_why(suffix: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(INSTEAD[word])
    with pytest.raises(SmallSpatialError, match=f"weights{suffix} cannot be read.*{word}"):
        timm_weights("lcnet_050", file)
    if suffix == ".safetensors":
        with pytest.raises(SmallSpatialError, match=f"weights{suffix} is damaged.*{word}"):
            adapter_tensors(file)


@pytest.mark.parametrize("word", INSTEAD)
def test_a_folder_with_a_broken_configuration_says_why(word: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(INSTEAD[word])
    with pytest.raises(SmallSpatialError, match=f"holds no model that can be read.*{word}"):
        load_vlm(str(tmp_path))
