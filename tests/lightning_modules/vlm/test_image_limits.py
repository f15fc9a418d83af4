"""No image takes more tokens than it may, nor more than its model gives it by itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor

from datamodules.samples import OpenedImage
from lightning_modules.base import ModelError
from lightning_modules.vlm.families import FAMILIES, Family
from lightning_modules.vlm.image_inputs import ProcessedImage, prepare_image
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
    return prepare_image(OpenedImage("image", Image.new("RGB", size)), processor, family, limit)


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


def test_sides_too_unequal_are_padded_around_the_middle_with_the_mean_colour() -> None:
    family, processor = FAMILIES["qwen2_5_vl"], _tiny_model("qwen2_5_vl")
    mean = processor.image_processor.image_mean
    for size, padded in (((400, 2), False), ((402, 2), True), ((1, 1000), True), ((1, 200), False)):
        assert shown(family, processor, size).padded is padded
    fitted = family.image_limit.fit(processor, Image.new("RGB", (1000, 1), "white")).image
    assert fitted.size == (1000, 5)
    column = [fitted.getpixel((500, row)) for row in range(5)]
    assert column[2] == (255, 255, 255)
    assert set(column[:2] + column[3:]) == {tuple(round(255 * channel) for channel in mean)}


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=6), st.integers(0, 20_000))
def test_a_room_is_shared_by_shrinking_the_largest_alone(images: list[int], room: int) -> None:
    share = share_of_each(images, room)
    assert sum(min(size, share) for size in images) <= room or share == 0
    if sum(images) > room:
        # One token more for each of those that shrink would be too many.
        assert sum(min(size, share + 1) for size in images) > room
    else:
        assert share == max(images)
