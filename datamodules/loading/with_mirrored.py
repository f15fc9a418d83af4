"""Training images that are seen in a mirror as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.loading.grouped import GroupedQuestions
from datamodules.samples import SpatialSample
from datamodules.views import Mirrored


@dataclass(frozen=True)
class WithMirrored:
    """Twice as many images: those of a split, and behind them all of them in a mirror."""

    plain: GroupedQuestions

    def __len__(self) -> int:
        """How many images there are."""
        return 2 * len(self.plain)

    def group_sizes(self) -> np.ndarray:
        """How many questions each image has, `[images]`."""
        return np.tile(self.plain.group_sizes(), 2)

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        """The chosen questions of the `group`-th image; no image is opened.

        Raises:
            DataError: a text cannot be mirrored.
        """
        in_mirror, number = divmod(group, len(self.plain))
        samples = self.plain.samples(number, questions)
        return [Mirrored()(sample) for sample in samples] if in_mirror else samples

    def lengths(self) -> np.ndarray:
        """How long the longest question of each image is, `[images]`."""
        return np.tile(self.plain.lengths(), 2)
