"""Several batches, or several processes, take the step of one with all of their questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from datamodules.base import Role, SpatialDataModule
from datamodules.samples import SpatialSample
from datamodules.scoring.metrics import Track3Metric
from experiments.callbacks.within_epochs import CheckpointWithinEpochs
from lightning_modules.accumulation import LookAhead
from lightning_modules.base import SpatialModule
from lightning_modules.distillation import module as student_module
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.on_policy import OnPolicy
from lightning_modules.distillation.output_writing import OutputWriting
from lightning_modules.distillation.teachers.cache_files import CacheWriter
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.finite import NotFinite
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData
from tests.helpers.questions import noise_image, question
from tests.helpers.small_student import SIZE, STUDENT
from tests.helpers.sums import sum_of

TEACHER = Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE)
RATIONALES = (
    "",
    "One.",
    "The door is two metres high, and so is the lamp. " * 3,
    "Two, three.",
    "It is far away.",
)


class Lopsided(SpatialDataModule):
    """Ten images with one question each, whose answers have a few tokens to some dozens."""

    def __init__(self, images: int = 10, **shared: Any) -> None:
        super().__init__(**{"num_workers": 0, **shared})
        self.images = images

    def prepare_split(self, role: Role) -> None:
        pass

    def open_split(self, role: Role) -> Any:
        return Images(self.images)

    def metric(self, stage: str = "test") -> Track3Metric:
        return Track3Metric()


class Images:
    def __init__(self, images: int) -> None:
        self.images = images

    def __len__(self) -> int:
        return self.images

    def group_sizes(self) -> np.ndarray:
        return np.ones(self.images, int)

    def samples(self, group: int, chosen: Sequence[int]) -> list[SpatialSample]:
        made = question(noise_image(group), group % 5).replace(rationale=RATIONALES[group % 5], id=str(group))
        return [made for _ in chosen]

    def labels(self) -> Iterator[tuple[str, str]]:
        yield from (("mcq", "1") for _ in range(self.images))

    def texts(self, limit: int) -> Iterator[tuple[str, ...]]:
        yield from ((self.samples(group, [0])[0].question,) for group in range(self.images))


class Gradients(Callback):
    """The gradients of every optimizer step, and what was logged of it."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []
        self.logged: list[dict[str, float]] = []

    def on_before_optimizer_step(self, trainer: Trainer, module: Any, optimizer: Any) -> None:
        self.steps.append(
            {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
        )
        terms = {name: float(value) for name, value in trainer.callback_metrics.items() if "train/" in name}
        self.logged.append(terms)


def still(parameters: Any) -> torch.optim.Optimizer:
    """An optimizer that moves nothing, so that every step begins where the first one did."""
    return torch.optim.SGD(parameters, lr=0.0)


def tiny_giant(**options: Any) -> TinyGiant:
    torch.manual_seed(0)
    shape = TinyGiantConfig(
        image_size=(64, 64), global_grid=(2, 2), width=32, visual_width=16, vocabulary_size=96, experts=0
    )
    module = TinyGiant(shape, [Phase("free_form", 1)], optimizer=still, **options)
    for backbone in (module.network.rgb, module.network.depth):
        assert backbone is not None
        backbone.freeze_statistics = True  # statistics of a batch are no mean over questions
        backbone.train()
    return module


def tuned() -> PeftSft:
    torch.manual_seed(0)
    return PeftSft(optimizer=still, **STUDENT)


def student(teacher: Teacher = TEACHER, **options: Any) -> DistilledStudent:
    torch.manual_seed(0)
    return DistilledStudent(teacher, optimizer=still, **STUDENT, **options)


def cached(folder: Path, data: SpatialDataModule) -> Teacher:
    """A teacher whose teacher outputs on all of the data are written."""
    teacher = Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE, cache=str(folder), cache_k=20)
    writing = OutputWriting(student(teacher), torch.device("cpu"))
    writer = CacheWriter(str(folder), writing.manifest, 4)
    split = data.open_split("train")
    for group in range(len(split)):
        writer.add(writing.outputs(writing.collator(split.samples(group, [0]))))
    writer.finish()
    return teacher


LEARNERS: dict[str, Callable[[Path], SpatialModule]] = {
    "fine-tuned": lambda _: tuned(),
    "logits": lambda _: student(),
    "attention": lambda _: student(attention=AttentionDistillation()),
    "cached": lambda folder: student(cached(folder, Lopsided())),
    "tiny giant": lambda _: tiny_giant(),
}


