"""Questions about small random images, of every form of answer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from datamodules.samples import AnswerType, OpenedImage, SpatialSample
from lightning_modules.vlm.families import FAMILIES, Family
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model

TINY_FAMILIES = ("idefics3", "smolvlm", "qwen2_5_vl", "internvl", "paligemma")
SMALL = TinySize(width=64, layers=2, vision_layers=2, image_size=56)


@cache
def tiny_model(name: str) -> tuple[Any, Any, Family]:
    """A small tiny random model in evaluation mode, its processor and its family; not to be changed."""
    model, processor = make_tiny_model(name, size=SMALL)
    return model, processor, FAMILIES[name]


def noise_image(seed: int, height: int = 60, width: int = 90) -> OpenedImage:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return OpenedImage(f"{seed}.png", Image.fromarray(pixels))


def letter_question(number: int = 0, **changes: Any) -> SpatialSample:
    sample = SpatialSample(
        f"letter-{number}",
        "Which object is closer to the camera?",
        image=noise_image(number),
        choices=("the red chair", "the zürich lamp", "the box"),
        answer="ABC"[number % 3],
        answer_type=AnswerType.LETTER,
        rationale="The chair is 2 metres away. The box is 3 metres away.",
    )
    return sample.replace(**changes)


def many_questions(family: str = "") -> list[SpatialSample]:
    """One question of each form; two share an image, one has none, one has two (not for PaliGemma)."""
    shared = noise_image(50, 64, 64)
    return [
        letter_question(1),
        letter_question(2, id="blind", image=None),
        SpatialSample(
            "region",
            "Which of <mask> <mask> <mask> is leftmost?",
            image=shared,
            answer="2",
            answer_type=AnswerType.REGION,
            rationale="The third one is. The answer is 2.",
        ),
        SpatialSample(
            "side", "Is <mask> left of <mask>?", image=shared, answer="left", answer_type=AnswerType.SIDE
        ),
        SpatialSample(
            "distance",
            "How far apart are the <mask> and the <mask>, if both of them stand on the floor?",
            image=noise_image(51, 90, 40),
            further_images=() if family == "paligemma" else (noise_image(52),),
            answer="3.25",
            answer_type=AnswerType.DISTANCE,
            rationale="<think>The floor reaches far.</think>",
        ),
        SpatialSample(
            "count", "How many boxes?", image=noise_image(53), answer="12", answer_type=AnswerType.COUNT
        ),
        SpatialSample("text", "Describe it.", image=noise_image(54), answer="A wide room.\nWith a door."),
    ]
