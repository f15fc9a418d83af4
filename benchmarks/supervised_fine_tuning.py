"""Supervised fine-tuning here and with TRL's `SFTTrainer`: tokens a second, and memory.

python -m benchmarks.supervised_fine_tuning

Both train the same tiny random model of SmolVLM with the same LoRA on the same rendered questions, in batches
of the same size, in full precision, with the loss on the answers alone; images are opened and prepared in the
same process. Each run has a process of its own, and the two take turns. What is counted is tokens that are no
padding; the first steps do not count. TRL is the project's extra `bench`. Results go to
`runs/bench/supervised_fine_tuning.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from typing import Any

import torch

from benchmarks.measuring import MEBIBYTE, in_fresh_process, peak_resident_bytes, write_result
from datamodules.cv_bench import CvBench
from datamodules.samples import open_rgb
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.prompts import answer_text, question_text
from lightning_modules.vlm.sft import PeftSft

WARM_UP = 3
ADAPTER = AdapterConfig(method="lora", rank=16, alpha=32, dropout=0.05, target_modules=["attention"])
LEARNING_RATE = 2e-4


class Tally:
    """Tokens and time of the steps after the first ones."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ends: list[float] = []

    def step(self, tokens: int) -> None:
        """One optimisation step has ended."""
        self.tokens.append(tokens)
        self.ends.append(time.perf_counter())

    def rate(self) -> float:
        """Tokens a second."""
        return sum(self.tokens[WARM_UP:]) / (self.ends[-1] - self.ends[WARM_UP - 1])


def make_module() -> PeftSft:
    """The model with its adapter, the same in both ways."""
    return PeftSft("smolvlm_500m", random_weights=True, adapter=ADAPTER, optimizer=_optimizer)


def _optimizer(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)


def make_data(cache: str, batch: int) -> CvBench:
    """Rendered CV-Bench, a question an image in each batch."""
    return CvBench(
        scenes={"train": 120, "val": 1, "test": 1},
        size=(112, 112),
        batch_size=batch,
        questions_per_image=1,
        num_workers=0,
        cache=cache,
    )


def train_here(data: CvBench, steps: int) -> Tally:
    """Train with this project's module and Lightning."""
    from lightning import Callback, Trainer

    tally = Tally()

    class Count(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            tally.step(batch["tokens"])

    torch.manual_seed(0)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        callbacks=[Count()],
    )
    trainer.fit(make_module(), datamodule=data)
    return tally


def train_with_trl(data: CvBench, steps: int, batch: int) -> Tally:
    """Train with TRL's trainer."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    data.prepare_split("train")
    split = data.split("train")
    tally = Tally()
    seen: list[int] = []

    class Count(TrainerCallback):
        def on_step_end(self, *arguments: Any, **options: Any) -> None:
            tally.step(seen.pop(0))

    module: Any = make_module()
    rows = [
        {
            "images": [open_rgb(sample.image)],
            "prompt": [{"role": "user", "content": question_text(sample)}],
            "completion": [{"role": "assistant", "content": answer_text(sample)}],
        }
        for index in range(len(split))
        for sample in split.samples(index, [0])
        if sample.image is not None
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=module.network,
            processing_class=module.vlm.processor,
            train_dataset=Dataset.from_list(rows),
            args=SFTConfig(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=batch,
                learning_rate=LEARNING_RATE,
                max_length=None,
                max_grad_norm=1.0,
                completion_only_loss=True,
                gradient_checkpointing=False,
                use_cpu=True,
                bf16=False,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            callbacks=[Count()],
        )
        inner = trainer.data_collator

        def collate(rows: list[Any]) -> Any:
            made = inner(rows)
            seen.append(int(made["attention_mask"].sum()))
            return made

        trainer.data_collator = collate
        trainer.train()
    return tally


def measure(way: str, cache: str, steps: int, batch: int) -> dict[str, float]:
    """One way, in this process: tokens a second, and the most memory beyond what the imports took."""
    torch.set_num_threads(1)
    data = make_data(cache, batch)
    data.prepare_split("train")
    import lightning  # noqa: F401
    import peft  # noqa: F401
    import trl  # noqa: F401

    before = peak_resident_bytes()
    tally = train_here(data, steps) if way == "ours" else train_with_trl(data, steps, batch)
    after = peak_resident_bytes()
    return {"tokens_per_second": tally.rate(), "megabytes": (after - before) / MEBIBYTE}


def main() -> None:
    """Measure both ways in turn, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", default="rendered_data")
    parser.add_argument("--measure", choices=["ours", "trl"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.cache, options.steps, options.batch)))
        return
    make_data(options.cache, options.batch).prepare_split("train")
    found: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
    settings = ("--steps", options.steps, "--batch", options.batch, "--cache", options.cache)
    for _ in range(options.repeats):
        for way, results in found.items():
            results.append(in_fresh_process("supervised_fine_tuning", "--measure", way, *settings))

    def middle(way: str, name: str) -> float:
        return statistics.median(result[name] for result in found[way])

    ratios = sorted(
        a["tokens_per_second"] / b["tokens_per_second"]
        for a, b in zip(found["ours"], found["trl"], strict=True)
    )
    result = {
        "ours": middle("ours", "tokens_per_second"),
        "other": middle("trl", "tokens_per_second"),
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "unit": "tokens/s",
        "what": f"LoRA on a tiny random SmolVLM, {options.steps} steps of {options.batch} rendered CV-Bench "
        "questions on one thread: PeftSft against TRL's SFTTrainer",
        "memory": {way: middle(way, "megabytes") for way in found} | {"unit": "MB beyond the imports"},
    }
    write_result("supervised_fine_tuning", result)


if __name__ == "__main__":
    main()
