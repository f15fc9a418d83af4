"""Small folders in Track 3's official layout, written for tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules.samples import Region

WIDTH, HEIGHT = 32, 24
CATEGORIES = ("left_right", "mcq", "distance", "count")
ANSWERS: dict[str, tuple[Any, ...]] = {
    "left_right": ("left", "right"),
    "mcq": ("0", 1, "1"),
    "distance": (2.32, 5, "8.95"),
    "count": (1, "3", 2.0),
}


def mask(index: int = 0, height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    """An official mask of one small rectangle."""
    pixels = np.zeros((height, width), bool)
    pixels[4:12, 2 + 3 * index : 8 + 3 * index] = True
    return {"size": [height, width], "counts": Region.from_mask(pixels).counts}


def record(image: str, number: int, /, **changes: Any) -> dict[str, Any]:
    """One official record; `changes` replace or (with None) remove keys."""
    category = CATEGORIES[number % 4]
    answer = ANSWERS[category][number % len(ANSWERS[category])]
    optional = "<image>\n" if number % 2 else ""
    question = f"{optional}Question {number}: what about the pallet <mask> and the pallet <mask>?"
    sentence = f"The pallet [Region 0] and the pallet [Region 1] give {answer}."
    whole = {
        "id": f"{image.removesuffix('.png')}-{number}",
        "image": image,
        "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": sentence}],
        "rle": [mask(0), mask(1)],
        "category": category,
        "normalized_answer": answer,
        "freeform_answer": sentence,
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def write_images(folder: Path, image: str) -> None:
    """An image and its depth."""
    for kind in ("images", "depths"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(image)).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "images" / image)
    Image.fromarray(pixels[..., 0]).save(folder / "depths" / image.replace(".png", "_depth.png"))


def write_split(root: Path, stem: str, records: list[dict[str, Any]], images: bool = True) -> Path:
    """`{stem}.json` and the images its records name; returns the JSON file."""
    root.mkdir(parents=True, exist_ok=True)
    if images:
        for image in {entry["image"] for entry in records}:
            write_images(root / stem, image)
    file = root / f"{stem}.json"
    file.write_text(json.dumps(records, indent=1))
    return file


def records_of(prefix: str, questions_per_image: list[int]) -> list[dict[str, Any]]:
    """Records whose images are interleaved, as in the official file."""
    rows = [
        (number, f"{prefix}{image:03d}.png")
        for image, questions in enumerate(questions_per_image)
        for number in range(questions)
    ]
    return [record(image, number) for number, image in sorted(rows)]


def write_dataset(
    root: Path, train: list[int], val: list[int] | None = None, test: list[int] | None = None
) -> Path:
    """A whole folder; each list holds the number of questions of each image."""
    for stem, sizes in (("train", train), ("val", val or [2]), ("test", test or [2])):
        write_split(root, stem, records_of(f"{stem}-", sizes))
    return root


def without_answers(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: entry[key] for key in ("id", "image", "conversations", "rle")} for entry in records]


def as_published(folder: Path) -> Path:
    """Track 3's three official splits: the answers of the test split are with the challenge alone."""
    for split, sizes in (("train", [4, 4]), ("val", [4, 3])):
        write_split(folder, split, records_of(f"{split}-", sizes))
    write_split(folder, "test", without_answers(records_of("test-", [4, 4, 2])))
    return folder
