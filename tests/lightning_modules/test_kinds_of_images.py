"""What models are given of images of every kind: the same as of the image that a person sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.samples import ImageFile, ImageSource, OpenedImage, SpatialSample, UnreadableImage
from lightning_modules.distillation.teachers.output_keys import output_key
from lightning_modules.vlm.collator import VlmCollator
from tests.helpers.kinds_of_images import COLOURS, DEPTHS, NO_COLOURS, file_of, red_corner, red_quarter_shown
from tests.helpers.sample_questions import TINY_FAMILIES, tiny_model
from tests.helpers.small_tiny_giant import collator_for

SIDE = 64
"""Edge of the images that models are given here, in pixels; a row of pixels becomes vertical stripes."""


def pixels_for(family: str) -> Callable[[ImageSource], torch.Tensor]:
    """From an image to what a model is given of it."""
    if family == "tiny_giant":
        collate: Any = collator_for()
        return lambda source: collate([SpatialSample("a", "Left?", image=source)])["rgb"]
    _, processor, known = tiny_model(family)
    collate = VlmCollator(processor, known, with_labels=False)
    return lambda source: collate([SpatialSample("a", "Left?", image=source)])["prompt"]["pixel_values"]


def stripes(stripe: Image.Image) -> Image.Image:
    """An image of one row, made higher and wider without any new value."""
    factor = -(-SIDE // stripe.width)
    larger = stripe.resize((stripe.width * factor, SIDE), Image.Resampling.NEAREST)
    larger.info = stripe.info
    return larger


def as_seen(expected: list[Any]) -> OpenedImage:
    """The stripes in RGB that somebody sees."""
    colours = np.array([[each if isinstance(each, tuple) else (each,) * 3 for each in expected]], np.uint8)
    return OpenedImage("a", stripes(Image.fromarray(colours)))


@pytest.mark.parametrize("family", ["tiny_giant", *TINY_FAMILIES])
def test_every_model_is_given_what_is_seen(family: str) -> None:
    pixels = pixels_for(family)
    for kind, (stripe, expected) in COLOURS.items():
        if stripe.mode not in ("La", "I;16B"):  # Pillow does not enlarge these
            given, seen = pixels(OpenedImage("a", stripes(stripe))), pixels(as_seen(expected))
            assert (given.float() - seen.float()).abs().max() <= (
                1 if given.dtype == torch.uint8 else 0.02
            ), kind
    with pytest.raises(UnreadableImage, match="cannot be looked at"):
        pixels(OpenedImage("a", stripes(NO_COLOURS["metres"])))


@pytest.mark.parametrize("family", ["tiny_giant", *TINY_FAMILIES])
def test_every_model_is_given_images_upright(tmp_path: Path, family: str) -> None:
    pixels = pixels_for(family)
    for turned in (3, 6):
        file = tmp_path / f"{turned}.png"
        file.write_bytes(red_corner(turned))
        shown = red_quarter_shown(turned)[..., None] * np.array([255, 0, 0], np.uint8)
        seen = OpenedImage("a", Image.fromarray(shown.astype(np.uint8)))
        with Image.open(file) as raw:
            raw.load()
        for source in (ImageFile(file), OpenedImage("a", raw)):
            assert torch.equal(pixels(source), pixels(seen))


def test_tiny_giant_is_given_depth_that_is_scaled_and_upright(tmp_path: Path) -> None:
    collate = collator_for()
    stripe = OpenedImage("a", Image.new("RGB", (SIDE, SIDE)))
    for kind, (depth, expected) in DEPTHS.items():
        if depth.mode == "I;16B":
            continue
        given, seen = (
            collate([SpatialSample("a", "?", image=stripe, depth=OpenedImage("d", each))])["depth"].float()
            for each in (stripes(depth), as_seen(expected).image.convert("L"))
        )
        assert (given - seen).abs().max() <= 1, kind
    near = Image.fromarray((red_quarter_shown(1) * 9000).astype(np.uint16))
    (tmp_path / "d.png").write_bytes(file_of(near, turned=3))
    (given,) = collate([SpatialSample("a", "?", image=stripe, depth=ImageFile(tmp_path / "d.png"))])["depth"]
    assert given[0, :20, :20].max() == 0 and given[0, -20:, -20:].min() == 255


def test_a_cached_teacher_output_is_found_by_what_is_seen() -> None:
    stripe, expected = COLOURS["16 bits"]
    given, seen = OpenedImage("a", stripes(stripe)), as_seen(expected)
    black = OpenedImage("a", Image.new("RGB", seen.image.size))
    keys = [output_key(SpatialSample("a", "?", image=image), False) for image in (given, seen, black)]
    assert keys[0] == keys[1] != keys[2]