def data_for(kind: str, **options: Any) -> SpatialDataModule:
    return MemoryData(images=10, **options) if kind == "tiny giant" else Lopsided(**options)


def steps_of(module: SpatialModule, data: Any, accumulate: int = 1, **options: Any) -> Gradients:
    found = Gradients()
    trainer = bare_trainer(
        max_epochs=1, precision="64-true", accumulate_grad_batches=accumulate, callbacks=[found], **options
    )
    if isinstance(module, DistilledStudent):
        module.open_teacher()
        if isinstance(module.teacher, LiveTeacher):
            module.teacher.network.double()
    trainer.fit(module, datamodule=data)
    return found


def assert_same(one: Gradients, other: Gradients, steps: int) -> None:
    assert len(one.steps) == len(other.steps) == steps
    for mine, theirs in zip(one.steps, other.steps, strict=True):
        assert mine.keys() == theirs.keys()
        assert max(float(each.norm()) for each in theirs.values()) > 1e-4
        for name, gradient in theirs.items():
            assert torch.allclose(mine[name], gradient, rtol=1e-8, atol=1e-10), name
    for mine_logged, theirs_logged in zip(one.logged, other.logged, strict=True):
        assert mine_logged == pytest.approx(theirs_logged, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEARNERS)
def test_a_step_of_several_batches_is_that_of_one(kind: str, tmp_path: Path) -> None:
    """Ten questions, four a step: the last step has two. Each token, number and question counts alike."""
    together = steps_of(LEARNERS[kind](tmp_path / "a"), data_for(kind, batch_size=4))
    apart = steps_of(LEARNERS[kind](tmp_path / "b"), data_for(kind, batch_size=1), accumulate=4)
    assert_same(apart, together, steps=3)


def test_a_token_of_a_short_answer_weighs_as_one_of_a_long_answer() -> None:
    """Not the mean of the batches' means, which Lightning would take: that is another step by far."""
    data = Lopsided(batch_size=4)
    (first, *_) = steps_of(tuned(), data).steps
    apart = [
        steps_of(tuned(), Lopsided(batch_size=1), limit_train_batches=number + 1).steps[number]
        for number in range(4)
    ]
    mean = {name: sum_of(each[name] for each in apart) / 4 for name in first}
    flat, flat_mean = (torch.cat([each[name].flatten() for name in first]) for each in (first, mean))
    assert torch.cosine_similarity(flat, flat_mean, dim=0) < 0.97


