"""Images of every kind on every way they take: turned, deep, transparent, with a palette."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.cv_bench import CvBench
from datamodules.images.upright import upright_size
from datamodules.omni_spatial import OmniSpatial
from datamodules.own_images import OwnImages
from datamodules.samples import (
    DataError,
    ImageFile,
    OpenedImage,
    Region,
    SpatialSample,
    UnreadableImage,
    open_depth,
    open_rgb,
)
from datamodules.space_thinker import SpaceThinker
from datamodules.views import DepthAsImage, Grayscale, Marked
from experiments.report.region_images import draw_question
from tests.helpers.kinds_of_images import (
    COLOURS,
    DEPTHS,
    HEIGHT,
    NO_COLOURS,
    TURNS,
    WIDTH,
    file_of,
    is_red,
    red_corner,
    red_quarter_shown,
)
from tests.helpers.omni_spatial_files import row as omni_row
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import record, write_split

STORED = red_quarter_shown(1)


def cv_bench(folder: Path, image: bytes, **options: Any) -> SpatialDataModule:
    """Parquet rows with the bytes of an image."""
    write_cv_bench(folder / "test_2d.parquet", [cv_bench_row(0, image={"bytes": image, "path": None})])
    return CvBench(root=str(folder), cache=str(folder / "cache"), num_workers=0, **options)


def space_thinker(folder: Path, image: bytes, **options: Any) -> SpatialDataModule:
    """Parquet rows with a list of images."""
    rows = [space_thinker_row(0, images=[{"bytes": image, "path": None}])]
    write_space_thinker(folder / "data" / "test-00000-of-00001.parquet", rows)
    return SpaceThinker(root=str(folder), cache=str(folder / "cache"), num_workers=0, **options)


def omni_spatial(folder: Path, image: bytes, **options: Any) -> SpatialDataModule:
    """Files of a benchmark."""
    write_omni_spatial(folder, [omni_row(0)])
    (folder / omni_row(0)["task_type"] / "0.png").write_bytes(image)
    return OmniSpatial(root=str(folder), num_workers=0, **options)


def own_images(folder: Path, image: bytes, **options: Any) -> SpatialDataModule:
    """Files of a user."""
    folder.mkdir(exist_ok=True)
    (folder / "a.png").write_bytes(image)
    (folder / "questions.csv").write_text("image,question\na.png,What?\n")
    return OwnImages(root=str(folder), num_workers=0, **options)


LAYOUTS = {"parquet": cv_bench, "lists": space_thinker, "files": omni_spatial, "own": own_images}


def loaded(data: SpatialDataModule) -> SpatialSample:
    """The first sample as a collator is given it."""
    seen: list[SpatialSample] = []

    def keep(samples: list[SpatialSample]) -> dict[str, Any]:
        seen.extend(samples)
        return {}

    data.collator = keep
    next(iter(data.test_dataloader()))
    return seen[0]


def ways(data: SpatialDataModule) -> Iterator[Image.Image]:
    """A sample's image as the record, the loader, a model and the report have it."""
    (light,) = data.split("test").samples(0, [0])
    assert light.image is not None
    opened = loaded(data).image
    assert opened is not None
    yield from (light.image.open(), open_rgb(light.image), opened.open(), open_rgb(opened))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("turned", TURNS)
def test_images_are_shown_upright(tmp_path: Path, layout: str, turned: int) -> None:
    data = LAYOUTS[layout](tmp_path / "data", red_corner(turned))
    for image in ways(data):
        assert np.array_equal(is_red(image), red_quarter_shown(turned))
    (sample,) = data.split("test").samples(0, [0])
    drawn = draw_question(sample, red_quarter_shown(turned).shape[1])
    assert drawn is not None and np.array_equal(is_red(drawn), red_quarter_shown(turned))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [kind for kind, (image, _) in COLOURS.items() if image.mode != "La"])
def test_every_kind_of_image_has_its_colours(tmp_path: Path, layout: str, kind: str) -> None:
    image, expected = COLOURS[kind]
    ending = "tif" if image.mode in ("F", "I", "CMYK", "I;16B") else "png"
    for seen in ways(LAYOUTS[layout](tmp_path / "data", file_of(image, ending))):
        assert seen.mode == "RGB"
        assert_colours(seen, expected)


@pytest.mark.parametrize("kind", COLOURS)
def test_images_that_are_open_have_the_same_colours(kind: str) -> None:
    image, expected = COLOURS[kind]
    source = OpenedImage("a", image)
    assert_colours(open_rgb(source), expected)
    brightness = np.asarray(open_rgb(OpenedImage("a", open_rgb(source).convert("L"))))
    grey = Grayscale()(SpatialSample("a", "?", image=source)).image
    assert grey is not None and np.array_equal(np.asarray(grey.open()), brightness)


@pytest.mark.parametrize("kind", NO_COLOURS)
def test_numbers_that_are_no_colours_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    data = omni_spatial(tmp_path / "data", file_of(NO_COLOURS[kind], "tif"))
    with pytest.raises(
        UnreadableImage, match=r"0\.png cannot be looked at: its values go .*Record Dynamic_.*/0_0"
    ):
        loaded(data)
    (light,) = data.split("test").samples(0, [0])
    with pytest.raises(UnreadableImage, match=r"0\.png cannot be looked at: its values go from"):
        draw_question(light)


