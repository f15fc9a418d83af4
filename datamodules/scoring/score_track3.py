"""Scoring a submission to AI City Challenge Track 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datamodules.benchmarks.track3_records import CATEGORIES
from datamodules.samples import Answer, DataError, SpatialSample
from datamodules.scoring.metrics import Track3Metric
from datamodules.scoring.prediction_files import records_by_id, require_same_ids


class _Track3FileMetric(Track3Metric):
    """Track 3's rules on a submission: values are taken as they stand, as the challenge's scorer does."""

    def submitted(self, answer: Answer, prediction: str | None) -> str | None:
        """The value itself."""
        return answer.raw


def score_track3(truth_file: Path, predictions_file: Path) -> dict[str, Any]:
    """Score a Track 3 submission.

    Args:
        truth_file: official records (as `val.json`), or a list of `{"id", "normalized_answer"}` as the
            challenge's perfect predictions; there the category follows from the kind of JSON value.
        predictions_file: a list of `{"id", "normalized_answer"}`.

    Raises:
        DataError: a file is missing, malformed or empty, repeats an id, or the ids of the two differ.
    """
    truth, predictions = records_by_id(truth_file), records_by_id(predictions_file)
    require_same_ids(truth, predictions, (truth_file, predictions_file))
    metric = _Track3FileMetric()
    metric.update(
        [
            Answer(_truth_sample(name, record, truth_file), _submitted(predictions[name], predictions_file))
            for name, record in truth.items()
        ]
    )
    result: dict[str, Any] = metric.compute()
    return result


def _truth_sample(name: str, record: dict[str, Any], path: Path) -> SpatialSample:
    """The true answer of one question, with its category and image as far as the file tells."""
    value = record.get("normalized_answer")
    if value is None:
        raise DataError(
            f"Question {name} of {path} has no `normalized_answer`, so nothing can be scored by it."
        )
    category = record.get("category") or _category_of(value)
    if not isinstance(category, str) or category not in CATEGORIES:
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
