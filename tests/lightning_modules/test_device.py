"""Every module on a device that is not the CPU: no mixed devices, and few waits for it in a step.

A step is a whole one of Lightning's loop: forward, backward, clipping, optimizer, and logging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.base import SpatialModule
from lightning_modules.distillation.attention import blocks as attention_blocks
from lightning_modules.distillation.attention.blocks import extents_of
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.on_policy import OnPolicy
from lightning_modules.distillation.output_writing import OutputWriting
from lightning_modules.distillation.teachers.cache_files import CacheWriter
from lightning_modules.distillation.teachers.cached import read_by_student
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.phases import Objective, Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.experts import Router
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.composed_models import tiny_composed
from tests.helpers.image_data import ImageData
from tests.helpers.memory_data import MemoryData
from tests.helpers.pretend_device import (
    DEVICE,
    MixedDevices,
    OnDevice,
    PretendDevice,
    PretendStrategy,
    WaitsOfSteps,
)

SIZE = TinySize(width=64, layers=2, vision_layers=1)
LAYERS, QUESTIONS = 2, 2
TEACHER = Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE)
FAST = partial(torch.optim.AdamW, lr=1e-3, fused=True)


def trained(
    module: SpatialModule, data: Any, device: PretendDevice | None = None
) -> Counter[tuple[str, str]]:
    """Train three steps and answer a batch; what the last step waited for, where there is a device."""
    waits = [] if device is None else [WaitsOfSteps(device)]
    where = {} if device is None else {"accelerator": "auto", "strategy": PretendStrategy(device)}
    trainer = bare_trainer(
        max_steps=3,
        max_epochs=2,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        gradient_clip_val=1.0,
        inference_mode=False,  # its tensors cannot be wrapped
        callbacks=waits,
        **where,
    )
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 3 and module.summary is not None
    return waits[0].steps[-1] if waits else Counter()


def waits_of(make: Callable[[], SpatialModule], data: Any) -> Counter[tuple[str, str]]:
    """What a step on the device waited for; its parameters have been there."""
    torch.manual_seed(0)
    module = make()
    with PretendDevice() as device:
        waits = trained(module, data, device)
        assert all(isinstance(parameter, OnDevice) for parameter in module.parameters())
    return waits


def assert_at_most(limit: int, waits: Counter[tuple[str, str]]) -> None:
    listed = "\n".join(f"{number} x {what} at {line}" for (what, line), number in sorted(waits.items()))
    assert 0 < waits.total() <= limit, f"{waits.total()} waits, where {limit} are allowed:\n{listed}"


def tiny_giant(objective: Objective, experts: int = 4) -> TinyGiant:
    """With four layers of fusion."""
    network = TinyGiantConfig(
        image_size=(64, 64),
        global_grid=(2, 2),
        width=32,
        visual_width=16,
        vocabulary_size=96,
        expert_hidden=48,
        fusion_layers=4,
        experts=experts,
        decoder_layers=1,
    )
    return TinyGiant(network, [Phase(objective, 2)], optimizer=FAST)


def tuned(model: str, **options: Any) -> PeftSft:
    settings = {
        "random_weights": True,
        "tiny_size": SIZE,
        "adapter": AdapterConfig(dropout=0.0),
        "optimizer": FAST,
    }
    return PeftSft(model=model, **{**settings, **options})


def student(teacher: Teacher = TEACHER, model: str = "smolvlm_500m", **options: Any) -> DistilledStudent:
    settings = {
        "random_weights": True,
        "tiny_size": SIZE,
        "adapter": AdapterConfig(dropout=0.0),
        "optimizer": FAST,
    }
    return DistilledStudent(teacher, model=model, **{**settings, **options})


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a composed model."""
    folder = tmp_path_factory.mktemp("composed")
    model, processor = tiny_composed()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("objective", ["normalized", "free_form"])
def test_tiny_giant_waits_once_for_each_layer_of_experts(objective: Objective) -> None:
    """And for the words, the routers' figures and the losses: half of the 14 that four layers may take."""
    assert_at_most(4 + 3, waits_of(lambda: tiny_giant(objective), MemoryData()))


def test_tiny_giant_without_experts_waits_for_words_and_losses() -> None:
    assert_at_most(2, waits_of(lambda: tiny_giant("normalized", experts=0), MemoryData()))


