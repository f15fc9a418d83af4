"""Whether a view has changed anything of what a model is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from datamodules.samples import ImageSource, SpatialSample, UnreadableImage, open_depth, open_rgb

Opened = Callable[[ImageSource], Image.Image]

_TEXTS = ("question", "prompt", "choices", "examples", "regions")


class Changes:
    """Tells changed questions from unchanged ones; pictures are opened once for each pair of them.

    Args:
        passes_over_bad_images: whether a picture that cannot be read counts as unchanged: its questions are
            answered without it, before and after.
    """

    def __init__(self, passes_over_bad_images: bool = False) -> None:
        self.passes_over_bad_images = passes_over_bad_images
        self._same: dict[tuple[ImageSource, ImageSource], bool] = {}

    def any(self, before: SpatialSample, after: SpatialSample) -> bool:
        """Whether text, regions, or a pixel of a picture or the depth differ.

        Raises:
            UnreadableImage: a picture that a view has changed cannot be opened, and is not passed over.
        """
        if any(getattr(before, name) != getattr(after, name) for name in _TEXTS):
            return True
        pictures, others = _pictures(before), _pictures(after)
        if len(pictures) != len(others):
            return True
        pairs = list(zip(pictures, others, strict=True))
        if not all(self._alike(first, second, open_rgb) for first, second in pairs):
            return True
        if before.depth is None or after.depth is None:
            return before.depth is not after.depth
        return not self._alike(before.depth, after.depth, open_depth)

    def _alike(self, first: ImageSource, second: ImageSource, opened: Opened) -> bool:
        if first == second:
            return True
        pair = first, second
        if pair not in self._same:
            try:
                self._same[pair] = np.array_equal(np.asarray(opened(first)), np.asarray(opened(second)))
            except UnreadableImage:
                if not self.passes_over_bad_images:
                    raise
                self._same[pair] = True
        return self._same[pair]


def _pictures(sample: SpatialSample) -> tuple[ImageSource, ...]:
    return (() if sample.image is None else (sample.image,)) + sample.further_images
