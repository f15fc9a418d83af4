"""Memory and time of a whole step of distillation, as sequences grow: ours against the straightforward way.

python -m benchmarks.distillation_step

One step is the student's and the teacher's forward pass, the loss, and the student's backward pass, on one
sequence of which 22 % is answer, with the published formulas on logits, attention, or both. `ours` puts the
losses together as `DistilledStudent` does; `straightforward` makes all logits of both models, and whole
attention maps with eager attention and `output_attentions` where attention is distilled. `plain` runs both
models and goes backward from the student's last hidden states; extra memory and time are what a way takes
beyond that. Loss and gradient of the two ways must agree. Weights are random, and the student learns through
LoRA of rank 128 on its queries and values, with activation checkpointing, as in `experiments/distillation/`.

On a CPU the models are small, in float32 on one thread: memory is the highest resident memory of a fresh
process, time the process's own, so that a busy machine does not count. On a GPU they have the shapes of the
language models of Qwen2.5-VL 7B and 3B, in bfloat16: memory is the most that was allocated, and the matrix
units' share of their peak is told, with the peak of a large product of matrices in the same process. What
does not fit into the memory is recorded as such. Results go to `runs/bench/distillation_step.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.language_models import SHAPES, Models, Sequences, make_models, make_sequences
from benchmarks.logit_distillation import SUPERVISED, combined
from benchmarks.matrix_units import peak_operations, work_of
from benchmarks.measuring import (
    MEGABYTE,
    forget_peak,
    in_fresh_process,
    is_out_of_memory,
    limit_to_free_memory,
    peak_resident_bytes,
    write_result,
)
from lightning_modules.distillation.attention.loss import AttentionDistillation, attention_distillation
from lightning_modules.distillation.decoder_pass import head_of, run, softcap_of
from lightning_modules.distillation.logits.loss import (
    LogitDistillation,
    distil_logits,
    supervised_positions,
    weighted,
)
from lightning_modules.distillation.logits.teacher_signal import TeacherLogits

SIZES = (512, 1024, 2048, 4096)
"""Tokens of the sequence."""

LOGITS = LogitDistillation(alpha=0.5, temperature=1.5)
ATTENTION = AttentionDistillation()
ATTENTION_WEIGHT = 0.5

KINDS = ("logit", "attention", "both")
WAYS = ("ours", "straightforward")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

_TOLERANCE = {"cpu": 1e-4, "cuda": 5e-2}
"""How far the two ways may be apart, as a share; bfloat16 rounds maps and logits in different places."""


def plain_loss(models: Models, batch: Sequences) -> Tensor:
    """Both models forward, and something to go backward from: what is not extra."""
    hidden = run(models.student, "", batch.inputs).hidden
    with torch.no_grad():
        run(models.teacher, "", batch.inputs)
    return hidden.float().mean()


def our_loss(models: Models, batch: Sequences, kind: str) -> Tensor:
    """The loss as `DistilledStudent` computes it."""
    inputs, labels = batch
    pairs = [] if kind == "logit" else models.pairs
    ours = run(models.student, "", inputs, {student for student, _ in pairs})
    with torch.no_grad():
        theirs = run(models.teacher, "", inputs, {teacher for _, teacher in pairs})
    losses: list[Tensor] = []
    if kind != "attention":
        rows, positions, targets = supervised_positions(labels)
        terms = distil_logits(
            ours.hidden[rows, positions],
            head_of(models.student),
            targets,
            TeacherLogits(
                theirs.hidden[rows, positions], head_of(models.teacher), softcap_of(models.teacher)
            ),
            LOGITS,
            student_softcap=softcap_of(models.student),
        )
        losses += weighted(terms, LOGITS).values()
    if kind != "logit":
        mask = inputs["attention_mask"]
        rows_mask = ATTENTION.rows_mask(mask, labels)
        columns_mask = ATTENTION.columns_mask(mask, torch.zeros_like(mask))
        losses.append(
            ATTENTION_WEIGHT
            * attention_distillation(ours.layers, theirs.layers, pairs, rows_mask, columns_mask, ATTENTION)
        )
    return torch.stack(losses).sum()


def straightforward_loss(models: Models, batch: Sequences, kind: str) -> Tensor:
    """The same loss from all logits and whole maps."""
    wanted = {"output_attentions": kind != "logit", "logits_to_keep": 1 if kind == "attention" else 0}
    ours = models.student(**batch.inputs, **wanted, use_cache=False)
    with torch.no_grad():
        theirs = models.teacher(**batch.inputs, **wanted, use_cache=False)
    losses: list[Tensor] = []
    if kind != "attention":
        student = ours.logits[0, :-1]
        teacher = theirs.logits[0, :-1, : student.shape[-1]]
        losses.append(combined(student, teacher, batch.labels[0, 1:], LOGITS))
    if kind != "logit":
        losses.append(ATTENTION_WEIGHT * loss_of_maps(ours.attentions, theirs.attentions, models.pairs))
    return torch.stack(losses).sum()


def loss_of_maps(
    student: Sequence[Tensor], teacher: Sequence[Tensor], pairs: Sequence[tuple[int, int]]
) -> Tensor:
    """The attention loss from each layer's maps, `[1, heads, tokens, tokens]`."""
    losses = []
    for ours, theirs in pairs:
        tokens = student[ours].shape[-1]
        s, t = student[ours].flatten(2), teacher[theirs].flatten(2)
        weights = (t @ s.transpose(1, 2)).softmax(-1)
        logarithm = (weights @ s).clamp_min(torch.finfo(s.dtype).tiny).log()
        losses.append(nn.functional.kl_div(logarithm, t, reduction="sum") / tokens)
    return torch.stack(losses).mean()


