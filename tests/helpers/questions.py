"""Questions about small random images, for tests of answering."""

from __future__ import annotations

import numpy as np
from PIL import Image

from datamodules.samples import AnswerType, OpenedImage, SpatialSample

TEXTS = (
    "Which object is closer to the camera?",
    "How many chairs are there in the image, counting those at the table as well?",
    "Left or right?",
    "Is the lamp above the table or below it?",
    "What is the height of the door in metres?",
)


def noise_image(number: int, width: int = 60, height: int = 40) -> OpenedImage:
    """A random image; the same number draws the same one."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return OpenedImage(f"{number}.png", Image.fromarray(pixels))


def question(image: OpenedImage | None, text: int, choices: int = 4) -> SpatialSample:
    """A multiple-choice question about an image, or about none."""
    return SpatialSample(
        id=f"{image.name if image else 'none'}/{text}",
        image=image,
        question=TEXTS[text],
        choices=("the chair", "the lamp", "the red sofa", "nothing of these")[:choices],
        answer="B",
        answer_type=AnswerType.LETTER,
    )
