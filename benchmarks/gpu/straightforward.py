"""A step of distillation 7B -> 3B, against the straightforward way with whole logits and whole maps."""

from __future__ import annotations

import statistics
import sys
from contextlib import redirect_stdout
from typing import Any

import torch

from benchmarks.distillation_step import compute_loss
from benchmarks.gpu.figures import Figures
from benchmarks.gpu.machine import Machine, does_not_fit
from benchmarks.gpu.qwen import Shapes, shapes_on
from benchmarks.language_models import make_models, make_sequences
from benchmarks.logit_distillation import SUPERVISED
from benchmarks.matrix_units import work_of
from benchmarks.measuring import write_result
from lightning_modules.distillation.logits.loss import supervised_positions

LENGTHS = (4096, 3072, 2048, 1024, 512)
"""Tokens of the sequence, the longest first."""

APART = 5e-2
"""How far the losses of both ways may be apart, as a share; bfloat16 rounds in different places."""


def measure(machine: Machine, figures: Figures) -> None:
    """Ours at the greatest length, and both ways at the greatest that the straightforward one has memory for.

    Raises:
        RuntimeError: both ways do not compute the same loss.
    """
    shapes = shapes_on(machine)
    ours = _measure("ours", LENGTHS[0], shapes, machine, figures)
    for length in LENGTHS:
        if not figures.allow(f"the straightforward way on {length:,} tokens", 30 if machine.is_gpu else 0):
            return
        other = _measure("straightforward", length, shapes, machine, figures)
        if other is None:
            continue
        if length < LENGTHS[0]:
            ours = _measure("ours", length, shapes, machine, figures)
        if ours is not None:
            _compare(ours, other, shapes, machine)
        return


def _measure(
    way: str, length: int, shapes: Shapes, machine: Machine, figures: Figures
) -> dict[str, Any] | None:
    """Time and memory of a way's steps, written down; None if they do not fit into the memory."""
    what = f"distillation of logits and attention, language models alone, {way}"
    if not machine.is_gpu:
        what = f"stand-in of {what}"
    tokens = length // shapes.shrunk
    try:
        found = _steps(way, tokens, shapes, machine)
    except Exception as error:
        if not does_not_fit(error):
            raise
        found = None
    # What did not fit is held by the error until here.
    machine.free()
    if found is None:
        figures.add(what=what, way=way, tokens=tokens, fits=False)
        return None
    figures.add(what=what, way=way, fits=True, **found)
    return found


def _steps(way: str, tokens: int, shapes: Shapes, machine: Machine) -> dict[str, Any]:
    language_models = {"student": shapes.student, "teacher": shapes.teacher}
    models = make_models(language_models, machine.device, "eager" if way == "straightforward" else "sdpa")
    batch = make_sequences(tokens, shapes.student.vocabulary, machine.device)
    seconds, peaks, loss = [], [], torch.zeros(())
    for _ in range(4 if machine.is_gpu else 3):
        models.student.zero_grad()
        machine.forget_peak()
        began = machine.now()
        # As Lightning does with `bf16-mixed`.
        with torch.autocast(machine.device, torch.bfloat16, enabled=machine.is_gpu, cache_enabled=False):
            loss = compute_loss(way, "both", models, batch)
        loss.backward()
        seconds.append(machine.now() - began)
        peaks.append(machine.peak_gigabytes())
    median = statistics.median(seconds[1:])
    learnt = len(supervised_positions(batch.labels).targets)
    work = work_of(*models, tokens, learnt)
    return {
        "tokens": tokens,
        "learnt": learnt,
        "tokens_per_second": tokens / median,
        "share_of_peak": work.needed / median / machine.peak,
        "peak_gigabytes": max(peaks[1:]),
        "peak_gigabytes_of_steps": peaks[1:],
        "seconds": median,
        "loss": loss.item(),
    }


def _compare(ours: dict[str, Any], other: dict[str, Any], shapes: Shapes, machine: Machine) -> None:
    """Write the comparison, in the form that all benchmarks have."""
    if abs(ours["loss"] / other["loss"] - 1) > APART:
        raise RuntimeError(
            f"Both ways should compute one loss, but ours is {ours['loss']} and the straightforward one's "
            f"{other['loss']}: their memory and time cannot be compared."
        )
    mine, theirs = ours["peak_gigabytes_of_steps"], other["peak_gigabytes_of_steps"]
    result = {
        "ours": ours["peak_gigabytes"],
        "other": other["peak_gigabytes"],
        "ratio": other["peak_gigabytes"] / ours["peak_gigabytes"],
        "spread": [min(theirs) / max(mine), max(theirs) / min(mine)],
        "speed_ratio": other["seconds"] / ours["seconds"],
        "unit": "gigabytes at the peak of a step, both models included",
        "what": f"a step of logit and attention distillation on {ours['tokens']:,} tokens, {SUPERVISED:.0%} "
        "of them answer, the longest on which whole maps and all logits of both models fit into the memory: "
        "queries and keys in chunks and supervised positions against those",
        "device": machine.name,
        "shapes": {"student": repr(shapes.student), "teacher": repr(shapes.teacher)},
        "details": {"ours": ours, "straightforward": other},
    }
    # Figures alone go to the standard output.
    with redirect_stdout(sys.stderr):
        write_result("on_gpu", result)
