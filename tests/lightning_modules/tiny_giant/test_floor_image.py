"""Places over the floor as a picture, against the truth of rendered scenes and of bare floors."""

from __future__ import annotations

import numpy as np
import pytest

from datamodules.rendered.render import Rendering
from datamodules.rendered.warehouse import draw_warehouse
from lightning_modules.tiny_giant.floor_image import RANGES, floor_image
from tests.helpers.scenes import FIELD_OF_VIEW, as_image, floor_depth

SIZE = (224, 128)


def places(depth: np.ndarray) -> list[np.ndarray]:
    """To the right, ahead and above in camera heights, from the three maps."""
    maps = floor_image(depth, FIELD_OF_VIEW)
    assert maps.shape == (3, *depth.shape) and maps.dtype == np.uint8
    return [low + each / 255 * (high - low) for each, (low, high) in zip(maps, RANGES, strict=True)]


def rendering(index: int) -> Rendering:
    return draw_warehouse("real", "val", index, SIZE, 0)[0]


@pytest.mark.parametrize("index", range(4))
def test_the_floor_lies_at_zero_and_things_are_as_high_as_they_are(index: int) -> None:
    scene = rendering(index)
    _, _, above = places(scene.depth_image())
    painted = np.isin(scene.labels, [i for i, thing in enumerate(scene.scene.objects) if not thing.parts])
    assert np.abs(np.median(above[painted])) < 0.02
    camera_m = scene.scene.camera.height_m
    for number, thing in enumerate(scene.scene.objects):
        seen = above[scene.labels == number]
        if thing.parts and len(seen) > 100 and seen.max() < RANGES[2][1]:
            assert seen.max() * camera_m < thing.height + 0.35


def test_a_bare_floor_is_measured_to_the_right_and_ahead() -> None:
    height, width, camera_m, pitch = 128, 224, 5.0, 0.6
    depth_m = floor_depth(height, width, camera_m, pitch)
    right, ahead, above = places(as_image(depth_m))
    focal = width / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    row, column = 100, 40
    z = depth_m[row, column] / camera_m
    down, across = (row + 0.5 - height / 2) / focal, (column + 0.5 - width / 2) / focal
    assert right[row, column] == pytest.approx(z * across, abs=0.03)
    assert ahead[row, column] == pytest.approx(z * (np.cos(pitch) - down * np.sin(pitch)), abs=0.05)
    assert above[row, column] == pytest.approx(0, abs=0.02)


def test_without_a_floor_the_picture_is_black() -> None:
    wall = np.full((64, 96), 100, np.uint8)
    assert not floor_image(wall, FIELD_OF_VIEW).any()
