"""Models are loaded for what the Trainer will compute on, not for what the machine has."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator

from lightning_modules.placement import Placement, device_of, placed, present_placement
from lightning_modules.vlm.loading import load_vlm
from tests.helpers.small_models import SIZE


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, by_itself: bool) -> None:
    """A GPU that computes with bfloat16 by itself, or one that only emulates it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: by_itself or including_emulation
    )


def test_without_a_gpu_everything_is_in_full_precision() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert Placement.of("auto") == Placement.of("cpu") == Placement("cpu", "32-true")


@pytest.mark.parametrize(("by_itself", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_a_gpu_that_emulates_bfloat16_computes_in_float16(
    by_itself: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpu(monkeypatch, by_itself)
    for accelerator in ("auto", "gpu", "cuda"):
        assert Placement.of(accelerator) == Placement("cuda", precision)
    # What is asked for goes before what the machine has.
    assert Placement.of("cpu") == Placement("cpu", "32-true")
    accelerators = CPUAccelerator(), CUDAAccelerator(), MPSAccelerator()
    assert [device_of(one) for one in accelerators] == ["cpu", "cuda", "mps"]


def test_short_names_of_precisions_are_lightnings() -> None:
    names = ("16", 16, "bf16", "32", 32, "64", "bf16-true")
    expected = ["16-mixed", "16-mixed", "bf16-mixed", "32-true", "32-true", "64-true", "bf16-true"]
    assert [Placement.of("cpu", name).precision for name in names] == expected


@pytest.mark.parametrize(
    ("precision", "weights", "products"),
    [
        ("32-true", torch.float32, torch.bfloat16),
        ("64-true", torch.float32, torch.bfloat16),
        ("bf16-mixed", torch.bfloat16, torch.bfloat16),
        ("bf16", torch.bfloat16, torch.bfloat16),
        ("bf16-true", torch.bfloat16, torch.bfloat16),
        ("16-mixed", torch.float16, torch.float16),
        (16, torch.float16, torch.float16),
        ("16-true", torch.float16, torch.float16),
    ],
)
def test_weights_are_in_the_precision_of_the_run(
    precision: str | int, weights: torch.dtype, products: torch.dtype
) -> None:
    placement = Placement.of("gpu", precision)
    assert (placement.weights, placement.products) == (weights, products)
    assert {p.dtype for p in load_tiny(placement).parameters()} == {weights}


def load_tiny(placement: Placement) -> torch.nn.Module:
    return load_vlm("smolvlm_500m", True, tiny_size=SIZE, placement=placement).model


def test_a_placement_ends_with_its_block_also_after_an_error() -> None:
    before = present_placement()
    with pytest.raises(ZeroDivisionError), placed(Placement("cuda", "16-mixed")):
        assert present_placement() == Placement("cuda", "16-mixed")
        raise ZeroDivisionError
    assert present_placement() == before


@pytest.mark.parametrize(
    ("placement", "rank", "where"),
    [
        (Placement("cpu", "32-true"), "0", "cpu"),
        (Placement("cuda", "bf16-mixed"), "0", 0),
        (Placement("cuda", "bf16-mixed"), "1", 1),
    ],
)
def test_four_bits_go_where_the_trainer_computes(
    placement: Placement, rank: str, where: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a machine with a GPU, which transformers would take by itself."""
    from transformers import AutoModelForImageTextToText

    asked = {}

    def from_pretrained(source: str, **options: object) -> torch.nn.Module:
        asked.update(options)
        raise ValueError("far enough")

    pretend_gpu(monkeypatch, True)
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", from_pretrained)
    with pytest.raises(Exception, match="far enough"):
        load_vlm("smolvlm_500m", True, tiny_size=SIZE, quantization=object(), placement=placement)
    assert asked["device_map"] == {"": where}
    assert asked["dtype"] == placement.weights
