"""Memory and time of the logits' loss and its gradient, against the straightforward implementation.

python -m benchmarks.logit_distillation

All are given the last hidden states of a student and a teacher for one sample, of which 22 % is answer.
`plain` makes all logits of both models, shifts them, and takes cross-entropy and KL over the labelled
positions; `selected` does so for the labelled positions only, in one piece; `ours` in checkpointed chunks.
Each measurement has a process of its own: extra memory is its peak (resident on a CPU, allocated on a GPU)
less what models and hidden states took. What is unlikely to fit into the free memory is left out and named.
Results go to `runs/bench/logit_distillation.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from benchmarks.measuring import MEBIBYTE, forget_peak, in_fresh_process, peak_resident_bytes, write_result
from lightning_modules.distillation.logits.loss import (
    LogitDistillation,
    distil_logits,
    supervised_positions,
    weighted,
)
from lightning_modules.distillation.logits.teacher_signal import TeacherLogits
from lightning_modules.distillation.weights import weight_at

SUPERVISED = 0.22
"""Share of answer tokens, as in SpaceThinker's samples with their reasoning."""

_COPIES = 9
"""Tensors of logits in memory at the worst moment, for the guess whether a size fits."""

_CONFIG = LogitDistillation()


@dataclass(frozen=True)
class Size:
    """What is measured: one sample's tokens, the vocabulary, both widths, whether the head is trained."""

    tokens: int
    vocabulary: int
    width: int
    teacher_width: int
    trained: bool


SIZES = {
    "cpu": (
        *(Size(tokens, 49_152, 576, 960, False) for tokens in (512, 1024, 2048, 4096)),
        Size(2048, 49_152, 576, 960, True),
        *(Size(tokens, 152_064, 576, 960, False) for tokens in (512, 2048, 4096)),
    ),
    "cuda": (
        *(Size(tokens, 49_152, 960, 2048, False) for tokens in (512, 1024, 2048, 4096)),
        *(Size(tokens, 152_064, 2048, 3584, False) for tokens in (512, 1024, 2048, 4096)),
        Size(4096, 152_064, 2048, 3584, True),
    ),
}
"""On a CPU the widths of SmolVLM 500M to 256M; on a GPU of 2.2B to 500M, and of Qwen2.5-VL 7B to 3B."""


_REPEATS = 3

_FIRST_USE = Size(64, 64, 8, 8, True)


@dataclass(frozen=True)
class Sample:
    """Hidden states `[1, tokens, width]` of both models, their heads, and labels `[1, tokens]`."""

    hidden: Tensor
    teacher_hidden: Tensor
    head: nn.Module
    teacher_head: nn.Module
    labels: Tensor


def make_sample(size: Size, device: torch.device, dtype: torch.dtype) -> Sample:
    """The same for every implementation; the answer stands at the end."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"device": device, "dtype": dtype}
    head = nn.Linear(size.width, size.vocabulary, bias=False, **options).requires_grad_(size.trained)
    teacher_head = nn.Linear(size.teacher_width, size.vocabulary, bias=False, **options).requires_grad_(False)
    labels = torch.randint(0, size.vocabulary, (1, size.tokens), device=device)
    labels[:, : round(size.tokens * (1 - SUPERVISED))] = -100
    hidden = torch.randn(1, size.tokens, size.width, **options).requires_grad_()
    teacher_hidden = torch.randn(1, size.tokens, size.teacher_width, **options)
    return Sample(hidden, teacher_hidden, head, teacher_head, labels)


def combined(student: Tensor, teacher: Tensor, targets: Tensor, config: LogitDistillation) -> Tensor:
    """`alpha * CE + (1 - alpha) * T^2 * KL` of logits `[positions, vocabulary]` where there is a target."""
    temperature, alpha = config.temperature, weight_at(config.alpha, 0.0)
    entropy = nn.functional.cross_entropy(student.float(), targets)
    divergence = nn.functional.kl_div(
        (student.float() / temperature).log_softmax(-1),
        (teacher.float() / temperature).log_softmax(-1),
        reduction="none",
        log_target=True,
    ).sum(-1)[targets != -100]
    return alpha * entropy + (1 - alpha) * temperature**2 * divergence.mean()


def plain(sample: Sample) -> Tensor:
    """All logits of both models, then the shift, then the labelled positions."""
    student = sample.head(sample.hidden)[0, :-1]
    with torch.no_grad():
        teacher = sample.teacher_head(sample.teacher_hidden)[0, :-1]
    return combined(student, teacher, sample.labels[0, 1:], _CONFIG)


def selected(sample: Sample) -> Tensor:
    """The logits of the labelled positions, all at once."""
    rows, positions, targets = supervised_positions(sample.labels)
    student = sample.head(sample.hidden[rows, positions])
    with torch.no_grad():
        teacher = sample.teacher_head(sample.teacher_hidden[rows, positions])
    return combined(student, teacher, targets, _CONFIG)


def ours(sample: Sample) -> Tensor:
    """This project's loss."""
    rows, positions, targets = supervised_positions(sample.labels)
    teacher = TeacherLogits(sample.teacher_hidden[rows, positions], sample.teacher_head)
    terms = distil_logits(sample.hidden[rows, positions], sample.head, targets, teacher, _CONFIG)
    return torch.stack(list(weighted(terms, _CONFIG).values())).sum()


