"""Any scheduler of torch, stepped when it wants to be, and fits whose length nobody has said."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim import lr_scheduler

from lightning_modules.phases import Phase
from lightning_modules.schedule import ScheduleError, WarmupCosine
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData
from tests.helpers.stub import StubData, StubModule

EPOCHS, STEPS_PER_EPOCH = 3, 4


class Recorded(StubModule):
    """Remembers the learning rate of every step."""

    def __init__(self, schedule: Any, **shared: Any) -> None:
        super().__init__(optimizer=functools.partial(torch.optim.SGD, lr=0.5), **shared)
        self.schedule = schedule
        self.rates: list[float] = []

    def loss(self, batch: Any) -> dict[str, torch.Tensor]:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        self.rates.append(optimizer.param_groups[0]["lr"])
        return super().loss(batch)


def rates(schedule: Any) -> list[float]:
    module = Recorded(schedule, epochs=EPOCHS)
    bare_trainer(max_epochs=-1).fit(module, StubData(num_workers=0))
    assert len(module.rates) == EPOCHS * STEPS_PER_EPOCH
    return module.rates


@pytest.mark.parametrize(
    ("schedule", "every"),
    [
        (functools.partial(lr_scheduler.StepLR, step_size=1, gamma=0.1), STEPS_PER_EPOCH),
        (functools.partial(lr_scheduler.CosineAnnealingLR, T_max=EPOCHS), STEPS_PER_EPOCH),
        (functools.partial(lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 1 / (1 + epoch)), STEPS_PER_EPOCH),
        (lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=0.7, total_steps=12), 1),
        (lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.1, 0.7, step_size_up=3), 1),
    ],
    ids=["StepLR", "CosineAnnealingLR", "LambdaLR", "OneCycleLR", "CyclicLR"],
)
def test_a_scheduler_of_torch_is_stepped_as_torch_says(schedule: Any, every: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = schedule(optimizer)
    expected = []
    for step in range(EPOCHS * STEPS_PER_EPOCH):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    assert rates(schedule) == pytest.approx(expected)


def test_a_plateau_is_watched_where_it_is_named_and_refused_where_it_is_not() -> None:
    watching = functools.partial(ReduceLROnPlateau, monitor="train/loss", mode="max", patience=0, factor=0.1)
    seen = rates(watching)
    assert seen[0] == 0.5 and seen[-1] < 0.5
    with pytest.raises(ScheduleError, match=r"nothing to watch.*`monitor`"):
        TinyGiant(TinyGiantConfig(), [Phase("normalized", 1)], schedule=lr_scheduler.ReduceLROnPlateau)


def test_a_schedule_that_does_not_fit_is_refused_in_a_sentence() -> None:
    phases = [Phase("normalized", 1)]
    without_its_settings: Any = lr_scheduler.StepLR

    def number(optimizer: torch.optim.Optimizer) -> Any:
        return 3

    with pytest.raises(ScheduleError, match=r"does not take its settings: .*step_size"):
        TinyGiant(TinyGiantConfig(), phases, schedule=without_its_settings)
    with pytest.raises(ScheduleError, match="has made a int"):
        TinyGiant(TinyGiantConfig(), phases, schedule=number)
    with pytest.raises(ScheduleError, match="OneCycleLR ends after 11 steps, and the training has 12"):
        rates(lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=0.7, total_steps=11))


def on_course(step: int, total: int, warmup: float, final: float) -> float:
    """The rate of a step, of a highest one of 0.5: up a line, then down half a cosine."""
    rising = max(1, round(warmup * total))
    if step < rising:
        return 0.5 * (step + 1) / rising
    angle = math.pi * (step - rising) / (total - rising)
    return 0.5 * (final + (1 - final) * (1 + math.cos(angle)) / 2)


@pytest.mark.parametrize(("warmup", "final"), [(0.25, 0.1), (0.0, 0.5), (0.6, 0.0), (0.03, 1.0)])
def test_a_fit_warms_up_and_follows_a_cosine_step_by_step(warmup: float, final: float) -> None:
    """A module may say itself, in its `setup` behind that of the base, how long the fit is."""
    expected = [on_course(step, EPOCHS * STEPS_PER_EPOCH, warmup, final) for step in range(12)]
    assert rates(WarmupCosine(warmup, final)) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 400), st.floats(0, 0.5), st.floats(0, 1))
def test_the_last_step_has_the_final_fraction_and_so_has_whatever_follows(
    total: int, warmup: float, final: float
) -> None:
    factors = [WarmupCosine(warmup, final).factor(step, total) for step in range(total)]
    expected = [2 * on_course(step, total, warmup, final) for step in range(total)]
    assert factors == pytest.approx(expected, abs=1e-9)
    later = [WarmupCosine(warmup, final).factor(step, total) for step in (total, total + 7)]
    assert later == pytest.approx([final] * 2, abs=1e-9)


def test_a_resumed_run_takes_up_the_course_of_its_new_length(tmp_path: Path) -> None:
    course, file = (0.25, 0.1), tmp_path / "run.ckpt"
    first, longer = (Recorded(WarmupCosine(*course), epochs=EPOCHS) for _ in range(2))
    trainer = bare_trainer(max_epochs=1)
    trainer.fit(first, StubData(num_workers=0))
    trainer.save_checkpoint(file)
    bare_trainer(max_epochs=EPOCHS).fit(longer, StubData(num_workers=0), ckpt_path=file, weights_only=True)
    assert first.rates == pytest.approx([on_course(step, 4, *course) for step in range(4)])
    assert longer.rates == pytest.approx([on_course(step, 12, *course) for step in range(4, 12)])


class Told(Recorded):
    """Trains for as long as the trainer says."""

    def setup(self, stage: str) -> None:
        super(StubModule, self).setup(stage)


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_epochs": -1}, 4),
        ({"max_epochs": None, "max_steps": 7}, 7),
        ({"max_epochs": 2}, 8),
        ({"max_epochs": -1, "max_time": "00:00:00:01"}, None),
    ],
)
def test_a_fit_ends_where_something_says_so_and_else_after_an_epoch(limits: Any, steps: int | None) -> None:
    module = Told(WarmupCosine(warmup_fraction=0.5))
    bare_trainer(**limits).fit(module, StubData(num_workers=0))
    assert len(module.rates) == steps if steps else len(module.rates) > 8
    assert all(math.isfinite(rate) and rate <= 0.5 for rate in module.rates)
    assert module.rates[0] == (0.5 if steps is None else 0.5 / max(1, round(steps / 2)))


def test_phases_say_how_long_a_fit_is() -> None:
    shape = TinyGiantConfig(image_size=(64, 64), global_grid=(2, 2), width=32, visual_width=16)
    trainer = bare_trainer(max_epochs=-1, limit_train_batches=1)
    trainer.fit(TinyGiant(shape, [Phase("normalized", 2), Phase("free_form", 1)]), MemoryData())
    assert trainer.current_epoch == 3
