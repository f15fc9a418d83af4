"""What the encoder hands to the decoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Encoded:
    """Questions that have been read and fused with what is seen.

    Attributes:
        tokens: fused words, `[questions, words, width]`.
        words: which of them are words, `[questions, words]`.
        summary: their mean, `[questions, width]`.
        regions: fused region states, `[questions, regions, width]`.
        named: which regions exist, `[questions, regions]`.
        relations: embedded pairs, `[questions, regions, regions, relations]`, or None.
        log_distance: logarithm of the floor distance of pairs in camera heights,
            `[questions, regions, regions]`, or None where the floor was not fitted.
        log_size: logarithm of the regions' sizes on the floor in camera heights, `[questions, regions]`, or
            None likewise.
        log_height: logarithm of the camera's height in metres, 0 without a floor, `[questions]`, or None
            where it is not estimated.
        shown: how many pallets the picture shows in each region, `[questions, regions]`, -1 where there is no
            picture of it, or None where these are not counted.
        shown_in_images: the same for all regions of the images, `[images, regions]`, or None likewise.
    """

    tokens: Tensor
    words: Tensor
    summary: Tensor
    regions: Tensor
    named: Tensor
    relations: Tensor | None
    log_distance: Tensor | None
    log_size: Tensor | None
    log_height: Tensor | None
    shown: Tensor | None
    shown_in_images: Tensor | None

    @property
    def visible(self) -> Tensor:
        """Which places for regions may be attended to, `[questions, regions]`.

        A question without regions would attend to nothing, which is not a number: it sees all places that
        others have, and what it finds there has to count for nothing.
        """
        return self.named | ~self.named.any(1, keepdim=True)
