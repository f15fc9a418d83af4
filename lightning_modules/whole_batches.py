"""A module's collator as it is given to data: what it makes is a whole batch, in whatever loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datamodules.samples import BatchSamples, SpatialSample


@dataclass(frozen=True)
class WholeBatches:
    """Runs a module's collator and adds the samples that the batch was made of.

    So it is all that a plain `DataLoader(samples, collate_fn=self.collator)` needs. The suite's own loaders
    put lighter records of the same samples in their place.
    """

    collator: Callable[[Sequence[SpatialSample]], dict[str, Any]]

    def __call__(self, samples: Sequence[SpatialSample]) -> dict[str, Any]:
        """The batch as the module's steps receive it."""
        return {**self.collator(samples), "samples": BatchSamples(samples)}
