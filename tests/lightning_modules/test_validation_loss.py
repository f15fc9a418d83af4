"""`val/loss`: what it is the mean of, whatever the batches, the processes and what is trained on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.distributed import joined_sums
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.image_data import ImageData
from tests.helpers.memory_data import MemoryData
from tests.helpers.small_models import SIZE, as_if_trained
from tests.helpers.stub import StubData, StubModule, collate

OPTIONS: dict[str, Any] = {
    "model": "smolvlm_500m",
    "random_weights": True,
    "tiny_size": SIZE,
    "adapter": AdapterConfig(),
}


def tiny_giant() -> TinyGiant:
    torch.manual_seed(0)
    shape = TinyGiantConfig(image_size=(64, 64), global_grid=(2, 2), width=32, visual_width=16, experts=4)
    return TinyGiant(shape, [Phase("normalized", 1)])


def validated(module: Any, data: Any, **options: Any) -> dict[str, float]:
    """What `validate` logs of a module."""
    trainer = bare_trainer(limit_val_batches=1.0, **options)
    if isinstance(module, TinyGiant) and module.vocabulary.is_empty:
        module.vocabulary.build(data.texts())
    trainer.validate(module, datamodule=data, verbose=False)
    return {name: float(value) for name, value in trainer.logged_metrics.items()}


def test_it_does_not_depend_on_the_batches() -> None:
    """Five images in batches of 1, 2 and 5; answers have one to five words, and few are numbers."""
    module = tiny_giant()
    found = [validated(module, MemoryData(images=5, batch_size=size))["val/loss"] for size in (1, 2, 5)]
    assert found[1:] == pytest.approx([found[0]] * 2, rel=1e-5)


def test_it_is_what_training_minimises_without_the_routers_terms() -> None:
    module, data = tiny_giant().eval(), MemoryData(images=3, batch_size=3)
    logged = validated(module, data)
    loader = data.val_dataloader()
    assert isinstance(loader, DataLoader)
    batch = next(iter(loader))
    with torch.no_grad():
        terms = module.loss(batch)
    assert set(terms) > {"word_loss", "number_loss"}
    assert logged["val/loss"] == pytest.approx(float(terms["word_loss"] + terms["number_loss"]), rel=1e-5)


def test_validation_logs_nothing_of_the_routers() -> None:
    assert not [name for name in validated(tiny_giant(), MemoryData()) if name.startswith("router")]


def test_a_model_is_judged_by_the_cross_entropy_of_its_answers_tokens() -> None:
    module, data = PeftSft(**OPTIONS), ImageData(batch_size=3)
    as_if_trained(module.network)
    logged = validated(module, data)
    module.eval()
    total, count = 0.0, 0
    loader = data.val_dataloader()
    assert isinstance(loader, DataLoader)
    for batch in loader:
        with torch.no_grad():
            logits = module.network(**batch["inputs"]).logits.double()
        for row, labels in zip(logits, batch["labels"], strict=True):
            for place in range(1, len(labels)):
                if labels[place] != -100:
                    total -= float(row[place - 1].log_softmax(-1)[labels[place]])
                    count += 1
    assert logged["val/loss"] == pytest.approx(total / count, rel=1e-4)
    assert 0 <= logged["val/score"] <= 100


def test_a_student_is_judged_as_a_model_without_a_teacher_is() -> None:
    """So that their curves can be laid over each other; no teacher is even loaded for it."""
    torch.manual_seed(0)
    alone = PeftSft(**OPTIONS)
    torch.manual_seed(0)
    student = DistilledStudent(Teacher("smolvlm_500m", random_weights=True, tiny_size=SIZE), **OPTIONS)
    as_if_trained(alone.network)
    as_if_trained(student.network)
    assert validated(student, ImageData())["val/loss"] == pytest.approx(
        validated(alone, ImageData())["val/loss"], rel=1e-5
    )


def test_a_fit_logs_it_beside_the_score() -> None:
    module = tiny_giant()
    trainer = bare_trainer(limit_val_batches=1.0, max_epochs=1, num_sanity_val_steps=1)
    trainer.fit(module, datamodule=MemoryData())
    assert {"val/loss", "val/score", "val/unreadable"} <= set(trainer.callback_metrics)
    again = validated(module, MemoryData())
    assert float(trainer.callback_metrics["val/loss"]) == pytest.approx(again["val/loss"], rel=1e-5)


def test_processes_add_up_their_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes, of which one has seen nothing and one no number."""
    every = [{"word": (6.0, 3), "number": (1.0, 1)}, {}, {"word": (2.0, 1)}]

    def gather(into: list[Any], own: Any) -> None:
        assert own == every[2]
        into[:] = every

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    assert joined_sums(every[2]) == {"word": (8.0, 4), "number": (1.0, 1)}
    module, logged = StubModule(), {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    module._validation = every[2]
    module.on_validation_epoch_end()
    assert logged == {"val/loss": 8 / 4 + 1 / 1}


def test_a_plain_term_is_a_mean_over_questions() -> None:
    """Of 22 questions in batches of 16 and 6."""
    torch.manual_seed(0)
    module, data = StubModule().eval(), StubData(num_workers=0)
    samples = [one for group in range(11) for one in data.open_split("val").samples(group, range(2))]
    batch = collate(samples)
    expected = torch.nn.functional.cross_entropy(module.layers(batch["features"]), batch["targets"])
    assert validated(module, data)["val/loss"] == pytest.approx(float(expected.detach()), rel=1e-5)
