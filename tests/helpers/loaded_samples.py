"""The samples that a loader gives, batch after batch."""

from __future__ import annotations

from typing import Any

from datamodules.samples import SpatialSample


def samples(loader: Any) -> list[SpatialSample]:
    return [sample for batch in loader for sample in batch["samples"]]
