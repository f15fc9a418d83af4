"""How many multiple-choice questions are answered in a second by ranking the letters and by generating them.

python -m benchmarks.rank_and_generate

Both ways answer the same batch with the same tiny random model of SmolVLM, whose one tile takes 64 tokens as
in the real model. Generation is given its best case: it stops after two tokens, a letter and the end of the
answer, as a trained model does. There are 6.4 questions an image, as in AI City Track 3: ranking encodes an
image once, and reads the beginning that its questions share once. The details say what is left with one
question an image, where ranking only saves the second token, and where up to 32 tokens are written. Results
go to `runs/bench/rank_and_generate.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import write_result
from datamodules.samples import AnswerType, OpenedImage, SpatialSample
from lightning_modules.base import Batch
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.generation import generate_texts
from lightning_modules.vlm.ranking import rank_candidates
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model

QUESTIONS_PER_IMAGE = (7, 6, 7, 6, 6)
"""6.4 on average, as in AI City Track 3."""

LETTER_AND_END = 2
SENTENCE = 32
"""Tokens that a model writes at most: a bare letter and its end, or as much as is allowed by default."""

TEXTS = (
    "Which object is closer to the camera taking this photo, the chair or the lamp?",
    "How many pillows are in the image?",
    "Considering the relative positions of the table and the door, where is the table located?",
    "Estimate the real-world distances between objects in this image. Which is closer to the bed?",
)


@dataclass(frozen=True)
class Scenario:
    """What is measured: a tiny random model, questions of each image of a batch, tokens written at most."""

    family: str
    questions_per_image: Sequence[int]
    new_tokens: int


MAIN = Scenario("smolvlm", QUESTIONS_PER_IMAGE, LETTER_AND_END)
FURTHER = {
    "qwen2_5_vl": Scenario("qwen2_5_vl", QUESTIONS_PER_IMAGE, LETTER_AND_END),
    "internvl": Scenario("internvl", QUESTIONS_PER_IMAGE, LETTER_AND_END),
    "one_question_an_image": Scenario("smolvlm", (1,) * 32, LETTER_AND_END),
    "one_question_an_image_and_a_sentence": Scenario("smolvlm", (1,) * 32, SENTENCE),
}


def questions(per_image: Sequence[int]) -> list[SpatialSample]:
    """Multiple-choice questions about random images."""
    random = np.random.default_rng(0)
    samples = []
    for image, count in enumerate(per_image):
        pixels = random.integers(0, 256, (240, 320, 3), dtype=np.uint8)
        opened = OpenedImage(f"{image}.png", Image.fromarray(pixels))
        samples += [
            SpatialSample(
                id=f"{image}/{number}",
                image=opened,
                question=TEXTS[number % len(TEXTS)],
                choices=("left", "right", "above", "below"),
                answer="A",
                answer_type=AnswerType.LETTER,
            )
            for number in range(count)
        ]
    return samples


def prepared(scenario: Scenario) -> tuple[Any, Any, Batch]:
    """The tiny random model, its processor, and the batch of questions; making these is not measured."""
    model, processor = make_tiny_model(scenario.family, size=TinySize(image_size=224))
    collate = VlmCollator(processor, FAMILIES[scenario.family], with_labels=False)
    return model, processor, collate(questions(scenario.questions_per_image))


def measure(scenario: Scenario, repeats: int) -> dict[str, Any]:
    """Time both ways in turn; the first turn is not counted.

    The clock is the process's own, on one thread: what other processes do to a busy machine is left out.
    """
    model, processor, batch = prepared(scenario)
    count = len(batch["samples"])
    ours, other = [], []
    for repeat in range(repeats + 1):
        began = time.process_time()
        rank_candidates(model, batch["prompt"], batch["candidates"])
        between = time.process_time()
        generate_texts(model, processor, batch["prompt"], scenario.new_tokens)
        ended = time.process_time()
        if repeat:
            ours.append(count / (between - began))
            other.append(count / (ended - between))
    ratios = sorted(a / b for a, b in zip(ours, other, strict=True))
    return {
        "ours": statistics.median(ours),
        "other": statistics.median(other),
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
    }


def main() -> None:
    """Measure all scenarios and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    # Threads that wait for each other would be measured otherwise, not the work.
    torch.set_num_threads(1)
    result = {
        **measure(MAIN, options.repeats),
        "unit": "questions/s",
        "what": f"{sum(MAIN.questions_per_image)} multiple-choice questions about "
        f"{len(MAIN.questions_per_image)} images with a tiny SmolVLM: ranking the letters, against "
        "generating a letter and the end of the answer",
        "details": {name: measure(scenario, options.repeats) for name, scenario in FURTHER.items()},
    }
    write_result("rank_and_generate", result)


if __name__ == "__main__":
    main()
