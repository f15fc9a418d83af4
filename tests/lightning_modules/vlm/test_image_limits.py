"""No image takes more tokens than it may, nor more than its model gives it by itself."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor

from datamodules.samples import OpenedImage
from lightning_modules.base import ModelError
from lightning_modules.vlm.families import FAMILIES, Family
from lightning_modules.vlm.image_inputs import BatchImages, ProcessedImage, prepare_image
from lightning_modules.vlm.image_limits import share_of_each
from lightning_modules.vlm.loading import family_named
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model

SHARED = ("smolvlm_500m", "smolvlm_2b", "qwen2_5_vl_3b", "internvl3_1b", "paligemma2_3b")
PUBLISHED = {
    "smolvlm_500m": (832, 832, 320, 1088),
    "smolvlm_2b": (1053, 1053, 405, 1377),
    "qwen2_5_vl_3b": (2691, 391, 284, 4),
    "internvl3_1b": (2304, 3328, 3328, 256),
    "paligemma2_3b": (256, 256, 256, 256),
}
"""Tokens of images of 1920x1080, 640x480, 100x2000 and 1x1 pixels, by the published processors alone."""


def large(name: str) -> TinySize:
    """A tiny random model with images of many tokens or tiles."""
    edge = 448 if name == "qwen2_5_vl" else 56
    return TinySize(width=64, layers=1, vision_layers=1, image_size=edge, image_tiles=17)


_edges = st.one_of(st.sampled_from([1, 2, 27, 28, 29, 100, 512, 1080, 2000]), st.integers(1, 1500))
sizes = st.tuples(_edges, _edges)


def shown(family: Family, processor: Any, size: tuple[int, int], limit: int | None = None) -> ProcessedImage:
    prepared = prepare_image(OpenedImage("image", Image.new("RGB", size)), processor, family, limit)
    assert prepared.size == size  # its own, also where a border was added
    return prepared


def limited(family: Family, processor: Any, tokens: int) -> Any:
    """A processor that is limited as `image_tokens` does it."""
    other = copy.copy(processor)
    other.image_processor = copy.deepcopy(processor.image_processor)
    family.limit_image_tokens(other, tokens)
    return other


def require_within(family: Family, processor: Any, size: tuple[int, int], tokens: int) -> None:
    """Both ways of limiting keep to the limit and to the model's own size, or refuse in a sentence."""
    fewest = family.image_limit.fewest(processor)
    if tokens < fewest:
        for limiting in (limited, lambda *_: shown(family, processor, size, tokens)):
            with pytest.raises(
                ModelError, match=f"image_tokens is {tokens}, but this model .* {fewest} tokens"
            ):
                limiting(family, processor, tokens)
        return
    whole = shown(family, processor, size).tokens
    by_processor = shown(family, limited(family, processor, tokens), size).tokens
    alone = shown(family, processor, size, tokens).tokens
    assert 0 < by_processor <= alone <= min(tokens, whole)
    if whole <= tokens:
        assert alone == whole


@pytest.fixture(scope="module")
def published(zoo: Path) -> Callable[[str], tuple[Family, Any]]:
    """The family and the real processor of a model."""
    processors = {name: AutoProcessor.from_pretrained(zoo / name) for name in SHARED}
    return lambda name: (family_named(str(zoo / name)), processors[name])


@pytest.mark.parametrize("name", SHARED)
def test_images_take_the_published_tokens_where_nothing_limits_them(name: str, published: Any) -> None:
    family, processor = published(name)
    for size, tokens in zip(((1920, 1080), (640, 480), (100, 2000), (1, 1)), PUBLISHED[name], strict=True):
        assert shown(family, processor, size).tokens == tokens
    # A limit above what the model was made for changes nothing.
    assert shown(family, limited(family, processor, 100_000), (640, 480)).tokens == PUBLISHED[name][1]


@pytest.mark.parametrize("name", SHARED)
@given(size=sizes, tokens=st.one_of(st.integers(1, 100), st.integers(1, 4000)))
@example(size=(1, 1), tokens=4)
@example(size=(100, 2000), tokens=64)
@example(size=(2000, 20), tokens=64)
@example(size=(30, 90), tokens=4)
@example(size=(20, 40), tokens=5)
@example(size=(1, 1500), tokens=300)
@example(size=(3840, 2160), tokens=900)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_published_processors_keep_within_any_limit(
    name: str, published: Any, size: tuple[int, int], tokens: int
) -> None:
    family, processor = published(name)
    require_within(family, processor, size, tokens)


