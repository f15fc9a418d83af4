"""Qwen2.5-VL-3B with LoRA, alone and taught by the 7B: tokens a second, share of the peak, peak memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.gpu.figures import Figures
from benchmarks.gpu.machine import Machine, does_not_fit
from benchmarks.gpu.qwen import Shapes, in_place_of_the_tiny_model, long_question, shapes_on
from benchmarks.gpu.training import MadeUpData, train
from benchmarks.matrix_units import work_of, work_of_tower
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft

LORA_TOKENS = 2048
DISTILLATION_TOKENS = 4096


def measure_lora(machine: Machine, figures: Figures) -> None:
    """LoRA of rank 16 on the attention, as in `experiments/small_vlm/`, with and without checkpointing."""
    shapes = shapes_on(machine)
    for checkpointing in (False, True):
        how = f"LoRA, activation checkpointing: {'yes' if checkpointing else 'no'}"
        if not figures.allow(how, 20 if machine.is_gpu else 0):
            continue
        with in_place_of_the_tiny_model(shapes.student, shapes, machine.device):
            module = PeftSft(
                **_student(shapes, LORA_TOKENS, checkpointing),
                adapter=AdapterConfig("lora", rank=16, alpha=32),
            )
        _measure(f"{_name(machine, '3B')}: {how}", module, None, shapes, machine, figures)
        del module
        machine.free()


def measure_distillation(machine: Machine, figures: Figures) -> None:
    """The 7B's logits, and its attention as well, as in `experiments/distillation/` but not in 4 bits."""
    shapes = shapes_on(machine)
    for terms in ("logits", "logits and attention"):
        if not figures.allow(terms, 30 if machine.is_gpu else 0):
            continue
        with in_place_of_the_tiny_model(shapes.student, shapes, machine.device):
            module = DistilledStudent(
                Teacher("qwen2_5_vl_7b", random_weights=True),
                LogitDistillation(alpha=0.5, temperature=1.5),
                None if terms == "logits" else AttentionDistillation(),
                **_student(shapes, DISTILLATION_TOKENS, checkpointing=True),
                adapter=AdapterConfig("lora", rank=128, alpha=256, target_modules=["query_value"]),
            )
        with in_place_of_the_tiny_model(shapes.teacher, shapes, machine.device):
            module.open_teacher()
        assert isinstance(module.teacher, LiveTeacher)
        what = f"{_name(machine, '7B')} -> 3B: distillation of {terms}"
        _measure(what, module, module.teacher.network, shapes, machine, figures, gradient_clip=0.3)
        del module
        machine.free()


def _student(shapes: Shapes, tokens: int, checkpointing: bool) -> dict[str, Any]:
    """What both ways of training say alike of the 3B."""
    return {
        "model": "qwen2_5_vl_3b",
        "random_weights": True,
        "answering": "generate",
        "rationale": True,
        "maximum_tokens": tokens // shapes.shrunk,
        "activation_checkpointing": checkpointing,
        "optimizer": partial(torch.optim.AdamW, lr=2e-5),
    }


def _measure(
    what: str,
    module: PeftSft,
    teacher: Any,
    shapes: Shapes,
    machine: Machine,
    figures: Figures,
    gradient_clip: float = 1.0,
) -> None:
    """Train some steps on one long question, and write down what that took, or that it does not fit."""
    assert module.maximum_tokens is not None
    question = long_question(module.vlm_collator(with_labels=True), shapes.edge, module.maximum_tokens)
    batch = module.collator("fit")([question.sample])
    tokens = int(batch["tokens"])
    learnt = batch["label_count"]
    patches = len(batch["inputs"]["pixel_values"])
    operations = work_of(module.network, teacher, tokens, learnt).needed
    for model in filter(None, (module.vlm.model, teacher)):
        operations += work_of_tower(model.model.visual, patches)
    measured = {"tokens": tokens, "learnt": learnt, "teraflops": operations / 1e12}
    data = MadeUpData(question, repeated=True, batch_size=1, num_workers=0)
    many, warm_up = (4, 2) if machine.is_gpu else (2, 1)
    try:
        steps = train(module, data, machine, steps=many, warm_up=warm_up, gradient_clip=gradient_clip)
    except Exception as error:
        if not does_not_fit(error):
            raise
        figures.add(what=what, **measured, fits=False)
        return
    figures.add(
        what=what,
        **measured,
        fits=True,
        tokens_per_second=tokens / steps.median,
        share_of_peak=operations / steps.median / machine.peak,
        **steps.figures(),
    )


def _name(machine: Machine, size: str) -> str:
    return f"{'' if machine.is_gpu else 'stand-in of '}Qwen2.5-VL-{size}, random weights"
