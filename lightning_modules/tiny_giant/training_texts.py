"""The texts that a vocabulary is built from, whatever the data are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from datamodules.samples import SpatialSample
from lightning_modules.base import ModelError

AT_MOST = 50_000
"""How many records are looked at."""


def training_texts(data: Any) -> Iterable[str]:
    """Questions, rationales, answers and choices of the training data.

    Args:
        data: says them itself (`texts()`), or has a training loader over a data set of records.

    Raises:
        ModelError: neither is so.
    """
    if hasattr(data, "texts"):
        return data.texts()
    samples = list(itertools.islice(_records(data), AT_MOST))
    if not samples or not all(isinstance(sample, SpatialSample) for sample in samples):
        raise ModelError(
            f"The words to learn are not known: {type(data).__name__}.train_dataloader() loads no data set "
            "of SpatialSamples. Give it a method texts() that returns the texts of the training data."
        )
    return [
        text
        for sample in samples
        for text in (sample.question, sample.rationale, sample.answer or "", *sample.choices)
    ]


def _records(data: Any) -> Iterable[Any]:
    dataset = getattr(data.train_dataloader(), "dataset", [])
    return (dataset[index] for index in range(len(dataset))) if hasattr(dataset, "__len__") else dataset
