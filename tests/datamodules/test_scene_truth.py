"""What is written of a rendered scene beside its questions, and how it is read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.benchmarks.scene_truth import scene_truth
from datamodules.rendered.warehouse import draw_warehouse, frame_name, write_warehouse
from datamodules.samples import DataError, ImageFile, UnreadableImage

SIZE = (224, 128)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    write_warehouse(folder, difficulty="real", scenes={"train": 4, "val": 3}, size=SIZE, seed=6, processes=1)
    return folder


@pytest.mark.parametrize(("split", "number"), [("train", 4), ("val", 3)])
def test_the_truth_is_that_of_the_scene(written: Path, split: str, number: int) -> None:
    for index in range(number):
        rendering = draw_warehouse("real", split, index, SIZE, 6)[0]
        truth = scene_truth(written / split, f"{frame_name(split, index)}.png")
        assert truth is not None
        assert truth.kinds == tuple(str(thing.kind) for thing in rendering.scene.objects)
        assert np.array_equal(truth.labels().astype(int) - 1, rendering.labels)
        camera = rendering.scene.camera
        assert truth.camera_height_m == pytest.approx(camera.height_m, abs=1e-3)
        assert truth.pitch_deg == pytest.approx(camera.pitch_deg, abs=1e-3)
        assert (truth.roll_deg, truth.field_of_view_deg) == (0.0, 70.0)


def test_every_region_of_a_question_is_one_object_of_its_scene(written: Path) -> None:
    for record in json.loads((written / "train.json").read_text()):
        truth = scene_truth(written / "train", record["image"])
        assert truth is not None
        labels = truth.labels()
        words = record["conversations"][0]["value"]
        for rle in record["rle"]:
            mask = coco_mask.decode(rle).astype(bool)
            (label,) = np.unique(labels[mask])
            assert np.array_equal(labels == label, mask)
            kind = truth.kinds[label - 1]
            assert kind in words or (kind == "shelf" and "shelves" in words)


def test_masks_are_small_and_of_eight_bits(written: Path) -> None:
    for path in (written / "val/instances").iterdir():
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", SIZE)
        assert path.stat().st_size < 0.2 * (written / "val/images" / path.name).stat().st_size


def test_loaded_questions_lead_to_their_scenes(tmp_path: Path) -> None:
    data = AiCityTrack3(
        scenes={"train": 1, "val": 1, "test": 1}, size=SIZE, cache=str(tmp_path), num_workers=0
    )
    data.prepare_data()
    data.setup("test")
    (sample,) = data.split("test").samples(0, [0])
    assert isinstance(sample.image, ImageFile)
    truth = scene_truth(sample.image.path.parent.parent, sample.image.path.name)
    assert truth is not None and truth.labels().shape == SIZE[::-1]


def test_a_split_without_truth_has_none(written: Path, tmp_path: Path) -> None:
    assert scene_truth(tmp_path, "000000.png") is None
    assert scene_truth(written / "train", "999999.png") is None


def test_nothing_is_opened_before_the_labels(written: Path) -> None:
    truth = scene_truth(written / "train", "000000.png")
    assert truth is not None
    with pytest.raises(UnreadableImage, match="does not exist"):
        replace(truth, file=truth.file.with_name("gone.png")).labels()
    with pytest.raises(DataError, match="but its scene has 1 object"):
        replace(truth, kinds=("pallet",)).labels()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "well-formed"),
        ("[]", "no scenes"),
        ('{"000000": 3}', "kinds"),
        ('{"000000": {"kinds": [1]}}', "kinds"),
        ('{"000000": {"kinds": ["pallet"], "camera": {"height_m": 3}}}', "camera"),
        (
            '{"000000": {"kinds": [], "camera": {"height_m": "3", "pitch_deg": 1, "roll_deg": 1, '
            '"field_of_view_deg": 1}}}',
            "camera",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "instances.json").write_text(content)
    with pytest.raises(DataError, match=message):
        scene_truth(tmp_path, "000000.png")