def test_own_answers_are_drawn_for_a_whole_step_before_its_first_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given answers of one to five tokens: the step of four batches is that of one."""
    events: list[str] = []

    def given(network: Any, tokenizer: Any, prompt: dict[str, Tensor], *_: Any) -> list[list[int]]:
        rows = prompt["input_ids"]
        events.append(f"answers {len(rows)}")
        # An answer that depends on the question alone, whatever the padding.
        sums = (rows * prompt["attention_mask"]).sum(1).tolist()
        return [[40 + (number % 50)] * (1 + number % 5) for number in sums]

    class Noting(DistilledStudent):
        def loss(self, batch: Any) -> dict[str, Tensor]:
            events.append("learns")
            return super().loss(batch)

    def learner() -> DistilledStudent:
        torch.manual_seed(0)
        return Noting(TEACHER, optimizer=still, on_policy=OnPolicy(1.0, maximum_new_tokens=5), **STUDENT)

    monkeypatch.setattr(student_module, "on_policy_answers", given)
    together = steps_of(learner(), Lopsided(batch_size=4))
    assert events == ["answers 4", "learns", "answers 4", "learns", "answers 2", "learns"]
    events.clear()
    apart = steps_of(learner(), Lopsided(batch_size=1), accumulate=4)
    assert events == [*(["answers 1"] * 4 + ["learns"] * 4) * 2, *["answers 1"] * 2, *["learns"] * 2]
    assert_same(apart, together, steps=3)


def test_whether_answers_are_its_own_is_drawn_once_a_step() -> None:
    half = student(on_policy=OnPolicy(share=0.5, maximum_new_tokens=2))
    logged = steps_of(half, Lopsided(batch_size=1), accumulate=2).logged
    kinds = [
        "train/on_policy_divergence" in each and each["train/on_policy_divergence"] > 0 for each in logged
    ]
    assert {True, False} == set(kinds), "choose another seed: both kinds of step are wanted"
    for each in logged:
        parts = sum(value for name, value in each.items() if name != "train/loss")
        assert each["train/loss"] == pytest.approx(parts, rel=1e-5)


def test_the_routers_terms_are_the_mean_of_the_batches_own() -> None:
    """They are not linear in the batch: each batch balances itself, however many make a step."""

    def routed() -> TinyGiant:
        torch.manual_seed(0)
        shape = TinyGiantConfig(image_size=(64, 64), global_grid=(2, 2), width=32, visual_width=16, experts=4)
        return TinyGiant(shape, [Phase("normalized", 1)], optimizer=still).eval()

    alone = [each["train/balance_loss"] for each in steps_of(routed(), MemoryData(2, batch_size=1)).logged]
    (step,) = steps_of(routed(), MemoryData(2, batch_size=1), accumulate=2).logged
    (joined,) = steps_of(routed(), MemoryData(2, batch_size=2)).logged
    assert step["train/balance_loss"] == pytest.approx(sum(alone) / 2, rel=1e-5)
    assert step["train/word_loss"] == pytest.approx(joined["train/word_loss"], rel=1e-5)


class Endless(IterableDataset[SpatialSample]):
    def __iter__(self) -> Iterator[SpatialSample]:
        split = Images(10)
        yield from (split.samples(group, [0])[0] for group in range(10))


class Streamed(Lopsided):
    """The same questions from a loader of one's own, which does not know how many there are."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Endless(), batch_size=self.batch_size, collate_fn=self.collator)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_loaders_of_ones_own_are_looked_into_as_well(accumulate: int) -> None:
    together = steps_of(tuned(), Streamed(batch_size=accumulate))
    apart = steps_of(tuned(), Streamed(batch_size=1), accumulate=accumulate)
    assert_same(apart, together, steps=-(-10 // accumulate))


def test_a_limit_of_batches_ends_the_last_step() -> None:
    together = steps_of(tuned(), Lopsided(batch_size=3), limit_train_batches=1)
    apart = steps_of(tuned(), Lopsided(batch_size=1), accumulate=4, limit_train_batches=3)
    assert_same(apart, together, steps=1)


def test_looking_ahead_takes_nothing_away() -> None:
    elements = LookAhead(iter(range(6)))
    assert elements.ahead(3) == [0, 1, 2] == elements.ahead(3)
    assert [next(elements), next(elements)] == [0, 1]
    assert elements.ahead(9) == [2, 3, 4, 5]
    assert list(elements) == [2, 3, 4, 5]
    assert elements.ahead(1) == []


def test_no_checkpoint_is_written_between_the_batches_of_a_step(tmp_path: Path) -> None:
    saved: list[int] = []

    class Noting(CheckpointWithinEpochs):
        def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
            saved.append(trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    callback = Noting(tmp_path, filename="last", train_time_interval=timedelta(0))
    trainer = bare_trainer(
        max_epochs=1, accumulate_grad_batches=3, callbacks=[callback], enable_checkpointing=True
    )
    trainer.fit(tuned(), datamodule=Lopsided(batch_size=1))
    assert saved and all(number % 3 == 0 for number in saved)


def test_what_is_not_finite_is_told_of_the_batch_it_is_in() -> None:
    class Broken(PeftSft):
        def loss(self, batch: Any) -> dict[str, Tensor]:
            wrong = batch["samples"][0].id == broken
            return {"answer_loss": super().loss(batch)["answer_loss"] * (float("nan") if wrong else 1)}

    order: list[str] = []

    class Order(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            order.append(batch["samples"][0].id)

    bare_trainer(max_epochs=1, callbacks=[Order()]).fit(tuned(), datamodule=Lopsided(batch_size=1))
    broken = order[1]
    with pytest.raises(NotFinite, match=rf"answer_loss nan\), in batch 2 of the 4 of the step.*: {broken}$"):
        bare_trainer(max_epochs=1, accumulate_grad_batches=4).fit(
            Broken(optimizer=still, **STUDENT), datamodule=Lopsided(batch_size=1)
        )


def test_a_fit_that_ended_within_a_step_leaves_nothing_to_the_next() -> None:
    class Stop(Callback):
        """After the second of four batches."""

        def on_train_batch_end(self, trainer: Trainer, module: Any, *step: Any) -> None:
            if trainer.fit_loop.epoch_loop.batch_progress.current.ready == 2:
                raise InterruptedError

    module = tuned()
    with pytest.raises(InterruptedError):
        bare_trainer(max_epochs=1, accumulate_grad_batches=4, callbacks=[Stop()]).fit(
            module, datamodule=Lopsided(batch_size=1)
        )
    again = steps_of(module, Lopsided(batch_size=1), accumulate=4)
    assert_same(again, steps_of(tuned(), Lopsided(batch_size=4)), steps=3)
