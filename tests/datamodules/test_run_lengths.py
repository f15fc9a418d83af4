"""Masks are whole or refused, with the record's name: pycocotools decodes whatever it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from PIL import Image

from datamodules.benchmarks.track3_index import index_records
from datamodules.images.run_lengths import why_not_a_mask
from datamodules.own_images import OwnImages
from datamodules.samples import DataError, OpenedImage, Region, SpatialSample
from datamodules.views import BoxesInText, Marked
from lightning_modules.tiny_giant.image_preparation import CollatorError
from tests.helpers.small_tiny_giant import collator_for
from tests.helpers.track3_files import HEIGHT, WIDTH, mask, record, write_split

WHOLE = mask()["counts"]
_NOT_WHOLE = "add up to|are cut off|hold a negative run|hold characters"
BAD: dict[str, tuple[Any, str]] = {
    "short": (WHOLE[:-1], _NOT_WHOLE),
    "one run": ("P1", "add up to 32"),
    "long": (WHOLE + "1", "add up to"),
    "very long": (WHOLE + "oooooooooooo7", _NOT_WHOLE),
    "of a larger mask": (mask(height=2 * HEIGHT)["counts"], "add up to 1,536"),
    "cut off": (WHOLE[:-1] + "o", "are cut off within a number"),
    "negative": ("0O", "hold a negative run"),
    "empty": ("", "are empty"),
    "not ASCII": (WHOLE[:-1] + "ü", "hold characters that COCO"),
    "blank": (WHOLE + " ", "hold characters that COCO"),
    "base64": ("eJxjYGBgAAAABAAB", _NOT_WHOLE),
}
"""Run lengths of a mask of 24x32 pixels that are none, and what is said of them."""

BAD_LISTS: dict[str, Any] = {
    "short": [0, 100],
    "long": [0, HEIGHT * WIDTH, 5],
    "negative": [-1, HEIGHT * WIDTH + 1],
    "none": [],
    "floats": [0.0, float(HEIGHT * WIDTH)],
    "texts": ["0", "768"],
    "booleans": [True, HEIGHT * WIDTH - 1],
}


@given(arrays(bool, some.tuples(some.integers(1, 40), some.integers(1, 40)), elements=some.booleans()))
@settings(max_examples=60, deadline=None)
def test_what_coco_encodes_is_whole_and_of_no_other_size(pixels: np.ndarray) -> None:
    height, width = pixels.shape
    region = Region.from_mask(pixels)
    assert why_not_a_mask(region.counts, height, width) == ""
    assert "add up to" in why_not_a_mask(region.counts, height + 1, width)
    assert all(why_not_a_mask(region.counts[:length], height, width) for length in range(len(region.counts)))
    assert np.array_equal(region.mask(), pixels)


def test_real_masks_are_whole(shared_data: Path) -> None:
    folder = shared_data / "ai_city_track3"
    entries = [
        entry
        for name in ("val", "train_records")
        for entry in json.loads((folder / f"{name}.json").read_text())
    ]
    masks = [each for entry in entries for each in entry["rle"]]
    assert len(masks) > 30 and not any(why_not_a_mask(each["counts"], *each["size"]) for each in masks)


def track3(folder: Path, bad: Any) -> None:
    """The second mask of a record of Track 3."""
    entry = record("a.png", 1, rle=[mask(), {"size": [HEIGHT, WIDTH], "counts": bad}])
    index_records(write_split(folder, "test", [record("a.png", 0), entry], images=False), folder / "cache")


def own(folder: Path, bad: Any) -> None:
    """The second mask of a user's question."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.png")
    regions = [mask(), {"size": [HEIGHT, WIDTH], "counts": bad}]
    row = {"id": "a-1", "image": "a.png", "question": "<mask> <mask>", "regions": regions}
    (folder / "questions.json").write_text(json.dumps([row]))
    OwnImages(str(folder)).require_split("test")


@pytest.mark.parametrize(
    ("read", "name"),
    [(track3, "Mask 1 of record a-1 of "), (own, "Region 1 of record 1 of ")],
    ids=["track3", "own"],
)
@pytest.mark.parametrize("kind", BAD)
def test_the_record_is_named(tmp_path: Path, kind: str, read: Callable[[Path, Any], None], name: str) -> None:
    counts, why = BAD[kind]
    with pytest.raises(DataError, match=rf"^{name}.*no run lengths .*24x32.*they ({why})") as error:
        read(tmp_path, counts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", BAD_LISTS)
def test_plain_run_lengths_are_whole_too(tmp_path: Path, kind: str) -> None:
    own(tmp_path, [0, 100, HEIGHT * WIDTH - 100])
    with pytest.raises(DataError, match=r"^Region 1 of record 1 of .*no run lengths"):
        own(tmp_path, BAD_LISTS[kind])
    with pytest.raises(DataError, match=r"^Mask 1 of record a-1 of .*not a compressed COCO mask"):
        track3(tmp_path, BAD_LISTS[kind])


@pytest.mark.parametrize("kind", BAD)
def test_nothing_decodes_what_is_no_mask(kind: str) -> None:
    """Whoever makes records without a layout: no pixel comes out of memory, and no traceback."""
    counts, _ = BAD[kind]
    image = OpenedImage("a.png", Image.new("RGB", (WIDTH, HEIGHT)))
    sample = SpatialSample("q7", "<mask>?", image=image, regions=(Region(HEIGHT, WIDTH, counts),))
    for look in (
        sample.regions[0].mask,
        sample.regions[0].box,
        lambda: BoxesInText()(sample),
        lambda: Marked()(sample).image.open(),  # type: ignore[union-attr]
    ):
        with pytest.raises(DataError, match=r"no run lengths"):
            look()
    with pytest.raises(CollatorError, match=r"no run lengths .*'q7'"):
        collator_for()([sample])
