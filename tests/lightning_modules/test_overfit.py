"""The small model learns eight rendered questions by heart; if it cannot, something is broken, not weak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import seed_everything

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.samples import SpatialSample
from lightning_modules.phases import Phase
from lightning_modules.schedule import WarmupCosine
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from tests.helpers.bare_trainer import bare_trainer


@pytest.mark.slow
def test_eight_rendered_questions_are_learnt_by_heart(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    data = AiCityTrack3(
        scenes={"train": 2, "val": 1, "test": 1},
        splits={"test": "train"},
        questions_per_image=4,
        batch_size=2,
        num_workers=0,
        cache=str(tmp_path),
    )
    # The first four questions of each image, in training and in test alike.
    data.prepare_split("train")
    whole = data.split("train")

    class FirstFour:
        def __len__(self) -> int:
            return len(whole)

        def group_sizes(self) -> np.ndarray:
            return whole.group_sizes().clip(max=4)

        def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
            return whole.samples(group, questions)

        def labels(self) -> Iterator[tuple[str, str]]:
            return whole.labels()

        def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
            return whole.texts(limit)

    patched: Any = data
    patched.open_split = lambda role: FirstFour()
    data._open_splits.clear()
    module = TinyGiant(
        TinyGiantConfig(),
        [Phase("normalized", 60)],
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=2e-3),
        schedule=WarmupCosine(0.05, 0.05),
    )
    trainer = bare_trainer(max_epochs=-1, gradient_clip_val=1.0)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    assert module.summary is not None
    assert module.summary["n"] == 8
    assert module.summary["score"] == 100.0
    assert module.summary["unreadable"] == 0
