"""How a model that reasons is answered for: its text read, or its answer ranked after the reasoning.

python -m benchmarks.reason_then_rank

A tiny random SmolVLM, all of it trained, learns from nothing which of two
objects in rendered rooms is closer to the camera (chance 50), with a sentence of reasoning before the letter.
One and the same trained model then answers the test's questions by `generate` and by `reason_then_rank`; with
a limit that cuts the reasoning off; after the cue alone, without any reasoning; and by `rank`, which weighs
bare letters that it has never learnt to write. The same tiny random model, trained for as many steps on bare
letters, answers by `rank` as one that does not reason. `ours` and `other` are questions a second by
`reason_then_rank` and by `generate`, on one thread; the details have the accuracy of each way with its
interval, and what could not be read. Results go to `runs/bench/reason_then_rank.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from lightning import Trainer, seed_everything

from benchmarks.measuring import write_result
from datamodules.cv_bench import CvBench
from datamodules.samples import SpatialSample
from datamodules.views.view import View
from lightning_modules.schedule import WarmupCosine
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize

SIZE = TinySize(width=128, layers=2, vision_layers=2, heads=4)
WHOLE = AdapterConfig(method="full", parts=("language_model", "vision_tower", "connector"))
NEW_TOKENS = 48
CUT_OFF = 8
"""Tokens after which the reasoning is not at its end."""


class Reasoned(View):
    """Questions with a sentence of reasoning that names the right choice."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with its reasoning."""
        letter = sample.answer or "A"
        right = sample.choices[sample.letters.index(letter)]
        return sample.replace(rationale=f"({letter}) the {right} is closer.")


def data(scenes: int, test_scenes: int, reasons: bool) -> CvBench:
    """Rendered questions in the form of CV-Bench about which of two objects is closer."""
    return CvBench(
        scenes={"train": scenes, "val": 1, "test": test_scenes},
        size=(112, 112),
        tasks=["Depth"],
        batch_size=20,
        evaluation_batch_size=32,
        num_workers=0,
        views=[Reasoned()] if reasons else [],
        seed=0,
    )


def trainer(**options: Any) -> Trainer:
    """A trainer that leaves nothing behind."""
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        **options,
    )


def trained(questions: CvBench, reasons: bool, epochs: int) -> tuple[PeftSft, float]:
    """The tiny random model after its training, and how many seconds that took."""
    seed_everything(0, verbose=False)
    module = PeftSft(
        "smolvlm_500m",
        random_weights=True,
        tiny_size=SIZE,
        adapter=WHOLE,
        rationale=reasons,
        answering="reason_then_rank" if reasons else "rank",
        maximum_new_tokens=NEW_TOKENS,
        optimizer=lambda parameters: torch.optim.AdamW(
            parameters, lr=4e-4, betas=(0.9, 0.98), weight_decay=0.01
        ),
        schedule=WarmupCosine(warmup_fraction=0.03, final_fraction=0.02),
    )
    began = time.monotonic()
    trainer(max_epochs=epochs, gradient_clip_val=1.0).fit(module, questions)
    return module, time.monotonic() - began


def answered(module: PeftSft, questions: CvBench, answering: Any, new_tokens: int) -> dict[str, Any]:
    """How the test's questions are answered in one way: accuracy, unreadable answers, questions a second."""
    module.answering, module.maximum_new_tokens = answering, new_tokens
    began = time.process_time()
    trainer().test(module, questions, verbose=False)
    seconds = time.process_time() - began
    assert module.summary is not None
    figures = {key: module.summary[key] for key in ("score", "interval", "n", "unreadable")}
    return {**figures, "questions_a_second": figures["n"] / seconds}


def cue_alone(module: PeftSft, questions: CvBench) -> dict[str, Any]:
    """The letters ranked after the cue without any reasoning: what the reasoning adds is missing."""
    write = module._write
    module._write = lambda batch, questions: ["" for _ in questions]  # type: ignore[method-assign]
    try:
        return answered(module, questions, "reason_then_rank", NEW_TOKENS)
    finally:
        module._write = write  # type: ignore[method-assign]


def main() -> None:
    """Train both models, answer in all ways, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=1000, help="to train on")
    parser.add_argument("--test-scenes", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="of the two ways that are compared in speed")
    options = parser.parse_args()
    # Threads that wait for each other would be measured otherwise, not the work.
    torch.set_num_threads(1)

    reasoned = data(options.scenes, options.test_scenes, reasons=True)
    module, seconds = trained(reasoned, True, options.epochs)
    ways: dict[str, Any] = {}
    speeds: dict[str, list[float]] = {"generate": [], "reason_then_rank": []}
    for _ in range(options.repeats):
        for way, found in speeds.items():
            ways[way] = answered(module, reasoned, way, NEW_TOKENS)
            found.append(ways[way].pop("questions_a_second"))
    for way, found in speeds.items():
        ways[way]["questions_a_second"] = statistics.median(found)
    for way in speeds:
        ways[f"{way}, cut off after {CUT_OFF} tokens"] = answered(module, reasoned, way, CUT_OFF)
    ways["the cue alone, without reasoning"] = cue_alone(module, reasoned)
    ways["rank, of bare letters that were not learnt"] = answered(module, reasoned, "rank", NEW_TOKENS)
    bare = data(options.scenes, options.test_scenes, reasons=False)
    other, bare_seconds = trained(bare, False, options.epochs)
    ways["rank, trained on bare letters"] = answered(other, bare, "rank", NEW_TOKENS)

    ratios = sorted(a / b for a, b in zip(speeds["reason_then_rank"], speeds["generate"], strict=True))
    result = {
        "ours": ways["reason_then_rank"]["questions_a_second"],
        "other": ways["generate"]["questions_a_second"],
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "unit": "questions/s",
        "what": f"{ways['generate']['n']} rendered questions answered by a tiny SmolVLM that was trained to "
        f"reason for {options.epochs} epochs of {options.scenes} scenes: ranking the letters after its "
        "reasoning, against reading what it writes",
        "details": {"ways": ways, "training_seconds": {"reasoned": seconds, "bare": bare_seconds}},
    }
    write_result("reason_then_rank", result)


if __name__ == "__main__":
    main()
