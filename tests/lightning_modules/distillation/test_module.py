"""The student as a whole: what it is taught, what it keeps, and what is wrong with teachers."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.cv_bench import CvBench
from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.on_policy import OnPolicy
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.distillation.weights import Ramp
from lightning_modules.vlm.adapters import AdapterConfig
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


DEFAULTS: dict[type, dict[str, Any]] = {
    DistilledStudent: {"layer_map": "linear", "logit_weight": 1.0, "attention_weight": 0.5},
    LogitDistillation: {
        "alpha": 0.5,
        "temperature": 2.0,
        "divergence": "forward_kl",
        "beta": 0.5,
        "chunk": 128,
    },
    AttentionDistillation: {"similarity": "sum", "temperature": 1.0, "rows": "all", "columns": "all"},
    OnPolicy: {"share": 0.5, "temperature": 1.0, "maximum_new_tokens": 128},
    Ramp: {"until": 1.0},
    Teacher: {"weights_seed": 1, "cache_k": 64},
}
"""As published; all others are nothing."""


@pytest.mark.parametrize("settings", DEFAULTS, ids=lambda settings: settings.__name__)
def test_what_is_left_out_is_as_published(settings: type) -> None:
    """A run of before has to be the same run: what its file leaves out is a part of it."""
    parameters = signature(settings).parameters.values()
    found = {each.name: each.default for each in parameters if each.default is not each.empty}
    assert {name: default for name, default in found.items() if default} == DEFAULTS[settings]
