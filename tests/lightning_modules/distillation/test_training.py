"""The student in a training: own answers, weights that change, and what is learnt of a teacher."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning import Callback
from lightning.pytorch.cli import OptimizerCallable

from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.on_policy import OnPolicy
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.distillation.weights import Ramp
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.image_data import ImageData

SIZE = TinySize(width=64, layers=2, vision_layers=1)
WHOLE = AdapterConfig("full", parts=["language_model", "connector"])


class Terms(Callback):
    """The loss terms of every step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        metrics = trainer.callback_metrics
        self.steps.append(
            {name.removeprefix("train/"): float(value) for name, value in metrics.items() if "/" in name}
        )


def trained(steps: int, optimizer: OptimizerCallable | None = None, **options: Any) -> list[dict[str, float]]:
    torch.manual_seed(0)
    model = DistilledStudent(
        Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE),
        **{
            "model": "smolvlm_500m",
            "random_weights": True,
            "tiny_size": SIZE,
            "adapter": AdapterConfig(dropout=0.0),
            "optimizer": optimizer or torch.optim.AdamW,
            **options,
        },
    )
    terms = Terms()
    trainer = bare_trainer(max_steps=steps, max_epochs=-1, callbacks=[terms])
    trainer.fit(model, datamodule=ImageData())
    return terms.steps


def test_own_answers_leave_true_ones_and_attention_out() -> None:
    steps = trained(3, on_policy=OnPolicy(share=1.0, maximum_new_tokens=3), attention=AttentionDistillation())
    for step in steps:
        assert step["on_policy_divergence"] > 0
        assert step["loss"] == pytest.approx(step["on_policy_divergence"])
        assert not {"cross_entropy", "divergence", "attention"} & step.keys()


def test_without_own_answers_all_terms_are_there_and_add_up() -> None:
    (step,) = trained(1, attention=AttentionDistillation(), on_policy=OnPolicy(share=0.0))
    assert "on_policy_divergence" not in step
    assert step["loss"] == pytest.approx(step["cross_entropy"] + step["divergence"] + step["attention"])


def test_weights_change_in_the_course_of_the_training() -> None:
    """A frozen student (no learning rate) sees the same terms at every step, but for their weights."""
    still: dict[str, Any] = {
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.0),
        "attention": AttentionDistillation(),
    }
    plain = trained(4, attention_weight=1.0, logits=LogitDistillation(alpha=1.0), **still)
    ramped = trained(
        4, attention_weight=Ramp(2.0, 0.0), logits=LogitDistillation(alpha=Ramp(0.0, 1.0, 0.5, 1.0)), **still
    )
    for number, (one, other) in enumerate(zip(plain, ramped, strict=True)):
        progress = number / 4
        assert other["attention"] == pytest.approx((2 - 2 * progress) * one["attention"], rel=1e-4)
        alpha = max(0.0, 2 * progress - 1)
        assert other["cross_entropy"] == pytest.approx(alpha * one["cross_entropy"], rel=1e-4, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["true answers", "own answers"])
def test_a_student_comes_to_speak_as_its_teacher(own: bool) -> None:
    """From the divergence alone, on true answers or on its own, without a word about what is right."""
    steps = trained(
        40,
        lambda parameters: torch.optim.AdamW(parameters, lr=3e-3),
        adapter=WHOLE,
        logits=LogitDistillation(alpha=0.0, temperature=1.0),
        on_policy=OnPolicy(share=1.0, maximum_new_tokens=3) if own else None,
    )
    name = "on_policy_divergence" if own else "divergence"
    first, last = (sum(step[name] for step in part) / 5 for part in (steps[:5], steps[-5:]))
    assert last < 0.5 * first