@pytest.mark.parametrize(
    ("model", "answering", "limit"),
    [
        ("smolvlm_500m", "rank", 10),
        # All but 4 are transformers' own: it finds the positions of patches on the host.
        ("qwen2_5_vl_3b", "generate", 40),
        ("internvl3_1b", "rank", 6),
        ("paligemma2_3b", "generate", 5),
        ("smolvlm_500m", "reason_then_rank", 10),
    ],
)
def test_fine_tuning_waits_little_beside_the_models_own(model: str, answering: Any, limit: int) -> None:
    make = partial(tuned, model, answering=answering, maximum_new_tokens=3)
    assert_at_most(limit, waits_of(make, ImageData(batch_size=QUESTIONS)))


def test_a_composed_model_waits_to_count_its_placeholders(composed: str) -> None:
    make = partial(tuned, composed, random_weights=False, tiny_size=None)
    assert_at_most(6, waits_of(make, ImageData(batch_size=QUESTIONS)))


STUDENTS: dict[str, tuple[dict[str, Any], int]] = {
    # Six for each of the two models are SmolVLM's own.
    "logits": ({}, 15),
    "own answers": ({"on_policy": OnPolicy(share=1.0, maximum_new_tokens=3)}, 44),
    # Each reads the questions in its own way.
    "another family": (
        {"model": "internvl3_1b", "teacher": Teacher("qwen2_5_vl_7b", random_weights=True, tiny_size=SIZE)},
        48,
    ),
}


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_student_waits_little_beside_the_models_own(kind: str) -> None:
    options, limit = STUDENTS[kind]
    assert_at_most(limit, waits_of(lambda: student(**options), ImageData(batch_size=QUESTIONS)))


def test_a_composed_student_waits_little_beside_its_teachers_own(composed: str) -> None:
    make = partial(student, model=composed, random_weights=False, tiny_size=None, response_template=" ")
    assert_at_most(17, waits_of(make, ImageData(batch_size=QUESTIONS)))


