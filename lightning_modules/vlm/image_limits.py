"""How many tokens an image takes: limiting a processor, and keeping a single image within a limit.

A limit makes images smaller and never larger: what a model was made for is the most there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from lightning_modules.base import ModelError


@dataclass(frozen=True)
class FittedImage:
    """An image that its processor can look at within a limit.

    Attributes:
        image: the image, changed where its sides forbid it to be looked at as it is.
        options: what the image processor has to be told beside its own settings.
        padded: whether a border was added, because the sides were too unequal.
    """

    image: Image.Image
    options: dict[str, Any] = field(default_factory=dict)
    padded: bool = False


class ImageLimit(Protocol):
    """How a family of models makes its images smaller."""

    def fewest(self, processor: Any) -> int:
        """The fewest tokens with which the model can look at any image."""
        ...

    def limit(self, processor: Any, tokens: int) -> None:
        """Set a processor so that no image takes more than so many tokens, nor more than before.

        Raises:
            ModelError: the model cannot look at an image with so few.
        """
        ...

    def of_several(self, processor: Any, images: int) -> int | None:
        """The most tokens that each image of a prompt may take where it shows so many.

        None where that is no other limit than the processor's own.
        """
        ...

    def fit(self, processor: Any, image: Image.Image, tokens: int | None = None) -> FittedImage:
        """Make one image, in RGB, take at most so many tokens, and at most what the processor is limited to.

        Raises:
            ModelError: the model cannot look at an image with so few.
        """
        ...


class SquareTiles:
    """SmolVLM: an image is cut into square tiles and also shown as a whole, all with the same tokens."""

    def fewest(self, processor: Any) -> int:
        """The tokens of the image as a whole."""
        return int(processor.image_seq_len)

    def limit(self, processor: Any, tokens: int) -> None:
        """Shorten the longest edge, so that the most expensive image, a square one, keeps within."""
        _require(tokens, self.fewest(processor))
        # A square image of n x n tiles; the whole image comes on top.
        side = math.isqrt(tokens // processor.image_seq_len - 1)
        settings = self._settings(processor, max(1, min(side, self._side(processor))))
        processor.image_processor.size = settings["size"]
        processor.image_processor.do_image_splitting = settings["do_image_splitting"]

    def of_several(self, processor: Any, images: int) -> int | None:
        """As many as of one alone."""
        return None

    def fit(self, processor: Any, image: Image.Image, tokens: int | None = None) -> FittedImage:
        """Take the longest edge with which an image of this shape keeps within the limit."""
        if tokens is None:
            return FittedImage(image)
        _require(tokens, self.fewest(processor))
        for side in range(self._side(processor), 0, -1):
            settings = self._settings(processor, side)
            tiles, _, _ = processor.image_processor.get_number_of_image_patches(
                image.height, image.width, settings
            )
            if max(1, tiles) * processor.image_seq_len <= tokens:
                break
        return FittedImage(image, settings)

    @staticmethod
    def _side(processor: Any) -> int:
        """How many tiles lie along the longest edge."""
        images = processor.image_processor
        whole = math.ceil(images.size["longest_edge"] / images.max_image_size["longest_edge"])
        return whole if images.do_image_splitting else 1

    @staticmethod
    def _settings(processor: Any, side: int) -> dict[str, Any]:
        """The image processor's settings for so many tiles along the longest edge."""
        images = processor.image_processor
        longest = min(images.size["longest_edge"], side * images.max_image_size["longest_edge"])
        return {"size": {"longest_edge": longest}, "do_image_splitting": side > 1}


