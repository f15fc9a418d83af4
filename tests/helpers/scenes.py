"""Samples made in memory: boxes on a floor seen by a camera of known height and pitch."""

from __future__ import annotations

import numpy as np
from PIL import Image

from datamodules.samples import AnswerType, OpenedImage, Region, SpatialSample

FIELD_OF_VIEW = 70.0


def floor_depth(height: int, width: int, camera_m: float, pitch: float, wall_m: float = 25.0) -> np.ndarray:
    """Depth along the optical axis of a bare floor before a wall, in metres, `[height, width]`.

    Written from the plane's equation in camera coordinates, without the code under test.
    """
    focal = width / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    down = (np.arange(height) + 0.5 - height / 2) / focal
    to_floor = down * np.cos(pitch) + np.sin(pitch)
    floor = np.where(to_floor > 1e-6, camera_m / np.maximum(to_floor, 1e-6), np.inf)
    ahead_per_z = np.cos(pitch) - down * np.sin(pitch)
    wall = wall_m / ahead_per_z
    return np.repeat(np.minimum(floor, wall)[:, None], width, axis=1)


def as_image(depth_m: np.ndarray) -> np.ndarray:
    """Scaled to the whole range of 8 bits, as the benchmark's depth images are."""
    low, high = depth_m.min(), depth_m.max()
    return np.round((depth_m - low) / (high - low) * 255).astype(np.uint8)


def box(height: int, width: int, top: int, left: int, rows: int, columns: int) -> Region:
    mask = np.zeros((height, width), bool)
    mask[top : top + rows, left : left + columns] = True
    return Region.from_mask(mask)


def questions(image: int, count: int = 4, size: tuple[int, int] = (64, 64)) -> list[SpatialSample]:
    """Questions about one random image; they share the image's object, as a loader hands them out."""
    rng = np.random.default_rng(image)
    width, height = size
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    rgb = OpenedImage(f"{image}.png", Image.fromarray(pixels))
    depth = OpenedImage(f"{image}_depth.png", Image.fromarray(as_image(floor_depth(height, width, 5, 0.5))))
    regions = [
        box(height, width, int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2)), 20, 18)
        for _ in range(5)
    ]
    kinds = [
        (AnswerType.DISTANCE, "2.32", "How far is the pallet <mask> from the pallet <mask> ?", 2),
        (AnswerType.REGION, "2", "Which of the pallets <mask> <mask> <mask> is the leftmost ?", 3),
        (AnswerType.COUNT, "3", "How many pallets are in the buffer region <mask> ?", 1),
        (AnswerType.SIDE, "left", "Is the pallet <mask> left or right of <mask> ?", 2),
    ]
    samples = []
    for index in range(count):
        answer_type, answer, text, named = kinds[index % len(kinds)]
        samples.append(
            SpatialSample(
                id=f"{image}-{index}",
                question=text,
                image=rgb,
                depth=depth,
                regions=tuple(regions[i] for i in rng.permutation(len(regions))[:named]),
                answer=answer,
                answer_type=answer_type,
                rationale=f"The answer about [Region 0] is {answer} .",
                task=answer_type.value,
                group=f"{image}.png",
            )
        )
    return samples
