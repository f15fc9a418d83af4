"""Every module learns from and answers every benchmark: the whole matrix, with no hole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.cv_bench import CvBench
from datamodules.omni_spatial import OmniSpatial
from datamodules.space_thinker import SpaceThinker
from lightning_modules.base import SpatialModule
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.bare_trainer import bare_trainer


def tiny_giant() -> SpatialModule:
    return TinyGiant(TinyGiantConfig(geometry="floor_fit", relations=True), [Phase("normalized", 1)])


def generating() -> SpatialModule:
    return PeftSft("smolvlm_500m", random_weights=True, answering="generate", maximum_new_tokens=8)


def ranking() -> SpatialModule:
    return PeftSft("qwen2_5_vl_3b", random_weights=True, answering="rank", maximum_new_tokens=8)


def distilled() -> SpatialModule:
    return DistilledStudent(
        Teacher("internvl3_2b", random_weights=True, tiny_size=TinySize(layers=6)),
        attention=AttentionDistillation(),
        model="internvl3_1b",
        random_weights=True,
        maximum_new_tokens=8,
    )


MODULES: dict[str, Callable[[], SpatialModule]] = {
    "TinyGiant": tiny_giant,
    "PeftSft, generating": generating,
    "PeftSft, ranking": ranking,
    "DistilledStudent": distilled,
}
DATA: dict[str, type[Any]] = {
    "Track 3": AiCityTrack3,
    "SpaceThinker": SpaceThinker,
    "CV-Bench": CvBench,
    "OmniSpatial": OmniSpatial,
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered scenes that all pairs share."""
    return tmp_path_factory.mktemp("matrix")


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", DATA)
@pytest.mark.parametrize("module", MODULES)
def test_two_steps_and_an_evaluation(module: str, benchmark: str, cache: Path) -> None:
    data = DATA[benchmark](
        scenes={"train": 8, "val": 2, "test": 4},
        size=(112, 80),
        batch_size=2,
        questions_per_image=4,
        num_workers=0,
        cache=str(cache),
    )
    model = MODULES[module]()
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    trainer = bare_trainer(max_steps=2, limit_test_batches=2)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)

    assert trainer.global_step == 2
    assert any(not p.detach().equal(before[name]) for name, p in model.named_parameters() if name in before)
    assert model.summary is not None and model.summary["n"] > 0
    assert sum(task["n"] for task in model.summary["tasks"].values()) == model.summary["n"]
    if module == "PeftSft, ranking" and benchmark in ("CV-Bench", "OmniSpatial"):
        assert model.summary["unreadable"] == 0
