"""Spoilt images: how much they are spoilt, that depth and text stay, and the same for all of an image."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.samples import DataError, ImageFile, OpenedImage, SpatialSample, open_rgb
from datamodules.views import Blurred, Compressed, LowLight, NoisyImages, View


def asked(values: np.ndarray, group: str = "a.png", **changes: object) -> SpatialSample:
    image = OpenedImage(group, Image.fromarray(values))
    return SpatialSample(id=f"{group}-1", question="?", image=image, group=group).replace(**changes)


def seen(view: View, sample: SpatialSample) -> np.ndarray:
    image = view(sample).image
    assert image is not None
    return np.asarray(open_rgb(image))


def flat(value: int) -> np.ndarray:
    return np.full((80, 120, 3), value, np.uint8)


def texture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)


ALL = [Blurred(2), NoisyImages(12), LowLight(2), Compressed(20)]


@pytest.mark.parametrize("view", ALL)
def test_only_the_images_change_and_their_size_stays(view: View) -> None:
    depth = OpenedImage("depth", Image.fromarray(texture()[..., 0]))
    example = asked(texture(), "example")
    sample = asked(texture(), depth=depth, further_images=(asked(texture()).image,), examples=(example,))
    changed = view(sample)
    assert changed.depth is depth
    assert changed.replace(image=None, further_images=(), examples=()) == sample.replace(
        image=None, further_images=(), examples=()
    )
    for before, after in (
        (sample.image, changed.image),
        (sample.further_images[0], changed.further_images[0]),
        (example.image, changed.examples[0].image),
    ):
        assert before is not None and after is not None
        one, other = np.asarray(open_rgb(before)), np.asarray(open_rgb(after))
        assert one.shape == other.shape and (one != other).mean() > 0.3
    assert view(asked(texture(), image=None)).image is None


def test_a_blur_spreads_an_edge_by_its_deviation() -> None:
    values = flat(0)
    values[:, 60:] = 200
    row = seen(Blurred(3), asked(values))[40, :, 0].astype(float) / 200
    # The rise between 3.5 pixels on either side of a Gaussian edge.
    assert row[63] - row[56] == pytest.approx(math.erf(3.5 / 3 / math.sqrt(2)), abs=0.02)


def test_noise_has_the_deviation_asked_for_and_follows_from_seed_and_image() -> None:
    first = seen(NoisyImages(10), asked(flat(120))).astype(int)
    assert (first - 120).std() == pytest.approx(10, rel=0.03)
    assert abs((first - 120).mean()) < 0.3
    # All questions of an image see the same; another image, seed or place does not.
    assert np.array_equal(first, seen(NoisyImages(10), asked(flat(120), id="another")))
    assert not np.array_equal(first, seen(NoisyImages(10), asked(flat(120), "b.png")))
    assert not np.array_equal(first, seen(NoisyImages(10, seed=1), asked(flat(120))))
    twice = NoisyImages(10)(asked(flat(120), further_images=(asked(flat(120)).image,)))
    assert twice.image is not None
    assert not np.array_equal(first, np.asarray(open_rgb(twice.further_images[0])))
    # What is brighter than white is white: two and a half deviations below are seldom.
    assert (seen(NoisyImages(60), asked(flat(250))) < 100).mean() < 0.02


def test_low_light_is_a_power_and_leaves_black_and_white() -> None:
    values = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2).repeat(4, 0)
    dark = seen(LowLight(2), asked(values))[0, :, 0]
    assert dark[0] == 0 and dark[255] == 255
    assert dark[128] == round(255 * (128 / 255) ** 2)
    assert (np.diff(dark.astype(int)) >= 0).all() and (dark <= np.arange(256)).all()


def test_compression_is_that_of_a_jpeg_file(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.fromarray(texture()).save(written, "JPEG", quality=20)
    (tmp_path / "a.jpg").write_bytes(written.getvalue())
    expected = np.asarray(open_rgb(ImageFile(tmp_path / "a.jpg")))
    assert np.array_equal(seen(Compressed(20), asked(texture())), expected)
    strong, weak = (
        np.abs(seen(Compressed(q), asked(texture())) - texture().astype(int)).mean() for q in (5, 80)
    )
    assert strong > 1.2 * weak


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Blurred(0), "sigma_px"),
        (lambda: NoisyImages(float("nan")), "sigma"),
        (lambda: NoisyImages(3, seed=-1), "seed"),
        (lambda: LowLight(1), "gamma"),
        (lambda: Compressed(96), "quality"),
        (lambda: Compressed(0), "quality"),
    ],
)
def test_what_spoils_nothing_is_refused(make: object, named: str) -> None:
    with pytest.raises(DataError, match=named):
        make()  # type: ignore[operator]
