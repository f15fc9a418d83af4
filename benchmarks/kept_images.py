"""How many steps a minute TinyGiant trains for with its prepared images kept, and with each made anew.

Whole epochs of the ten-minute experiment on crowded scenes through Lightning's Trainer, in turn: loading
process, training step and all. Epochs with kept images begin with all of them there, as every epoch but a
first run's first. Results go to `runs/bench/kept_images.json`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

import torch
from lightning.pytorch import Trainer

from benchmarks.measuring import write_result
from datamodules.ai_city_track3 import AiCityTrack3
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant


def adam(parameters: Any) -> torch.optim.Optimizer:
    """The optimizer of the experiment."""
    return torch.optim.AdamW(parameters, lr=3e-3, betas=(0.9, 0.98), fused=True)


def steps_a_minute(gigabytes: float, scenes: int, cache: str) -> float:
    """Train for an epoch.

    Args:
        gigabytes: how much may be kept; 0 prepares each image anew.
        scenes: how many images the epoch has.
        cache: where scenes are rendered.
    """
    torch.manual_seed(0)
    data = AiCityTrack3(
        difficulty="real",
        scenes={"train": scenes, "val": 1, "test": 1},
        cache=cache,
        batch_size=6,
        num_workers=1,
        kept_images_gb=gigabytes,
    )
    module = TinyGiant(TinyGiantConfig(), [Phase("normalized", 1)], optimizer=adam)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    began = time.perf_counter()
    trainer.fit(module, data)
    return 60 * trainer.global_step / (time.perf_counter() - began)


def main() -> None:
    """Measure both ways in turn and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", default="rendered_data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        steps_a_minute(1.0, options.scenes, options.cache)
        pairs = [
            [steps_a_minute(gigabytes, options.scenes, options.cache) for gigabytes in (1.0, 0.0)]
            for _ in range(options.repeats)
        ]
    ours, other = zip(*pairs, strict=True)
    ratios = sorted(a / b for a, b in pairs)
    result = {
        "ours": statistics.median(ours),
        "other": statistics.median(other),
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "unit": "steps/min",
        "what": f"an epoch of TinyGiant on {options.scenes} crowded scenes, 6 images a step, "
        f"{os.cpu_count()} cores: prepared images kept, against each prepared anew",
    }
    write_result("kept_images", result)


if __name__ == "__main__":
    main()
