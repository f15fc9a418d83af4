"""Scores any system's predictions file by a benchmark's official rules.

python -m experiments.run score --benchmark cv_bench --truth test_2d.parquet --predictions answers.json
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from datamodules import cv_bench, omni_spatial, space_thinker
from datamodules.files.unique_ids import UniqueIds
from datamodules.samples import Answer, SpatialSample
from datamodules.scoring.choice_metrics import CvBenchMetric, OmniSpatialMetric, SpaceThinkerMetric
from datamodules.scoring.metrics import SpatialMetric
from datamodules.scoring.prediction_files import read_predictions, require_same_ids
from datamodules.scoring.score_track3 import score_track3
from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.program import program

Scorer = Callable[[Path, Path], dict[str, Any]]
"""From the file with the truth and the file with the predictions to the score."""


def score_texts(
    read_truth: Callable[[Path], Iterable[SpatialSample]],
    metric: Callable[[], SpatialMetric],
    truth_file: Path,
    predictions_file: Path,
) -> dict[str, Any]:
    """Score what a system wrote, with the benchmark's own reader of answers.

    Args:
        read_truth: the benchmark's reader of its questions.
        metric: the benchmark's metric.
        truth_file: a file of the benchmark in its official format, or the folder that holds its test split.
        predictions_file: a list of `{"id", "answer"}`, or the `predictions.jsonl` of a run, which says how
            the questions were asked. Other systems are taken to have been asked as the official protocol
            asks.

    Raises:
        DataError: a file is missing, malformed or empty, repeats ids, or the ids of the two differ.
    """
    samples: dict[str, SpatialSample] = {}
    ids = UniqueIds()
    for sample in read_truth(truth_file):
        ids.add(sample.id, f"The id {sample.id} appears twice in {truth_file}.")
        samples[sample.id] = sample
    ids.require()
    predictions = read_predictions(predictions_file)
    require_same_ids(samples, predictions, (truth_file, predictions_file))
    judged = metric()
    judged.update([Answer(sample, *predictions[name]) for name, sample in samples.items()])
    result: dict[str, Any] = judged.compute()
    return result


SCORERS: dict[str, Scorer] = {
    "ai_city_track3": score_track3,
    "cv_bench": partial(score_texts, cv_bench.read_rows, CvBenchMetric),
    "omni_spatial": partial(score_texts, omni_spatial.read_rows, OmniSpatialMetric),
    "space_thinker": partial(score_texts, space_thinker.read_rows, SpaceThinkerMetric),
}
"""How to score a file of predictions, by benchmark."""


def main(arguments: list[str] | None = None) -> None:
    """Print the score as one JSON line; what is wrong with the files goes to the error stream."""
    parser = OptionParser(prog=program("score"), description=__doc__)
    parser.add_argument("--benchmark", required=True, choices=sorted(SCORERS), help="whose rules to apply")
    parser.add_argument("--truth", required=True, type=Path, help="file with the true answers, or its folder")
    parser.add_argument("--predictions", required=True, type=Path, help="file with a system's answers")
    with plain_errors(only_prints=True):
        options = parser.parse_args(arguments)
        print(json.dumps(SCORERS[options.benchmark](options.truth, options.predictions)))


if __name__ == "__main__":
    main()
