"""From the predictions of a run to the file that a challenge takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lightning import LightningDataModule

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.benchmarks.track3_records import CATEGORIES
from datamodules.mixture import Mixture
from datamodules.samples import Answer, SpatialSample
from datamodules.scoring.submission import write_submission
from experiments.run_folders.run_folder import RunFolder

WRITERS: dict[type[LightningDataModule], Callable[[Iterable[Answer], Path], int]] = {
    AiCityTrack3: write_submission
}
"""How to write a benchmark's submission, for those that take one."""


def write_submission_file(datamodule: LightningDataModule, folder: RunFolder) -> Path | None:
    """Turn `predictions.jsonl` into `submission.json`; None where the benchmark takes no file."""
    if isinstance(datamodule, Mixture):
        return write_submission_file(datamodule.evaluation, folder)
    writer = WRITERS.get(type(datamodule))
    if writer is None or not folder.predictions.exists():
        return None
    writer(_answers(folder.predictions), folder.submission)
    return folder.submission


def _answers(predictions: Path) -> Iterator[Answer]:
    with predictions.open() as lines:
        for line in map(json.loads, lines):
            sample = SpatialSample(
                id=line["id"],
                question=line["question"],
                task=line["task"],
                answer_type=CATEGORIES.get(line["task"]),
            )
            yield Answer(sample, line["raw"])
