"""The student in a training: own answers, weights that change, and what is learnt of a teacher."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning import Callback
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.on_policy import OnPolicy
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.distillation.weights import Ramp
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.loading import load_vlm
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.both_models import (
    likeliest_answer,
    maps_of,
    plain_attention,
    plain_divergence,
    plain_entropy,
    said_of,
)
from tests.helpers.image_data import IMAGES, FourImages, ImageData

SIZE = TinySize(width=64, layers=2, vision_layers=1)
WHOLE = AdapterConfig("full", parts=["language_model", "connector"])


TERMS = {"cross_entropy", "divergence", "attention", "on_policy_divergence", "loss"}


class Terms(Callback):
    """The loss terms of every step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        metrics = trainer.callback_metrics
        self.steps.append(
            {name.removeprefix("train/"): float(value) for name, value in metrics.items() if "/" in name}
        )


def trained(
    steps: int, optimizer: OptimizerCallable, **options: Any
) -> tuple[DistilledStudent, list[dict[str, float]]]:
    torch.manual_seed(0)
    model = DistilledStudent(
        Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE),
        **{
            "model": "smolvlm_500m",
            "random_weights": True,
            "tiny_size": SIZE,
            "adapter": AdapterConfig(dropout=0.0),
            "optimizer": optimizer,
            **options,
        },
    )
    terms = Terms()
    trainer = bare_trainer(max_steps=steps, max_epochs=-1, callbacks=[terms])
    trainer.fit(model, datamodule=ImageData())
    return model, terms.steps


@pytest.mark.parametrize(("seed", "drawn"), [(0, "1110"), (1, "0001")])
def test_each_step_learns_what_both_models_say_of_true_or_own_answers(
    seed: int, drawn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one, the seed says. A frozen student sees the same at every step, and writes the same."""
    monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
    model, steps = trained(
        4,
        lambda parameters: torch.optim.SGD(parameters, lr=0.0),
        logits=LogitDistillation(alpha=Ramp(0.2, 0.8, 0.25), temperature=1.5, divergence="forward_kl"),
        logit_weight=Ramp(2.0, 0.5),
        attention=AttentionDistillation(),
        attention_weight=Ramp(2.0, 0.0),
        on_policy=OnPolicy(temperature=1e-6, maximum_new_tokens=3),
    )
    theirs, collate = load_vlm("smolvlm_500m", True, tiny_size=SIZE, weights_seed=1), model.vlm_collator(True)
    whole = list(range(len(theirs.processor.tokenizer)))
    found: dict[str, list[Tensor]] = {"entropy": [], "true": [], "own": [], "attention": []}
    for image in range(IMAGES):
        (sample,) = FourImages().samples(image, [0])
        batch: Any = collate([sample])
        alone, true = batch["prompt"], batch["labels"][batch["labels"] != -100].tolist()
        own = likeliest_answer(model.vlm, alone, 3, {collate.conversation.end_id})
        for name, answer in (("true", true), ("own", own)):
            ours, said = (said_of(vlm.model, vlm, alone, answer) for vlm in (model.vlm, theirs))
            found[name].append(plain_divergence(ours, said, (whole, whole), 1.5))
            found["entropy"] += [plain_entropy(ours, true)] if name == "true" else []
        rows = list(range(alone["input_ids"].shape[1] + len(true)))
        maps = [maps_of(vlm.model, vlm, alone, true) for vlm in (model.vlm, theirs)]
        found["attention"] += [
            plain_attention(ours, theirs, rows, rows)[None] for ours, theirs in zip(*maps, strict=True)
        ]
    mean = {name: float(torch.cat(values).mean()) for name, values in found.items()}
    for number, step in enumerate(steps):
        weight, alpha = 2.0 - 1.5 * number / 4, 0.2 + 0.6 * max(0.0, number / 4 - 0.25) / 0.75
        if drawn[number] == "1":
            wanted = {"on_policy_divergence": weight * 1.5**2 * mean["own"]}
        else:
            wanted = {
                "cross_entropy": weight * alpha * mean["entropy"],
                "divergence": weight * (1 - alpha) * 1.5**2 * mean["true"],
                "attention": (2.0 - 2.0 * number / 4) * mean["attention"],
            }
        wanted["loss"] = sum(wanted.values())
        found_there = {name: value for name, value in step.items() if name in TERMS and value}
        assert found_there == pytest.approx(wanted, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["true answers", "own answers"])
def test_a_student_comes_to_speak_as_its_teacher(own: bool) -> None:
    """From the divergence alone, on true answers or on its own, without a word about what is right."""
    _, steps = trained(
        40,
        lambda parameters: torch.optim.AdamW(parameters, lr=3e-3),
        adapter=WHOLE,
        logits=LogitDistillation(alpha=0.0, temperature=1.0),
        on_policy=OnPolicy(share=1.0, maximum_new_tokens=3) if own else None,
    )
    name = "on_policy_divergence" if own else "divergence"
    first, last = (sum(step[name] for step in part) / 5 for part in (steps[:5], steps[-5:]))
    assert last < 0.5 * first