def measure(way: str, kind: str, tokens: int, repeats: int) -> dict[str, Any]:
    """Memory and time of some steps in this process, or that they do not fit into its memory."""
    try:
        return _measured(way, kind, tokens, repeats)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return {"out_of_memory": True}
        raise


def _measured(way: str, kind: str, tokens: int, repeats: int) -> dict[str, Any]:
    fastest = peak_operations() if DEVICE == "cuda" else None
    eager = way == "straightforward" and kind != "logit"
    shapes = SHAPES[DEVICE]
    models = make_models(shapes, DEVICE, "eager" if eager else "sdpa")
    batch = make_sequences(tokens, shapes["student"].vocabulary, DEVICE)
    seconds, peaks = [], []
    for _ in range(1 + repeats):
        models.student.zero_grad()
        _forget_peak()
        began = _now()
        # As Lightning does with `bf16-mixed`.
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
            loss = compute_loss(way, kind, models, batch)
        loss.backward()
        seconds.append(_now() - began)
        peaks.append(torch.cuda.max_memory_allocated() if DEVICE == "cuda" else peak_resident_bytes())
    median = statistics.median(seconds[1:])
    gradients = [part.grad for part in models.student.parameters() if part.grad is not None]
    result = {
        "megabytes": statistics.median(peaks[1:]) / MEGABYTE,
        "megabytes_of_steps": [peak / MEGABYTE for peak in peaks[1:]],
        "seconds": median,
        "tokens_per_second": tokens / median,
        "loss": loss.item(),
        "gradient": nn.utils.get_total_norm(gradients).item(),
    }
    if fastest is not None:
        makes_logits = way != "plain" and kind != "attention"
        positions = len(supervised_positions(batch.labels).targets) if makes_logits else 0
        work = work_of(*models, tokens, positions)
        result["share_of_peak"] = work.needed / median / fastest
        result["share_of_peak_with_recomputation"] = sum(work) / median / fastest
        result["peak_teraflops"] = fastest / 1e12
    return result


def compute_loss(way: str, kind: str, models: Models, batch: Sequences) -> Tensor:
    """The loss of a way and a kind; `plain` has no kind."""
    if way == "plain":
        return plain_loss(models, batch)
    return (our_loss if way == "ours" else straightforward_loss)(models, batch, kind)


