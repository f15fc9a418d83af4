"""TinyGiant remembers what its questions have always had, and learns from nothing else than answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.samples import SpatialSample
from datamodules.views import Blind, NoDepth, View
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.image_preparation import CollatorError
from lightning_modules.tiny_giant.module import TinyGiant
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData

SMALL: dict[str, Any] = {
    "width": 16,
    "heads": 2,
    "fusion_layers": 1,
    "decoder_layers": 1,
    "experts": 0,
    "visual_width": 8,
}


class WithoutAnswers(View):
    """The answer of one question is not known."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        return sample.replace(answer=None, rationale="")


class OneWithoutDepth(View):
    """Depth was not measured for one question of each image."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        return sample.replace(depth=None) if sample.id.endswith("-2") else sample


def module(**network: Any) -> TinyGiant:
    return TinyGiant(TinyGiantConfig(**SMALL | network), [Phase("normalized", 1)])


@pytest.mark.parametrize(
    ("views", "network", "needs"),
    [
        ([], {}, {"depth", "regions"}),
        ([NoDepth()], {}, {"regions"}),
        ([OneWithoutDepth()], {}, {"regions"}),
        ([Blind()], {}, set()),
        ([], {"depth_backbone": None, "geometry": "mask"}, {"regions"}),
    ],
    ids=["everything", "no depth", "some depth", "blind", "reads no depth"],
)
def test_what_was_always_there_is_needed(
    tmp_path: Path, views: list[View], network: dict[str, Any], needs: set[str]
) -> None:
    trained = module(**network)
    assert trained.needs == frozenset()
    trainer = bare_trainer(max_epochs=1)
    trainer.fit(trained, MemoryData(images=2, views=views))
    assert trained.needs == needs
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = module(**network)
    loaded.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    assert loaded.needs == needs


def test_a_checkpoint_that_does_not_say_needs_nothing(tmp_path: Path) -> None:
    trained = module()
    trainer = bare_trainer(max_epochs=1)
    trainer.fit(trained, MemoryData(images=2))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del checkpoint["always_given"]
    trained.on_load_checkpoint(checkpoint)
    assert trained.needs == frozenset()


def test_nothing_is_learnt_from_a_question_without_answer() -> None:
    data = MemoryData(images=2, views=[WithoutAnswers()])
    with pytest.raises(CollatorError, match="has no answer, so nothing can be learnt from it"):
        bare_trainer(max_epochs=1).fit(module(), data)