class MergedPatches:
    """Qwen2.5-VL: one token for each square of merged patches, at about the image's own shape."""

    most_unequal = 200
    """How many times as long as the other one a side may be."""

    def fewest(self, processor: Any) -> int:
        """Two by two squares, below which the model does not go by itself."""
        return 4

    def limit(self, processor: Any, tokens: int) -> None:
        """Bound the number of pixels that an image is scaled to."""
        _require(tokens, self.fewest(processor))
        processor.image_processor.size = self._size(processor, tokens)

    def of_several(self, processor: Any, images: int) -> int | None:
        """As many as of one alone."""
        return None

    def fit(self, processor: Any, image: Image.Image, tokens: int | None = None) -> FittedImage:
        """Bound the pixels; pad what is too long, and choose the grid where the processor would exceed."""
        images = processor.image_processor
        shown = _padded(image, self.most_unequal, images.image_mean)
        options: dict[str, Any] = {}
        if tokens is not None:
            _require(tokens, self.fewest(processor))
            if self._tokens(processor, shown, images.size) > tokens:
                options["size"] = self._size(processor, tokens)
        size = options.get("size", images.size)
        edge, most = images.patch_size * images.merge_size, size["longest_edge"] // self._pixels(processor)
        if self._tokens(processor, shown, size) > most:
            # The processor rounds: sides of less than a square up to one, and small images up altogether.
            least = math.ceil(size["shortest_edge"] / self._pixels(processor))
            # A limit below the processor's least would else be met to the token, at the cost of the shape.
            least = min(least, max(self.fewest(processor), most // 2))
            rows, columns = _closest_grid(shown.height / shown.width, least, most)
            shown = shown.resize((columns * edge, rows * edge), Image.Resampling.BICUBIC)
            least = min(size["shortest_edge"], shown.width * shown.height)
            options["size"] = {"shortest_edge": least, "longest_edge": size["longest_edge"]}
        return FittedImage(shown, options, padded=_unequal(image, self.most_unequal))

    @staticmethod
    def _tokens(processor: Any, image: Image.Image, size: Any) -> int:
        """The tokens of an image, by the processor's own arithmetic."""
        images = processor.image_processor
        bounds = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
        patches = images.get_number_of_image_patches(image.height, image.width, bounds)
        return int(patches // images.merge_size**2)

    @staticmethod
    def _pixels(processor: Any) -> int:
        """The pixels of one token."""
        return int((processor.image_processor.patch_size * processor.image_processor.merge_size) ** 2)

    def _size(self, processor: Any, tokens: int) -> dict[str, int]:
        """The least and the most pixels of an image that takes at most so many tokens."""
        own, most = processor.image_processor.size, tokens * self._pixels(processor)
        return {name: min(own[name], most) for name in ("shortest_edge", "longest_edge")}


class SharedTiles:
    """InternVL: an image is cut into tiles, and where there are several also shown as a whole."""

    most_tiles = 64
    """How many tiles the images of a prompt share, as the model's authors have it evaluated."""

    def fewest(self, processor: Any) -> int:
        """The tokens of one tile."""
        return int(processor.image_seq_length)

    def limit(self, processor: Any, tokens: int) -> None:
        """Allow fewer tiles."""
        _require(tokens, self.fewest(processor))
        tiles = tokens // processor.image_seq_length
        images = processor.image_processor
        images.max_patches = min(images.max_patches, tiles - 1 if tiles > 2 else 1)
        images.min_patches = min(images.min_patches, images.max_patches)

    def of_several(self, processor: Any, images: int) -> int | None:
        """Those of an equal share of `most_tiles`, and of the image as a whole where there are several."""
        tiles = max(1, self.most_tiles // max(1, images))
        if tiles >= processor.image_processor.max_patches:
            return None
        return int(processor.image_seq_length) * (tiles + 1 if tiles > 1 else 1)

    def fit(self, processor: Any, image: Image.Image, tokens: int | None = None) -> FittedImage:
        """Take the most tiles with which an image of this shape keeps within the limit."""
        if tokens is None:
            return FittedImage(image)
        _require(tokens, self.fewest(processor))
        images = processor.image_processor
        for tiles in range(images.max_patches, 0, -1):
            settings = {"max_patches": tiles, "min_patches": min(images.min_patches, tiles)}
            shown = images.get_number_of_image_patches(
                image.height, image.width, {**getattr(processor, "images_kwargs", {}), **settings}
            )
            if shown * processor.image_seq_length <= tokens:
                break
        return FittedImage(image, settings)


class SameTokens:
    """PaliGemma, composed models: every image takes the same number of tokens, which the weights decide."""

    def fewest(self, processor: Any) -> int:
        """The tokens of every image."""
        return int(processor.image_seq_length)

    def limit(self, processor: Any, tokens: int) -> None:
        """Raise `ModelError` where they are too many."""
        if tokens < self.fewest(processor):
            raise ModelError(
                f"image_tokens is {tokens}, but this model always looks at an image with "
                f"{processor.image_seq_length} tokens: leave image_tokens out, or take another model."
            )

    def of_several(self, processor: Any, images: int) -> int | None:
        """As many as of one alone."""
        return None

    def fit(self, processor: Any, image: Image.Image, tokens: int | None = None) -> FittedImage:
        """The image as it is."""
        if tokens is not None:
            self.limit(processor, tokens)
        return FittedImage(image)


def share_of_each(sizes: list[int], room: int) -> int:
    """The most tokens that one image may take so that all of them together take at most `room`.

    Those that are small already are left as they are: `[100, 900]` in a room of 400 are limited to 300 each.
    """
    rest = room
    for place, size in enumerate(sorted(sizes)):
        share = rest // (len(sizes) - place)
        if size > share:
            return share
        rest -= size
    return max(sizes, default=0)


def _require(tokens: int, fewest: int) -> None:
    """Raise `ModelError` where a model cannot look at an image with so few tokens."""
    if tokens < fewest:
        raise ModelError(
            f"image_tokens is {tokens}, but this model needs at least {fewest} tokens to look at an image."
        )


def _unequal(image: Image.Image, most: int) -> bool:
    return max(image.size) > most * min(image.size)


def _padded(image: Image.Image, most: int, mean: Any) -> Image.Image:
    """The image in the middle of one whose sides are not too unequal.

    The border has the mean colour of the model's training images, which becomes zero when the processor
    normalises it: no bar of light or darkness is there to be seen.
    """
    if not _unequal(image, most):
        return image
    shortest = math.ceil(max(image.size) / most)
    width, height = (max(side, shortest) for side in image.size)
    background = tuple(round(255 * channel) for channel in mean)
    padded = Image.new("RGB", (width, height), background)
    padded.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return padded


def _closest_grid(height_by_width: float, least: int, most: int) -> tuple[int, int]:
    """Rows and columns of about an image's shape, `least` to `most` squares in all; rather more of them."""

    def fitness(grid: tuple[int, int]) -> tuple[float, int]:
        rows, columns = grid
        return -round(abs(math.log(rows / columns / height_by_width)), 9), rows * columns

    grids = []
    for rows in range(1, most + 1):
        fewest, largest = math.ceil(least / rows), most // rows
        for columns in {math.floor(rows / height_by_width), math.ceil(rows / height_by_width)}:
            grids.append((rows, min(max(columns, fewest, 1), largest)))
    return max((grid for grid in grids if least <= grid[0] * grid[1] <= most), key=fitness)
