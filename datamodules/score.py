"""Scores any system's predictions file by a benchmark's official rules.

python -m datamodules.score --benchmark ai_city_track3 --truth val.json --predictions submission.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamodules.json_stream import stream_array
from datamodules.metrics import Judgement, Track3Metric, track3_correct
from datamodules.samples import Answer, DataError, SpatialSample
from datamodules.track3_records import CATEGORIES


class _Track3FileMetric(Track3Metric):
    """Track 3's rules on a submission: values are taken as they stand, as the challenge's scorer does."""

    def judge(self, answer: Answer) -> Judgement:
        """Apply the official rule to a submitted value."""
        correct = track3_correct(answer.sample.task, str(answer.sample.answer), answer.raw)
        return Judgement(None if correct is None else answer.raw, bool(correct))


def score_track3(truth_file: Path, predictions_file: Path) -> dict[str, Any]:
    """Score a Track 3 submission.

    Args:
        truth_file: official records (as `val.json`), or a list of `{"id", "normalized_answer"}` as the
            challenge's perfect predictions; there the category follows from the kind of JSON value.
        predictions_file: a list of `{"id", "normalized_answer"}`.

    Raises:
        DataError: a file is missing, malformed or empty, repeats an id, or the ids of the two differ.
    """
    truth, predictions = _by_id(truth_file), _by_id(predictions_file)
    missing, extra = len(truth.keys() - predictions.keys()), len(predictions.keys() - truth.keys())
    if missing or extra:
        raise DataError(
            f"{predictions_file} does not answer the questions of {truth_file}: {missing} ids are missing "
            f"and {extra} are extra. The challenge scores only files with exactly the same ids."
        )
    metric = _Track3FileMetric()
    metric.update(
        [
            Answer(_truth_sample(name, record, truth_file), _submitted(predictions[name], predictions_file))
            for name, record in truth.items()
        ]
    )
    result: dict[str, Any] = metric.compute()
    return result


SCORERS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {"ai_city_track3": score_track3}
"""How to score a file of predictions, by benchmark."""


def _by_id(path: Path) -> dict[str, dict[str, Any]]:
    """The objects of a JSON list by their id."""
    records: dict[str, dict[str, Any]] = {}
    for position, record in enumerate(stream_array(path)):
        if not isinstance(record, dict) or "id" not in record:
            raise DataError(f"Element {position} of {path} is not an object with an `id`.")
        name = str(record["id"])
        if name in records:
            raise DataError(f"The id {name} appears twice in {path}. Keep one answer for each question.")
        records[name] = record
    if not records:
        raise DataError(f"{path} holds no records.")
    return records


def _truth_sample(name: str, record: dict[str, Any], path: Path) -> SpatialSample:
    """The true answer of one question, with its category and image as far as the file tells."""
    value = record.get("normalized_answer")
    if value is None:
        raise DataError(
            f"Question {name} of {path} has no `normalized_answer`, so nothing can be scored by it."
        )
    category = record.get("category") or _category_of(value)
    if category not in CATEGORIES:
        raise DataError(f"Question {name} of {path} has the unknown category {category!r}.")
    return SpatialSample(
        id=name,
        question="",
        answer=str(value),
        answer_type=CATEGORIES[category],
        task=category,
        group=str(record.get("image", name)),
    )


def _category_of(value: object) -> str:
    """The category of a bare answer, by the rule that holds in the challenge's validation set."""
    if isinstance(value, str):
        return "left_right" if value in ("left", "right") else "mcq"
    return "distance" if isinstance(value, float) or value == 0 else "count"


def _submitted(record: dict[str, Any], path: Path) -> str:
    """The submitted value as text."""
    if "normalized_answer" not in record:
        raise DataError(f"Prediction {record['id']} of {path} has no `normalized_answer`.")
    return str(record["normalized_answer"])


def main(arguments: list[str] | None = None) -> int:
    """Print the score as one JSON line; what is wrong with the files goes to the error stream."""
    parser = argparse.ArgumentParser(prog="python -m datamodules.score", description=__doc__)
    parser.add_argument("--benchmark", required=True, choices=sorted(SCORERS), help="whose rules to apply")
    parser.add_argument("--truth", required=True, type=Path, help="file with the true answers")
    parser.add_argument("--predictions", required=True, type=Path, help="file with a system's answers")
    options = parser.parse_args(arguments)
    try:
        result = SCORERS[options.benchmark](options.truth, options.predictions)
    except DataError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