@pytest.mark.parametrize("name", ["idefics3", "smolvlm", "qwen2_5_vl", "internvl", "paligemma", "composed"])
@given(size=sizes, tokens=st.one_of(st.integers(1, 30), st.integers(1, 400)))
@example(size=(20, 1500), tokens=20)
@example(size=(20, 40), tokens=5)
@example(size=(71, 154), tokens=18)
@settings(max_examples=12, deadline=None)
def test_tiny_models_keep_within_any_limit(name: str, size: tuple[int, int], tokens: int) -> None:
    require_within(FAMILIES[name], _tiny_model(name), size, tokens)


def _tiny_model(name: str, processors: dict[str, Any] = {}) -> Any:  # noqa: B006 - made once for all examples
    if name not in processors:
        processors[name] = make_tiny_model(name, size=large(name))[1]
    return processors[name]


def tiles_of(name: str, processor: Any, image: Image.Image) -> set[int]:
    """How many tiles an image can be shown as, by all ways in which the processor can be set to cut it."""
    if name == "internvl":
        ways: list[dict[str, Any]] = [{"crop_to_patches": True, "max_patches": n} for n in range(1, 18)]
    else:
        ways = [{"size": {"longest_edge": 56 * n}, "do_image_splitting": n > 1} for n in range(1, 5)]
    pixels = (processor.image_processor([image], return_tensors="pt", **way)["pixel_values"] for way in ways)
    return {len(tiles) if name == "internvl" else tiles.shape[1] for tiles in pixels}


@pytest.mark.parametrize("name", ["idefics3", "smolvlm", "internvl"])
@pytest.mark.parametrize("size", [(300, 300), (90, 400), (30, 20)])
def test_a_single_image_takes_the_most_tiles_that_its_limit_has_room_for(
    name: str, size: tuple[int, int]
) -> None:
    processor = _tiny_model(name)
    possible = tiles_of(name, processor, Image.new("RGB", size))
    for limit in (1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 14, 17, 18):
        taken = shown(FAMILIES[name], processor, size, 4 * limit + 3).tokens
        assert taken == 4 * max(tiles for tiles in possible if tiles <= limit)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        # A square image of n x n tiles and the whole one; k tiles in a row and the whole one; floor(sqrt)^2.
        ("smolvlm", lambda tokens: 4 * max(n * n + (n > 1) for n in (1, 2, 3, 4) if 4 * n * n <= tokens - 4)),
        ("internvl", lambda tokens: 4 * min(tokens // 4 if tokens >= 12 else 1, 18)),
        ("qwen2_5_vl", lambda tokens: math.isqrt(tokens) ** 2),
    ],
)
@pytest.mark.parametrize("tokens", [8, 11, 12, 19, 20, 23, 39, 40, 67, 68, 200])
def test_image_tokens_are_used_up_by_the_most_expensive_image(name: str, most: Any, tokens: int) -> None:
    family, processor = FAMILIES[name], limited(FAMILIES[name], _tiny_model(name), tokens)
    sizes = [(56 * k, 56) for k in range(1, 18)] if name == "internvl" else [(448, 448)]
    assert max(shown(family, processor, size).tokens for size in sizes) == most(tokens)


