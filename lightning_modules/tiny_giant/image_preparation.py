"""One image for TinyGiant: resized, its regions described, once for all of its questions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from datamodules.samples import DataError, Region, SmallSpatialError, SpatialSample, open_depth, open_rgb
from lightning_modules.tiny_giant import (
    floor_fit,
    floor_image,
    floor_rectangles,
    geometry,
    hulls,
    standing,
)
from lightning_modules.tiny_giant.floor_image import DepthEncoding
from lightning_modules.tiny_giant.geometry import Geometry, describe_regions, fill_rows, shares_inside
from lightning_modules.tiny_giant.hulls import STANDS_INSIDE, feet, fill_hulls
from lightning_modules.tiny_giant.picture_counts import UNKNOWN_COUNT

MASK_STRIDE = 8
"""Pixels of an image per cell of the feature maps that region masks pool."""


COUNTED = "pallet"
"""The kind of thing that questions ask the number of."""

SAME = 0.5
"""Two masks of which each covers more than this share of the other are of the same thing."""


class CollatorError(SmallSpatialError):
    """A sample cannot be turned into TinyGiant's tensors."""


@dataclass(frozen=True)
class PreparedImage:
    """What all questions of one image share.

    Attributes:
        rgb: `[3, height, width]`, uint8.
        masks: share of each square that a region covers, `[regions, 2, height / 8, width / 8]`: the region's
            visible pixels, and what stands inside it.
        features: numbers that describe the regions, `[regions, features]`.
        relations: numbers that describe pairs, `[regions, regions, relations]`.
        shown: how many pallets stand inside of each region, `[regions]`, -1 where nobody knows.
        depth: `[channels, height, width]`, uint8, or None.
    """

    rgb: Tensor
    masks: Tensor
    features: Tensor
    relations: Tensor
    shown: Tensor
    depth: Tensor | None = None


@dataclass(frozen=True)
class ImagePreparation:
    """Makes a `PreparedImage` of an image and its regions.

    Args:
        image_size: width and height to which images are resized, multiples of 32.
        geometry_size: width and height at which regions are measured.
        geometry: which numbers describe the regions.
        field_of_view: the camera's assumed horizontal field of view, in degrees.
        use_depth: whether the depth image is read.
        depth_encoding: what is made of it for the depth backbone.
    """

    image_size: tuple[int, int]
    geometry_size: tuple[int, int]
    geometry: Geometry
    field_of_view: float
    use_depth: bool
    depth_encoding: DepthEncoding

    def depends_on(self) -> str:
        """What the tensors of an image depend on beside it and its regions: settings, this code, Pillow."""
        modules = (sys.modules[__name__], geometry, floor_fit, floor_rectangles, hulls, standing, floor_image)
        return repr((self, tuple(map(inspect.getsource, modules)), PIL.__version__))

    def prepare(self, sample: SpatialSample, regions: Sequence[Region]) -> dict[str, Tensor]:
        """Open, resize and describe one image with some regions: what a `PreparedImage` is made of.

        Raises:
            UnreadableImage: an image cannot be decoded.
            CollatorError: a region's run lengths are not those of a mask.
        """
        assert sample.image is not None
        rgb = open_rgb(sample.image).resize(self.image_size, Image.Resampling.BILINEAR)
        depth = fine_depth = None
        if self.use_depth and sample.depth is not None:
            image = open_depth(sample.depth)
            # Nearest: a mean across an object's edge would be a depth where nothing is.
            fine_depth = np.asarray(image.resize(self.geometry_size, Image.Resampling.NEAREST))
            depth = torch.from_numpy(self._depth_channels(image, fine_depth))
        width, height = self.geometry_size
        masks = np.zeros((len(regions), height, width), bool)
        for index, region in enumerate(regions):
            try:
                masks[index] = _resized(region.mask(), width, height)
            except DataError as error:
                raise CollatorError(
                    f"{error} It is a region of the image of question {sample.id!r}."
                ) from error
        hulls = fill_hulls(masks) if self.geometry == "containment" else None
        features, relations = describe_regions(masks, fine_depth, self.geometry, self.field_of_view, hulls)
        filled = fill_rows(masks) if hulls is None else hulls
        both = torch.from_numpy(np.stack([masks, filled & ~masks], axis=1)).float()
        grid = torch.nn.functional.adaptive_avg_pool2d(both.flatten(0, 1), self.grid)
        return {
            "rgb": torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous(),
            "masks": grid.unflatten(0, both.shape[:2]),
            "features": torch.from_numpy(features),
            "relations": torch.from_numpy(relations),
            "shown": torch.from_numpy(self._shown(sample, masks, filled)),
            **({} if depth is None else {"depth": depth}),
        }

    def _shown(self, sample: SpatialSample, masks: np.ndarray, zones: np.ndarray) -> np.ndarray:
        """How many pallets stand inside of each zone `[regions, height, width]`; -1 where nobody knows.

        A region that is a pallet itself is no zone: its own feet would count.
        """
        if sample.shown is None:
            return np.full(len(zones), UNKNOWN_COUNT, np.float32)
        width, height = self.geometry_size
        seen = [_resized(mask, width, height) for mask in sample.shown.masks(COUNTED)]
        things = np.array(seen, bool).reshape(-1, height, width)
        inside = (shares_inside(feet(things), zones) > STANDS_INSIDE).sum(0).astype(np.float32)
        is_thing = ((shares_inside(things, masks) > SAME) & (shares_inside(masks, things).T > SAME)).any(0)
        shown: np.ndarray = np.where(is_thing, UNKNOWN_COUNT, inside).astype(np.float32)
        return shown

    def _depth_channels(self, image: Image.Image, fine_depth: np.ndarray) -> np.ndarray:
        """What the depth backbone sees, `[channels, height, width]` in uint8."""
        channels = [image]
        if self.depth_encoding == "floor":
            channels += map(Image.fromarray, floor_image.floor_image(fine_depth, self.field_of_view))
        return np.stack(
            [np.asarray(each.resize(self.image_size, Image.Resampling.BILINEAR)) for each in channels]
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a backbone's feature map."""
        width, height = self.image_size
        return height // MASK_STRIDE, width // MASK_STRIDE


def _resized(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    if mask.shape == (height, width):
        return mask
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX)) >= 128