WAYS: dict[str, Callable[[Sample], Tensor]] = {"plain": plain, "selected": selected, "ours": ours}


def measure(way: str, size: Size, device: torch.device) -> dict[str, Any]:
    """Extra memory and seconds of a loss and its gradient, and numbers to recognise the result by."""
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    # What is loaded at first use (checkpointing brings torch's compiler along) belongs to no implementation.
    WAYS[way](make_sample(_FIRST_USE, device, dtype)).backward()
    sample = make_sample(size, device, dtype)
    if not on_gpu:
        # One thread: on a busy machine threads that wait for each other would be measured, not the work.
        torch.set_num_threads(1)
    extra, seconds = [], []
    for _ in range(_REPEATS):
        sample.hidden.grad = sample.head.weight.grad = None
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        else:
            forget_peak()
            before = peak_resident_bytes()
        began, began_work = time.perf_counter(), time.process_time()
        loss = WAYS[way](sample)
        loss.backward()
        if on_gpu:
            torch.cuda.synchronize()
        # Other programs take turns on a CPU: what counts there is the time that was given to this one.
        seconds.append(time.perf_counter() - began if on_gpu else time.process_time() - began_work)
        peak = torch.cuda.max_memory_allocated() if on_gpu else peak_resident_bytes()
        extra.append((peak - before) / MEBIBYTE)
    gradient = sample.hidden.grad
    assert gradient is not None
    return {
        "extra_mebibytes": statistics.median(extra),
        "extra_of_repeats": extra,
        "seconds": statistics.median(seconds),
        "loss": loss.item(),
        "gradient": gradient.double().norm().item(),
    }


def ask(way: str, size: Size, device: torch.device) -> dict[str, Any]:
    """One measurement in a process of its own."""
    wanted = json.dumps({"way": way, **asdict(size)})
    return in_fresh_process(
        "logit_distillation", "--device", device.type, "--measure", wanted, own_pages=True
    )


def fits(way: str, size: Size, device: torch.device) -> bool:
    """Whether the memory that is free now is likely to be enough."""
    free = torch.cuda.mem_get_info()[0] if device.type == "cuda" else psutil.virtual_memory().available
    positions = size.tokens * (1 if way == "plain" else SUPERVISED)
    # A trained head has two gradients for a moment: of a chunk, and of those before.
    models = ((3 if size.trained else 1) * size.width + size.teacher_width) * size.vocabulary
    return (
        4 * (models + _COPIES * (_CONFIG.chunk if way == "ours" else positions) * size.vocabulary)
        < 0.9 * free
    )


def compare(sizes: list[Size], device: torch.device) -> dict[str, Any]:
    """All ways at all sizes; the headline is the largest size that each way could be measured at."""
    rows = []
    for size in sizes:
        found = {way: ask(way, size, device) for way in WAYS if fits(way, size, device)}
        for result in found.values():
            for name in ("loss", "gradient"):
                assert abs(result[name] / found["ours"][name] - 1) < (1e-2 if device.type == "cuda" else 1e-5)
        rows.append({**asdict(size), **found, "left_out": [way for way in WAYS if way not in found]})
        print(json.dumps(rows[-1]), flush=True)
    largest = max(
        (row for row in rows if not row["left_out"]), key=lambda row: row["tokens"] * row["vocabulary"]
    )
    memory = {way: largest[way]["extra_mebibytes"] for way in WAYS}
    return {
        "ours": memory["ours"],
        "other": memory["plain"],
        "ratio": memory["plain"] / memory["ours"],
        "spread": [
            min(largest["plain"]["extra_of_repeats"]) / max(largest["ours"]["extra_of_repeats"]),
            max(largest["plain"]["extra_of_repeats"]) / min(largest["ours"]["extra_of_repeats"]),
        ],
        "speed_ratio": largest["plain"]["seconds"] / largest["ours"]["seconds"],
        "unit": "MiB above models and hidden states, at the peak of loss and gradient",
        "what": f"Logit distillation of {largest['tokens']:,} tokens, {SUPERVISED:.0%} of them answer, "
        f"over a vocabulary of {largest['vocabulary']:,}, widths {largest['width']} and "
        f"{largest['teacher_width']}: chunks of {_CONFIG.chunk} supervised positions "
        "against all logits of both models",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU, one thread, float32",
        "sizes": rows,
    }


def main() -> None:
    """Run the comparison and write the result; or one measurement, for `compare`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logit_distillation", description=__doc__)
    parser.add_argument("--tokens", type=int, default=4096, help="leave out sizes with more tokens")
    parser.add_argument(
        "--device", choices=sorted(SIZES), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.measure:
        asked = json.loads(options.measure)
        print(json.dumps(measure(asked.pop("way"), Size(**asked), device)))
        return
    result = compare([size for size in SIZES[device.type] if size.tokens <= options.tokens], device)
    write_result("logit_distillation", result)


if __name__ == "__main__":
    main()
