"""The student as a whole: what it is taught, what it keeps, and what is wrong with teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.cv_bench import CvBench
from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.collator import IGNORED
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.sums import sum_of

TEACHER = Teacher("smolvlm_500m", random_weights=True, tiny_size=TinySize(layers=6))


def student(teacher: Teacher = TEACHER, **options: Any) -> DistilledStudent:
    defaults: dict[str, Any] = {
        "model": "smolvlm_500m",
        "random_weights": True,
        "adapter": AdapterConfig(dropout=0.0),
        "attention": AttentionDistillation(),
    }
    model = DistilledStudent(teacher, **{**defaults, **options})
    model.open_teacher()
    return model


def live(model: DistilledStudent) -> LiveTeacher:
    assert isinstance(model.teacher, LiveTeacher)
    return model.teacher


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CvBench:
    return CvBench(
        scenes={"train": 6, "val": 1, "test": 2},
        size=(112, 80),
        batch_size=2,
        num_workers=0,
        cache=str(tmp_path_factory.mktemp("scenes")),
    )


def batch_of(model: DistilledStudent, data: CvBench) -> Any:
    data.prepare_split("train")
    split = data.split("train")
    samples = [sample for group in range(3) for sample in split.samples(group, [0])]
    return model.collator("fit")(samples)


def test_the_terms_are_those_of_full_logits(data: CvBench) -> None:
    """Against both models' own outputs, with no code shared."""
    model = student(
        logits=LogitDistillation(alpha=0.3, temperature=1.5), logit_weight=2.0, attention_weight=0.25
    ).eval()
    batch = batch_of(model, data)
    found = model.loss(batch)
    with torch.no_grad():
        ours = model.network(**batch["inputs"], use_cache=False).logits.double()
        theirs = live(model).network(**batch["inputs"], use_cache=False).logits.double()
    entropy, divergence, count = 0.0, 0.0, 0
    for row in range(len(ours)):
        for place in range(1, ours.shape[1]):
            target = int(batch["labels"][row, place])
            if target == IGNORED:
                continue
            student_now, teacher_now = ours[row, place - 1], theirs[row, place - 1]
            entropy -= float(student_now.log_softmax(-1)[target])
            wanted, had = (teacher_now / 1.5).log_softmax(-1), (student_now / 1.5).log_softmax(-1)
            divergence += float((wanted.exp() * (wanted - had)).sum())
            count += 1
    assert found["cross_entropy"].item() == pytest.approx(2.0 * 0.3 * entropy / count, rel=1e-4)
    assert found["divergence"].item() == pytest.approx(2.0 * 0.7 * 1.5**2 * divergence / count, rel=1e-4)
    assert found["attention"].item() > 0


def test_a_teacher_that_is_the_student_has_nothing_to_say(data: CvBench) -> None:
    model = student(Teacher("smolvlm_500m", random_weights=True, weights_seed=0), attention=None).eval()
    found = model.loss(batch_of(model, data))
    assert found["divergence"].item() == pytest.approx(0, abs=1e-5)
    assert set(found) == {"cross_entropy", "divergence"}


def test_only_the_student_is_trained_saved_and_counted(data: CvBench, tmp_path: Path) -> None:
    model = student()
    teacher = live(model).network
    before = [parameter.clone() for parameter in teacher.parameters()]
    trainer = bare_trainer(max_steps=2)
    trainer.fit(model, datamodule=data)
    after = list(teacher.parameters())
    assert all(a.equal(b) and b.grad is None for a, b in zip(before, after, strict=True))
    assert all(module is not teacher for module in model.modules())
    assert not hasattr(model, "teacher"), "after the training its memory is free"
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert state and all("lora" in name and name.startswith("network.") for name in state)


def test_the_gradient_reaches_every_adapter_and_nothing_else(data: CvBench) -> None:
    model = student(
        model="qwen2_5_vl_3b",
        teacher=Teacher("qwen2_5_vl_7b", random_weights=True, tiny_size=TinySize(layers=6)),
    )
    sum_of(model.loss(batch_of(model, data)).values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_a_missing_adapter_names_the_experiment_that_makes_it(tmp_path: Path) -> None:
    teacher = Teacher(
        "smolvlm_500m",
        random_weights=True,
        adapter=str(tmp_path / "adapter"),
        made_by="distillation/teacher_sft_7b",
    )
    with pytest.raises(ModelError, match="make experiment NAME=distillation/teacher_sft_7b"):
        student(teacher)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="layer 9"):
        student(layer_map=[(0, 9)])
