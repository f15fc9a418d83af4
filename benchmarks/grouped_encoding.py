"""How many questions a second TinyGiant learns from, encoding an image once or once for each question.

Both ways do the same work otherwise: images are opened, regions measured, one training step is taken, on
the same questions in batches of the same number of questions. Results go to
`runs/bench/grouped_encoding_<size>.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks.measuring import write_result
from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.loading.batching import BatchRequest, ImageRequest
from datamodules.loading.image_loading import CollateLoaded, ImageLoading
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant, answer_sums

EXPERIMENTS = {"small": "quickstart", "64m": "warehouse/tinygiant_64m"}
QUESTIONS_PER_IMAGE = (7, 6, 7, 6, 6)
"""6.4 on average, as in the real training set."""


def requests(sizes: np.ndarray, images: int) -> list[ImageRequest]:
    """Questions of some rendered images, 6.4 an image."""
    wanted = [QUESTIONS_PER_IMAGE[i % len(QUESTIONS_PER_IMAGE)] for i in range(images)]
    suitable = iter(range(len(sizes)))
    return [ImageRequest(next(g for g in suitable if sizes[g] >= n), tuple(range(n))) for n in wanted]


def step(module: TinyGiant, loading: ImageLoading, images: list[ImageRequest]) -> None:
    """One training step on these requests, for each of which an image is opened and encoded."""
    batch = CollateLoaded(module.collator("fit"))(loading[BatchRequest(tuple(images))])
    encoded, _ = module.network.encode(batch)
    target, values = batch["normalized"], batch["normalized_values"]
    written = module.network.decoder(target[:, :-1], values[:, :-1], encoded)
    sums = answer_sums(written.logits, written.log_values, target[:, 1:], values[:, 1:])
    module.zero_grad()
    torch.stack([total / count for total, count in sums.values()]).sum().backward()


def measure(size: str, images: int, repeats: int, cache: str) -> dict[str, object]:
    """Time both ways in turn, so that a busy machine slows both."""
    file = Path(__file__).parent.parent / "experiments" / f"{EXPERIMENTS[size]}.yaml"
    arguments = yaml.safe_load(file.read_text())["model"]["init_args"]
    network = TinyGiantConfig(**{**arguments["network"], "pretrained": "none", "pretrained_depth": "none"})
    module = TinyGiant(network, [Phase("normalized", 1)], numbers=arguments.get("numbers", "value")).train()
    image_size = (224, 128) if size == "small" else (960, 540)
    data = AiCityTrack3(scenes={"train": 2 * images, "val": 1, "test": 1}, size=image_size, cache=cache)
    data.prepare_split("train")
    module.vocabulary.build(data.texts())
    loading = ImageLoading(data.split("train"))
    grouped = requests(data.split("train").group_sizes(), images)
    single = [ImageRequest(image.group, (question,)) for image in grouped for question in image.questions]
    count = len(single)
    step(module, loading, grouped)
    ours: list[float] = []
    other: list[float] = []
    for _ in range(repeats):
        for rates, way in ((ours, grouped), (other, single)):
            began = time.perf_counter()
            step(module, loading, way)
            rates.append(count / (time.perf_counter() - began))
    ratios = sorted(a / b for a, b in zip(ours, other, strict=True))
    return {
        "ours": statistics.median(ours),
        "other": statistics.median(other),
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "unit": "questions/s",
        "what": f"one training step of TinyGiant ({size}) on {count} questions of {images} images, opening "
        "included: an image encoded once for all its questions, against once for each question",
    }


def main() -> None:
    """Measure both sizes and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", default="rendered_data")
    options = parser.parse_args()
    # One thread: on a busy machine threads that wait for each other would be measured, not the work.
    torch.set_num_threads(1)
    for size in EXPERIMENTS:
        result = measure(size, options.images, options.repeats, options.cache)
        write_result(f"grouped_encoding_{size}", result)


if __name__ == "__main__":
    main()
