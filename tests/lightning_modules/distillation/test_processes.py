"""Two processes (gloo, DDP) with unequal shares take the step of one with the joined batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lightning_modules.base import SpatialModule
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.forked import in_processes
from tests.helpers.questions import noise_image, question
from tests.helpers.small_student import SIZE, STUDENT

# Answers of one to thirty tokens, and one sample more in the first process than in the second.
SAMPLES = [
    question(noise_image(1), 0).replace(rationale="The chair is at the back of the room, so it is the lamp."),
    question(noise_image(2), 1).replace(rationale="One, two."),
    question(noise_image(3), 3),
    question(noise_image(4), 2, 2),
    question(None, 4).replace(rationale="The door is two metres high, and so is the lamp. " * 3),
]
SHARES = (slice(0, 3), slice(3, 5))


def learner(kind: str) -> SpatialModule:
    torch.manual_seed(0)
    if kind == "fine-tuned":
        return PeftSft(**STUDENT).double()
    model = DistilledStudent(
        Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE),
        attention=AttentionDistillation(),
        **STUDENT,
    ).double()
    model.open_teacher()
    assert isinstance(model.teacher, LiveTeacher)
    model.teacher.network.double()
    return model


class Step(nn.Module):
    """What DDP wraps: a batch in, the sum of the loss terms out."""

    def __init__(self, model: SpatialModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, samples: list[Any]) -> Tensor:
        batch: Any = self.model.collator("fit")(samples)
        batch["inputs"]["pixel_values"] = batch["inputs"]["pixel_values"].double()
        step = self.model.open_step([batch])
        return torch.stack(list(step.weighed(self.model.loss(batch)).values())).sum()


def gradients(model: SpatialModule) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: torch.zeros(()) if gradient is None else gradient for name, gradient in found.items()}


def one_of_two(rank: int, kind: str, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = learner(kind).eval()
    # Kept by a name: its hooks need it until the gradients are exchanged.
    joined = DistributedDataParallel(Step(model), find_unused_parameters=True)
    joined(SAMPLES[SHARES[rank]]).backward()
    torch.save(gradients(model), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fine-tuned", "distilled"])
def test_two_processes_take_the_step_of_one(kind: str, tmp_path: Path) -> None:
    in_processes(one_of_two, (kind, tmp_path), 2)
    model = learner(kind).eval()
    Step(model)(SAMPLES).backward()
    joined = gradients(model)
    assert any(gradient.norm() > 1e-4 for gradient in joined.values())
    for rank in (0, 1):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, gradient in joined.items():
            assert torch.allclose(shared[name], gradient, rtol=1e-8, atol=1e-12), name
