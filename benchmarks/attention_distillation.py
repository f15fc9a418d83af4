"""Memory and time of attention distillation: ours against whole maps, as sequences grow.

python -m benchmarks.attention_distillation

One step of a student of 2 layers with 8 heads (2 of keys) and a teacher of 4 layers with 12 heads (4 of
keys), 64 channels a head, random weights, float32: both models read the same tokens, and the attention loss
goes backward through the student. The straightforward way runs both with eager attention and
`output_attentions`, and computes the published formula on whole maps. Extra memory is the highest resident
memory of a fresh process less that of a process which runs both models and goes backward from the student's
output alone. Time is the process's own, on one thread, so that a busy machine does not count. Loss and
gradient must agree. Results go to `runs/bench/attention_distillation.json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_modules.distillation.attention_loss import AttentionDistillation, attention_distillation
from lightning_modules.distillation.attention_tap import AttentionTap
from lightning_modules.distillation.layer_map import pair_layers

SIZES = (512, 1024, 2048, 4096)
SHAPES = {"student": (2, 8, 2), "teacher": (4, 12, 4)}
"""Layers, heads and key heads."""
_CHANNELS = 64
_WORDS = 256
_MEGABYTE = 1e6


def make(who: str) -> Any:
    """A language model with random weights, as sharp in its attention as trained ones are."""
    from transformers import LlamaConfig, LlamaModel

    layers, heads, key_heads = SHAPES[who]
    torch.manual_seed(layers)
    model: Any = LlamaModel(
        LlamaConfig(
            vocab_size=_WORDS,
            hidden_size=_CHANNELS * heads,
            intermediate_size=2 * _CHANNELS * heads,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_heads,
            max_position_embeddings=max(SIZES),
            initializer_range=0.05,
        )
    )
    return model


def plain_step(student: Any, teacher: Any, tokens: Tensor) -> Tensor:
    """Both models forward without attention distillation: what is not extra."""
    with torch.no_grad():
        teacher(tokens)
    output: Tensor = student(tokens).last_hidden_state
    return output.square().mean()


def our_step(student: Any, teacher: Any, tokens: Tensor) -> Tensor:
    """The attention loss through the tap, in chunks."""
    pairs = pair_layers(len(student.layers), len(teacher.layers), "linear")
    with torch.no_grad(), AttentionTap(teacher, "", {theirs for _, theirs in pairs}) as tap:
        teacher(tokens)
    wanted = tap.take()
    with AttentionTap(student, "", {ours for ours, _ in pairs}) as tap:
        student(tokens)
    everything = torch.ones_like(tokens, dtype=torch.bool)
    return attention_distillation(tap.take(), wanted, pairs, everything, everything, AttentionDistillation())


def straightforward_step(student: Any, teacher: Any, tokens: Tensor) -> Tensor:
    """The attention loss from the maps that eager attention gives."""
    pairs = pair_layers(len(student.layers), len(teacher.layers), "linear")
    with torch.no_grad():
        wanted = teacher(tokens, output_attentions=True).attentions
    maps = student(tokens, output_attentions=True).attentions
    losses = []
    for ours, theirs in pairs:
        s, t = maps[ours].flatten(2), wanted[theirs].flatten(2)
        weights = (t @ s.transpose(1, 2) / tokens.shape[1]).softmax(-1)
        logarithm = (weights @ s).clamp_min(torch.finfo(s.dtype).tiny).log()
        losses.append(torch.nn.functional.kl_div(logarithm, t, reduction="sum") / tokens.numel())
    return torch.stack(losses).mean()


STEPS: dict[str, Callable[[Any, Any, Tensor], Tensor]] = {
    "plain": plain_step,
    "ours": our_step,
    "straightforward": straightforward_step,
}
"""What a fresh process can be asked to measure."""


def measure(way: str, size: int, repeats: int) -> dict[str, Any]:
    """One step for the memory, then some for the time."""
    torch.set_num_threads(1)
    student, teacher = make("student").train(), make("teacher").eval()
    if way == "straightforward":
        student.set_attn_implementation("eager")
        teacher.set_attn_implementation("eager")
    tokens = torch.randint(_WORDS, (1, size), generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(1 + repeats):
        student.zero_grad()
        began = time.process_time()
        loss = STEPS[way](student, teacher, tokens)
        loss.backward()
        seconds.append(time.process_time() - began)
    gradient = torch.cat([part.grad.flatten() for part in student.parameters() if part.grad is not None])
    return {
        # Kilobytes on Linux.
        "bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "seconds": statistics.median(seconds[1:]),
        "loss": float(loss.detach()),
        "gradient": float(gradient.norm()),
    }


def in_fresh_process(way: str, size: int, repeats: int) -> dict[str, Any]:
    """Run one measurement where no memory has been used yet."""
    command = [sys.executable, "-m", "benchmarks.attention_distillation", "--measure", way]
    command += ["--size", str(size), "--repeats", str(repeats)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def compare(size: int, repeats: int) -> dict[str, Any]:
    """Extra memory and time of both ways on sequences of so many tokens."""
    plain, ours, other = (in_fresh_process(way, size, repeats) for way in STEPS)
    for name in ("loss", "gradient"):
        assert abs(ours[name] / other[name] - 1) < 1e-4, f"{name}: {ours[name]} against {other[name]}"
    extra, extra_other = ours["bytes"] - plain["bytes"], other["bytes"] - plain["bytes"]
    return {
        "tokens": size,
        "extra_megabytes": extra / _MEGABYTE,
        "extra_megabytes_straightforward": extra_other / _MEGABYTE,
        "memory_ratio": extra_other / extra,
        "seconds": ours["seconds"],
        "seconds_straightforward": other["seconds"],
        "seconds_without_attention_loss": plain["seconds"],
        "speed_ratio": other["seconds"] / ours["seconds"],
        "loss": ours["loss"],
        "loss_straightforward": other["loss"],
    }


def main() -> None:
    """Compare all sizes and write what was found; or make one measurement, for `compare`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention_distillation", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="how many steps are timed")
    parser.add_argument("--measure", choices=sorted(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.size, options.repeats)))
        return
    sizes = []
    for size in SIZES:
        sizes.append(compare(size, options.repeats))
        print(json.dumps(sizes[-1]), flush=True)
    largest = sizes[-1]
    result = {
        "ours": largest["extra_megabytes"],
        "other": largest["extra_megabytes_straightforward"],
        "ratio": largest["memory_ratio"],
        "speed_ratio": largest["speed_ratio"],
        "unit": "megabytes of extra memory",
        "what": f"a step of attention distillation on {largest['tokens']:,} tokens: tapped queries and keys "
        "in chunks of rows, against whole maps of both models from eager attention; float32, one thread",
        "shapes": SHAPES,
        "details": sizes,
    }
    target = Path("runs/bench/attention_distillation.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