def merged_squares(size: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """The grids that an image may get of the tiny Qwen: of its own arithmetic, or else the closest ones."""
    width, height = size
    least, most = (min(pixels, limit * 28**2) for pixels in (448**2 // 2, 448**2))
    rows, columns = round(height / 28), round(width / 28)
    scale = math.sqrt(height * width / (most if rows * columns * 28**2 > most else least))
    if rows * columns * 28**2 > most:
        rows, columns = (max(1, math.floor(side / scale / 28)) for side in (height, width))
    elif rows * columns * 28**2 < least:
        rows, columns = (math.ceil(side / scale / 28) for side in (height, width))
    if rows * columns <= limit:
        return [(rows, columns)]
    fewest = min(128, max(4, min(limit, 256) // 2))
    grids = [(r, c) for r in range(1, 257) for c in range(1, 257) if fewest <= r * c <= min(limit, 256)]
    error = {(r, c): abs(math.log(r / c * width / height)) for r, c in grids}
    return [grid for grid in grids if error[grid] < min(error.values()) + 1e-6]


def quartered(width: int, height: int) -> Image.Image:
    """Red, green, blue and white quarters, of columns that are dark and light in turn."""
    image = Image.new("RGB", (2, 2))
    image.putdata([(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 200)])
    pixels = np.asarray(image.resize((width, height), Image.Resampling.NEAREST)).copy()
    pixels[:, ::2] //= 2
    return Image.fromarray(pixels)


def pixels_of(prepared: ProcessedImage, processor: Any) -> Any:
    """The image that the patches of Qwen show, `[height, width, 3]` from 0 to 255."""
    _, rows, columns = prepared.tensors["image_grid_thw"][0].tolist()
    # Merged squares row by row, in each its 2 x 2 patches, of each its channels, two times, and pixels.
    patches = prepared.tensors["pixel_values"].view(rows // 2, columns // 2, 2, 2, 3, 2, 14, 14)
    values = patches[:, :, :, :, :, 0].permute(0, 2, 5, 1, 3, 6, 4).reshape(14 * rows, 14 * columns, 3)
    settings = processor.image_processor
    return 255 * (values.numpy() * np.array(settings.image_std) + np.array(settings.image_mean))


@pytest.mark.parametrize("limit", [4, 5, 7, 18, 100, 150])
@pytest.mark.parametrize("size", [(20, 40), (40, 20), (200, 150), (1400, 8), (8, 1400), (900, 300), (30, 30)])
def test_a_limited_image_keeps_its_shape_and_its_corners(size: tuple[int, int], limit: int) -> None:
    family, processor = FAMILIES["qwen2_5_vl"], _tiny_model("qwen2_5_vl")
    source = OpenedImage("image", quartered(*size))
    prepared = prepare_image(source, processor, family, limit)
    by_processor = prepare_image(source, limited(family, processor, limit), family)
    for one in (prepared, by_processor):
        _, rows, columns = one.tensors["image_grid_thw"][0].tolist()
        assert (rows // 2, columns // 2) in merged_squares(size, limit)
    seen = pixels_of(prepared, processor)
    height, width, _ = seen.shape
    corners = [seen[y, x : x + 4].mean(0) for y in (1, height - 2) for x in (1, width - 5)]
    for corner, colour in zip(corners, ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)), strict=True):
        assert [round(channel / 150) for channel in corner] == list(colour)
    if size == (1400, 8) and limit < 30:
        # What is made smaller is averaged, and no column left out.
        assert np.abs(seen[1, 4 : width // 2 - 4, 0] - 150).max() < 45


@pytest.mark.parametrize("lying", [True, False])
def test_sides_too_unequal_are_padded_around_the_middle_with_the_mean_colour(lying: bool) -> None:
    family, processor = FAMILIES["qwen2_5_vl"], _tiny_model("qwen2_5_vl")
    mean = tuple(round(255 * channel) for channel in processor.image_processor.image_mean)
    for size, padded in (((400, 2), False), ((402, 2), True), ((1000, 1), True), ((200, 1), False)):
        assert shown(family, processor, size if lying else size[::-1]).padded is padded
    fitted = family.image_limit.fit(processor, Image.new("RGB", (1000, 1) if lying else (1, 1000), "white"))
    pixels = np.asarray(fitted.image).swapaxes(0, 0 if lying else 1)
    assert pixels.shape == (5, 1000, 3)
    for row, colour in enumerate((mean, mean, (255, 255, 255), mean, mean)):
        assert (pixels[row] == colour).all()


def test_an_image_that_just_fits_is_not_said_to_be_scaled_down() -> None:
    family, processor = FAMILIES["qwen2_5_vl"], _tiny_model("qwen2_5_vl")
    images, source = BatchImages(processor, family), OpenedImage("image", Image.new("RGB", (200, 150)))
    whole = images.prepare(source)
    assert images.prepare(source, whole.tokens) is whole and images.scaled({whole.tokens}, 9) == {}
    assert images.prepare(source, whole.tokens - 1) is not whole
    (sentence,) = images.scaled({whole.tokens - 1}, 9).values()
    assert "(200x150 pixels)" in sentence


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=6), st.integers(0, 20_000))
def test_a_room_is_shared_by_shrinking_the_largest_alone(images: list[int], room: int) -> None:
    share = share_of_each(images, room)
    assert sum(min(size, share) for size in images) <= room or share == 0
    if sum(images) > room:
        # One token more for each of those that shrink would be too many.
        assert sum(min(size, share + 1) for size in images) > room
    else:
        assert share == max(images)
