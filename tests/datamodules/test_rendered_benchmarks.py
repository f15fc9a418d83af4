"""Rendered scenes of the three benchmarks, read by the readers of the real ones."""

from pathlib import Path
from typing import Any

import pytest

from datamodules.benchmarks.space_thinker_text import TASKS as SPACE_THINKER_TASKS
from datamodules.cv_bench import TASKS as CV_BENCH_TASKS
from datamodules.cv_bench import CvBench
from datamodules.layouts import OfficialLayout
from datamodules.omni_spatial import TASKS as OMNI_SPATIAL_TASKS
from datamodules.omni_spatial import OmniSpatial
from datamodules.samples import SpatialSample
from datamodules.scoring.baselines import majority_baseline
from datamodules.space_thinker import SpaceThinker

SCENES = {"train": 4, "val": 1, "test": 2}


@pytest.mark.parametrize(
    ("benchmark", "tasks"),
    [(CvBench, CV_BENCH_TASKS), (SpaceThinker, SPACE_THINKER_TASKS), (OmniSpatial, OMNI_SPATIAL_TASKS)],
)
def test_rendered_scenes_are_read_like_real_ones(
    tmp_path: Path, benchmark: type[OfficialLayout], tasks: tuple[str, ...]
) -> None:
    data = benchmark(scenes=SCENES, size=(96, 64), cache=str(tmp_path), num_workers=0)
    data.prepare_data()
    loaders: tuple[Any, ...] = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    for loader in loaders:
        samples: list[SpatialSample] = [sample for batch in loader for sample in batch["samples"]]
        assert len(samples) >= 4
        assert {sample.task for sample in samples} <= set(tasks)
        for sample in samples:
            assert sample.image is not None
            assert sample.image.open().size == (96, 64)
            assert sample.question
            assert sample.answer
            assert not sample.letters or sample.answer in sample.letters
            assert sample.rationale or benchmark is not SpaceThinker
    result = majority_baseline(data)
    assert result["n"] == len(samples)
    assert "other" not in result["tasks"]
