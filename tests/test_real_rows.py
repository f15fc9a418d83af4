"""Vision-language models on real rows of SpaceThinker and OmniSpatial, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from datamodules.base import SpatialDataModule
from datamodules.omni_spatial import OmniSpatial
from datamodules.space_thinker import SpaceThinker
from datamodules.views import Blind
from lightning_modules.base import SpatialModule
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.bare_trainer import bare_trainer


def answered(model: SpatialModule, data: SpatialDataModule, **options: int) -> int:
    """How many questions of the test split were answered and judged."""
    bare_trainer(**options).test(model, datamodule=data, verbose=False)
    assert model.summary is not None
    return int(model.summary["n"])


@pytest.mark.slow
def test_real_conversations_are_learnt_and_answered(shared_data: Path, tmp_path: Path) -> None:
    data = SpaceThinker(
        root=str(shared_data / "space_thinker"),
        splits={"train": "test", "val": "test"},
        cache=str(tmp_path),
        batch_size=3,
        num_workers=0,
    )
    model = PeftSft(
        "qwen2_5_vl_3b", random_weights=True, answering="generate", rationale=True, maximum_new_tokens=8
    )
    fit = bare_trainer(max_steps=2)
    fit.fit(model, datamodule=data)
    assert fit.global_step == 2
    assert answered(model, data) == 3


@pytest.mark.slow
def test_real_questions_are_answered_without_their_images(shared_data: Path, tmp_path: Path) -> None:
    data = OmniSpatial(
        root=str(shared_data / "omni_spatial"),
        views=[Blind()],
        cache=str(tmp_path),
        batch_size=16,
        num_workers=0,
    )
    model = PeftSft("smolvlm_500m", random_weights=True, answering="rank")
    assert answered(model, data, limit_test_batches=4) >= 64
    assert model.summary is not None and model.summary["unreadable"] == 0