@pytest.mark.parametrize("cells", [1, 2**19], ids=["a group for each sample", "one group"])
@pytest.mark.parametrize("pool", [None, 5])
def test_attention_waits_once_for_all_layers_and_groups(
    pool: int | None, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 6 for each mapped layer and group of samples. Groups of pooled maps are compared once a layer."""
    monkeypatch.setattr(attention_blocks, "CELLS_OF_A_GPU", cells)
    attention = AttentionDistillation(pool=pool, chunk=16)
    waits = waits_of(lambda: student(attention=attention), ImageData(batch_size=QUESTIONS))
    own = Counter({key: number for key, number in waits.items() if "attention" in key[1]})
    assert own.total() == 1 + (0 if pool is None else LAYERS)
    assert_at_most(15 + own.total(), waits)


def test_a_cached_teacher_is_written_and_read_on_the_device(tmp_path: Path) -> None:
    """Teacher outputs come from the host: three copies a step, and two for each layer of attention."""
    teacher = Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE, cache=str(tmp_path), cache_k=20)
    make = partial(student, teacher, attention=AttentionDistillation(pool=5, chunk=16))
    split = ImageData().open_split("train")
    samples = [sample for group in range(len(split)) for sample in split.samples(group, [0])]
    with PretendDevice():
        writing = OutputWriting(make(), DEVICE)
        writer = CacheWriter(str(tmp_path), writing.manifest, 4)
        writer.add(writing.outputs(writing.collator(samples)))
        writer.finish()
    assert_at_most(19, waits_of(make, ImageData(batch_size=QUESTIONS)))


@pytest.mark.parametrize("kind", ["TinyGiant", "PeftSft"])
def test_training_on_the_device_is_training_on_the_cpu(kind: str) -> None:
    """To the last bit: the device that is not there computes what the CPU does."""
    weights = []
    for device in (None, PretendDevice()):
        torch.manual_seed(0)
        module = tiny_giant("normalized") if kind == "TinyGiant" else tuned("smolvlm_500m")
        data = MemoryData() if kind == "TinyGiant" else ImageData(batch_size=QUESTIONS)
        if device is None:
            trained(module, data)
            weights.append({name: value.clone() for name, value in module.state_dict().items()})
        else:
            with device:
                trained(module, data, device)
                weights.append({name: value.cpu() for name, value in module.state_dict().items()})
    there, here = weights
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)


class Planted(PeftSft):
    """With a fault in its loss."""

    fault: Callable[[torch.Tensor], Any]

    def loss(self, batch: Any) -> dict[str, torch.Tensor]:
        terms = super().loss(batch)
        self.fault(terms["answer_loss"].detach()[None].expand(3))
        return terms


FAULTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "item": lambda values: values[0].item(),
    "device to host": lambda values: values.tolist(),
    "host to device": lambda values: values + torch.tensor([1.0, 2.0, 3.0], device=values.device),
    "nonzero": lambda values: torch.where(values > 0),
    "boolean index": lambda values: values[values > 0],
    "bincount": lambda values: values.long().bincount(minlength=2),
    "unique": lambda values: values.unique(),
    "equal": lambda values: torch.equal(values, values + 1),
    "masked_select": lambda values: values.masked_select(values > 0),
    "repeat_interleave": lambda values: values.repeat_interleave(torch.ones_like(values).long()),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_planted_wait_is_counted(what: str) -> None:
    with PretendDevice() as device:
        values = torch.rand(3).to(DEVICE)
        device.waits.clear()
        FAULTS[what](values)
        ((kind, line),) = device.waits
    assert kind == what and line.startswith("tests/lightning_modules/test_device.py")


@pytest.mark.parametrize(
    "operation",
    [
        lambda here: here + torch.ones(3),
        lambda here: torch.cat([here, torch.zeros(1)]),
        lambda here: torch.ones(3)[here.long()],
        lambda here: torch.where(torch.tensor([True, False, True]), here, 0.0),
        lambda here: torch.stack([here[0], torch.tensor(1.0)]),
        lambda here: torch.nn.Linear(3, 2)(here),
        lambda here: here.index_fill(0, torch.tensor([1]), 0.0),
    ],
)
def test_planted_mixed_devices_are_refused(operation: Callable[[torch.Tensor], Any]) -> None:
    with PretendDevice():
        here = torch.zeros(3, device=DEVICE)
        with pytest.raises(MixedDevices, match=r"cpu:1.*test_device\.py"):
            operation(here)


@pytest.mark.parametrize(
    "operation",
    [
        lambda here: here * torch.tensor(2.0),
        lambda here: here.masked_fill_(here > 0, torch.tensor(1.0)),
        lambda here: here[[0, 2]],
        lambda here: here.index_fill(0, torch.arange(2, device=here.device), 0.0),
        lambda here: here.new_ones(3) + torch.zeros_like(here) + torch.full((3,), 2.0, device=here.device),
    ],
)
def test_what_a_gpu_takes_is_taken(operation: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """A number of the host travels with the kernel."""
    with PretendDevice():
        assert operation(torch.zeros(3, device=DEVICE)).device == DEVICE


def test_faults_in_a_module_are_found_in_its_step() -> None:
    with PretendDevice() as device:
        torch.manual_seed(0)
        module = Planted("smolvlm_500m", random_weights=True, tiny_size=SIZE)
        module.fault = FAULTS["nonzero"]
        waits = trained(module, ImageData(batch_size=QUESTIONS), device)
        assert sum(number for (what, _), number in waits.items() if what == "nonzero") == 1
        module.fault = lambda values: values + torch.ones(3)
        with pytest.raises(MixedDevices):
            trained(module, ImageData(batch_size=QUESTIONS), device)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**20))
def test_extents_are_those_found_row_by_row(batch: int, tokens: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.rand(batch, tokens, generator=generator) < 0.3 for _ in range(2))
    for sample, extent in enumerate(extents_of(rows, columns)):
        for mask, found in ((rows[sample], extent.rows), (columns[sample], extent.columns)):
            places = mask.nonzero()[:, 0].tolist()
            assert list(found) == (list(range(places[0], places[-1] + 1)) if places else [])


def test_choices_are_counted_as_bincount_does() -> None:
    torch.manual_seed(0)
    _, chosen, routing = Router(8, experts=6, top_k=2)(torch.randn(50, 8), torch.randn(50, 8))
    counts = torch.bincount(chosen.flatten(), minlength=6)
    assert torch.equal(routing.counts, counts)
    assert torch.equal(routing.load, counts.float() / chosen.numel())


def test_tokens_are_read_as_row_by_row() -> None:
    tokens = torch.tensor([[5, 6, 7, 8, 0], [5, 9, 8, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    labels = torch.tensor([[-100, -100, 7, 8, -100], [-100, -100, 8, -100, -100]])
    (first, answer), (second, other) = read_by_student({"input_ids": tokens, "attention_mask": mask}, labels)
    assert answer.tolist() == [7, 8] and other.tolist() == [8]
    alone = [
        read_by_student({"input_ids": tokens[i, None], "attention_mask": mask[i, None]}, labels[i, None])[0][
            0
        ]
        for i in range(2)
    ]
    assert [first, second] == alone and first != second