@pytest.mark.parametrize("kind", DEPTHS)
def test_depth_is_scaled_to_its_largest_value(tmp_path: Path, kind: str) -> None:
    image, expected = DEPTHS[kind]
    ending = "tif" if image.mode in ("F", "I", "I;16B") else "png"
    file = tmp_path / f"depth.{ending}"
    file.write_bytes(file_of(image, ending))
    sample = SpatialSample("a", "?", depth=ImageFile(file))
    assert sample.depth is not None
    shown = DepthAsImage()(sample).further_images[0]
    given = DepthAsImage()(SpatialSample("a", "?", depth=OpenedImage("a", image)))
    for seen in (
        *(sample.depth.open(), open_depth(sample.depth), open_depth(OpenedImage("a", image))),
        *(shown.open().convert("L"), open_rgb(given.further_images[0]).convert("L")),
    ):
        assert np.abs(np.asarray(seen).ravel().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("turned", TURNS)
@pytest.mark.parametrize("own_tag", [True, False])
def test_masks_of_track3_are_those_of_stored_pixels(tmp_path: Path, turned: int, own_tag: bool) -> None:
    """Nothing is turned: masks, depth and the sides in the answers were computed from stored pixels."""
    entry = record("a.png", 0, rle=[coco(STORED), coco(~STORED)])
    write_split(tmp_path, "test", [entry])
    (tmp_path / "test/images/a.png").write_bytes(red_corner(turned))
    near = Image.fromarray((STORED * 9000).astype(np.uint16))
    (tmp_path / "test/depths/a_depth.png").write_bytes(file_of(near, turned=turned if own_tag else 1))
    options: dict[str, Any] = {"root": str(tmp_path), "cache": str(tmp_path / "cache"), "num_workers": 0}
    sample = loaded(AiCityTrack3(**options))
    assert sample.image is not None and sample.depth is not None
    assert np.array_equal(is_red(open_rgb(sample.image)), sample.regions[0].mask())
    assert np.array_equal(np.asarray(open_depth(sample.depth)) > 128, sample.regions[0].mask())
    with_depth = loaded(AiCityTrack3(views=[Marked(), DepthAsImage()], **options))
    assert with_depth.image is not None
    assert [each.open().size for each in (with_depth.image, *with_depth.further_images)] == [
        (WIDTH, HEIGHT)
    ] * 2


@pytest.mark.parametrize("turned", TURNS)
def test_masks_boxes_and_depth_of_own_images_are_those_of_the_shown_image(
    tmp_path: Path, turned: int
) -> None:
    shown = red_quarter_shown(turned)
    (tmp_path / "a.jpg").write_bytes(red_corner(turned, "jpg"))
    near = Image.fromarray((STORED * 9000).astype(np.uint16))
    (tmp_path / "depth.png").write_bytes(file_of(near, turned=turned))
    rows, columns = np.nonzero(shown)
    box = [int(edge) for edge in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
    row = {"image": "a.jpg", "question": "<mask> <mask>", "depth": "depth.png"}
    (tmp_path / "questions.json").write_text(json.dumps([{**row, "regions": [box, coco(shown)]}]))
    sample = loaded(OwnImages(root=str(tmp_path), num_workers=0))
    assert sample.image is not None and sample.depth is not None
    for region in sample.regions:
        assert (is_red(open_rgb(sample.image)) == region.mask()).mean() > 0.9
        assert np.array_equal(np.asarray(open_depth(sample.depth)) > 128, region.mask())
    (tmp_path / "questions.json").write_text(json.dumps([{**row, "regions": [coco(STORED)] * 2}]))
    if turned > 4:
        with pytest.raises(DataError, match="but its image is shown in"):
            loaded(OwnImages(root=str(tmp_path), num_workers=0))


def turned_by(place: str) -> tuple[str, dict[str, Any]]:
    """The ending of a file that says in one of these places that it is turned, and how it is saved."""
    xmp = '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    exif = Image.Exif()
    exif[0x0112] = 6
    if place == "XMP of a PNG":
        notes = PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", xmp)
        return "png", {"pnginfo": notes}
    if place == "text of a PNG":
        notes = PngInfo()
        raw = exif.tobytes()
        notes.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n")
        return "png", {"pnginfo": notes}
    kind, _, ending = place.partition(" of a ")
    return ending.lower(), {"exif": exif} if kind == "EXIF" else {"xmp": xmp.encode()}


@pytest.mark.parametrize(
    "place",
    [
        *("EXIF of a PNG", "XMP of a PNG", "text of a PNG"),
        *("EXIF of a JPG", "XMP of a JPG", "EXIF of a WEBP", "XMP of a WEBP"),
    ],
)
def test_wherever_a_file_says_that_it_is_turned_stored_pixels_stay(tmp_path: Path, place: str) -> None:
    ending, options = turned_by(place)
    file = tmp_path / f"a.{ending}"
    with Image.open(io.BytesIO(red_corner())) as image:
        image.save(file, **options)
    shown, stored = ImageFile(file), ImageFile(file, stored=True)
    assert (open_rgb(shown).size, open_rgb(stored).size) == ((HEIGHT, WIDTH), (WIDTH, HEIGHT))
    assert (is_red(open_rgb(stored)) == STORED).mean() > 0.9
    with Image.open(file) as image:
        assert upright_size(image) == (HEIGHT, WIDTH)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_orientation_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (WIDTH, HEIGHT)).save(file, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xffnonsense")
    assert ImageFile(file).open().size == ImageFile(file, stored=True).open().size == (WIDTH, HEIGHT)


def coco(mask: np.ndarray) -> dict[str, Any]:
    """A mask as the files hold it."""
    return {"size": list(mask.shape), "counts": Region.from_mask(mask).counts}


def assert_colours(image: Image.Image, expected: list[Any]) -> None:
    """The row of an image has these colours; a number stands for a grey."""
    colours = np.array([each if isinstance(each, tuple) else (each,) * 3 for each in expected])
    assert np.abs(np.asarray(image)[0].astype(int) - colours).max() <= 1