def _forget_peak() -> None:
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()


def _now() -> float:
    """Seconds: the process's own on a CPU, and once all is done on a GPU."""
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def compare(tokens: int, repeats: int) -> dict[str, Any]:
    """Extra memory and time of both ways, for all kinds of loss, on sequences of so many tokens."""

    def ask(way: str, kind: str) -> dict[str, Any]:
        options = ("--way", way, "--kind", kind, "--tokens", tokens, "--repeats", repeats)
        return in_fresh_process("distillation_step", "--measure", *options, own_pages=True)

    plain = ask("plain", "both")
    if "out_of_memory" in plain:
        raise SystemExit(
            f"The two models alone do not fit into the memory with {tokens} tokens; leave such sizes out "
            "with --tokens."
        )
    row: dict[str, Any] = {"tokens": tokens, "plain": plain}
    for kind in KINDS:
        found = {way: ask(way, kind) for way in WAYS}
        for result in found.values():
            if "out_of_memory" not in result:
                result["extra_megabytes"] = result["megabytes"] - plain["megabytes"]
                result["extra_of_steps"] = [
                    megabytes - plain["megabytes"] for megabytes in result.pop("megabytes_of_steps")
                ]
                result["extra_seconds"] = result["seconds"] - plain["seconds"]
        row[kind] = {**found, **_ratios(**found)}
    return row


def _ratios(ours: dict[str, Any], straightforward: dict[str, Any]) -> dict[str, Any]:
    """How many times the extra memory, and the time of the whole step; nothing where one does not fit."""
    if "out_of_memory" in ours or "out_of_memory" in straightforward:
        return {}
    for name in ("loss", "gradient"):
        apart = abs(ours[name] / straightforward[name] - 1)
        assert apart < _TOLERANCE[DEVICE], f"{name}: {ours[name]} against {straightforward[name]}"
    return {
        "ratio": straightforward["extra_megabytes"] / ours["extra_megabytes"],
        "spread": [
            min(straightforward["extra_of_steps"]) / max(ours["extra_of_steps"]),
            max(straightforward["extra_of_steps"]) / min(ours["extra_of_steps"]),
        ],
        "speed_ratio": straightforward["seconds"] / ours["seconds"],
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The result: logits and attention together, at the largest size at which both ways fit."""
    largest = max(rows, key=lambda row: ("ratio" in row["both"], row["tokens"]))
    both = largest["both"]
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU, one thread, float32"
    return {
        "ours": both["ours"].get("extra_megabytes"),
        "other": both["straightforward"].get("extra_megabytes"),
        "ratio": both.get("ratio"),
        "spread": both.get("spread"),
        "speed_ratio": both.get("speed_ratio"),
        "unit": "megabytes beyond a step without distillation",
        "what": f"a step of logit and attention distillation on {largest['tokens']:,} tokens, "
        f"{SUPERVISED:.0%} of them answer: tapped queries and keys and supervised positions in chunks, "
        "against whole maps and all logits of both models; the speed is the whole step's",
        "device": device,
        "shapes": {who: asdict(shape) for who, shape in SHAPES[DEVICE].items()},
        "details": list(rows),
    }


def main() -> None:
    """Compare all sizes and write what was found; or make one measurement, for `compare`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distillation_step", description=__doc__)
    parser.add_argument("--tokens", type=int, default=max(SIZES), help="leave out sizes with more tokens")
    parser.add_argument("--repeats", type=int, default=3, help="how many steps are timed")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=("plain", *WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        if DEVICE == "cpu":
            # On a busy machine threads that wait for each other would be measured, not the work.
            torch.set_num_threads(1)
            limit_to_free_memory()
        print(json.dumps(measure(options.way, options.kind, options.tokens, options.repeats)))
        return
    rows = []
    for size in (size for size in SIZES if size <= options.tokens):
        rows.append(compare(size, options.repeats))
        print(json.dumps(rows[-1]), flush=True)
    write_result("distillation_step", summary(rows))


if __name__ == "__main__":
    main()
