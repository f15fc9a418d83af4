from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torchmetrics.classification import BinaryAccuracy

from datamodules.samples import Answer
from datamodules.scoring.metrics import Track3Metric
from lightning_modules.base import Batch, ModelError, SpatialModule
from lightning_modules.checkpoints import CheckpointError, keep_trainable, require_trainable
from lightning_modules.finite import NotFinite
from lightning_modules.phases import Phase, objective_at
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant, parameter_count
from lightning_modules.whole_batches import WholeBatches
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData
from tests.helpers.scenes import questions
from tests.helpers.stub import StubData, StubModule

SMALL = TinyGiantConfig(
    image_size=(64, 64), global_grid=(2, 2), width=32, visual_width=16, vocabulary_size=96, expert_hidden=48
)


def trainer(tmp_path: Path, **options: Any) -> Trainer:
    return Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **{"enable_checkpointing": False, **options},
    )


def tiny_giant(**options: Any) -> TinyGiant:
    torch.manual_seed(0)
    phases = options.pop("phases", [Phase("free_form", 1), Phase("normalized", 1)])
    return TinyGiant(SMALL, phases, **options)


def test_the_phases_set_the_length_of_the_fit_and_the_objective_of_each_epoch(tmp_path: Path) -> None:
    seen = []

    class Watching(TinyGiant):
        def loss(self, batch: Batch) -> dict[str, Tensor]:
            seen.append((self.current_epoch, self.objective))
            return super().loss(batch)

    module = Watching(SMALL, [Phase("free_form", 2), Phase("normalized", 1)])
    trainer(tmp_path, limit_val_batches=0).fit(module, MemoryData())
    assert seen == [(0, "free_form")] * 2 + [(1, "free_form")] * 2 + [(2, "normalized")] * 2


def test_objective_past_the_last_phase_is_the_last_phases() -> None:
    phases = [Phase("free_form", 0), Phase("normalized", 2), Phase("free_form", 1)]
    assert [objective_at(phases, epoch) for epoch in range(4)] == [
        "normalized",
        "normalized",
        "free_form",
        "free_form",
    ]


def test_every_question_is_answered_and_the_summary_kept(tmp_path: Path) -> None:
    module, data = tiny_giant(), MemoryData(images=5)
    run = trainer(tmp_path)
    run.fit(module, data)
    run.test(module, data, verbose=False)
    assert module.summary is not None
    assert module.summary["n"] == 20
    assert set(module.summary["tasks"]) == {"distance", "mcq", "count", "left_right"}
    assert float(run.callback_metrics["test/score"]) == pytest.approx(module.summary["score"])
    predicted = run.predict(module, data)
    assert predicted is not None
    answers = [answer for batch in predicted for answer in batch]
    assert len({answer.sample.id for answer in answers}) == 20


def test_a_checkpoint_holds_weights_and_words_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    module, data = tiny_giant(), MemoryData()
    run = trainer(tmp_path, enable_checkpointing=True)
    run.fit(module, data)
    file = tmp_path / "kept.ckpt"
    run.save_checkpoint(file)
    kept = torch.load(file, weights_only=True)
    assert kept["vocabulary"] == module.vocabulary.words

    other = tiny_giant()
    fresh = trainer(tmp_path)
    fresh.test(other, data, ckpt_path=file, verbose=False, weights_only=True)
    assert other.vocabulary.words == module.vocabulary.words
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    # The same weights give the same answers.
    run.test(module, data, verbose=False)
    assert other.summary == module.summary

    with pytest.raises(CheckpointError, match="lacks"):
        kept["state_dict"].pop("network.global_position")
        torch.save(kept, file)
        trainer(tmp_path).test(tiny_giant(), data, ckpt_path=file, verbose=False)


def test_frozen_tensors_are_left_out_of_checkpoints_and_statistics_of_trained_layers_stay() -> None:
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    for parameter in [*module[1].parameters(), *module[2].parameters()]:
        parameter.requires_grad = False
    kept = keep_trainable(module, module.state_dict())
    assert sorted(kept) == ["0.bias", "0.num_batches_tracked", "0.running_mean", "0.running_var", "0.weight"]
    require_trainable(module, kept)
    with pytest.raises(CheckpointError, match="shape"):
        require_trainable(module, {**kept, "0.weight": torch.zeros(4)})


def test_a_table_that_two_layers_share_is_kept_under_both_names() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    module[1].weight = module[0].weight
    module[1].bias.requires_grad = False
    kept = keep_trainable(module, module.state_dict())
    assert sorted(kept) == ["0.bias", "0.weight", "1.weight"]


def test_a_step_draws_the_same_numbers_again_and_no_other_step_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dropout of a resumed run must be that of the undisturbed one, and processes drop other things."""

    class Drawing(StubModule):
        rank = 0
        drawn: list[float]
        global_rank = property(lambda self: self.rank)

        def loss(self, batch: Batch) -> dict[str, Tensor]:
            self.drawn.append(float(torch.rand(1, dtype=torch.double)))
            return super().loss(batch)

    def drawn(seed: int, rank: int, burn: int = 0) -> list[float]:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        module = Drawing()
        module.rank, module.drawn = rank, []
        torch.rand(burn)
        bare_trainer(max_epochs=2).fit(module, StubData(images=8, batch_size=4, num_workers=0))
        return module.drawn

    every = [drawn(seed, rank) for seed in (1, 2) for rank in (0, 1)]
    assert drawn(1, 0, burn=17) == every[0] and len(every[0]) == 4
    assert len({number for one in every for number in one}) == 16


def test_scores_of_each_epoch_are_its_own_and_of_its_stage() -> None:
    stages = []

    class Data(StubData):
        def metric(self, stage: str = "test") -> Track3Metric:
            stages.append(stage)
            return super().metric(stage)

    module, run = StubModule(), bare_trainer(max_epochs=2, limit_val_batches=1.0, num_sanity_val_steps=0)
    run.fit(module, Data(num_workers=0))
    assert module.summary is not None and module.summary["n"] == 22
    run.test(module, Data(num_workers=0), verbose=False)
    assert "fit" in stages and stages[-1] == "test"
    figures = {name: float(value) for name, value in run.callback_metrics.items()}
    assert module.summary["n"] == 22 and 0 < module.summary["score"] <= 100
    assert figures["test/score"] == figures["test/left_right"] == pytest.approx(module.summary["score"])
    assert figures["test/unreadable"] == module.summary["unreadable"] == 0


def test_answers_are_read_as_the_data_read_them() -> None:
    class Unread(StubData):
        def metric(self, stage: str = "test") -> Any:
            return BinaryAccuracy()

        def read_answer(self, answer: Answer) -> str | None:
            return None

    module = StubModule()
    bare_trainer().test(module, Unread(num_workers=0), verbose=False)
    assert module.summary is not None and module.summary["unreadable"] == 22


def test_a_whole_batch_has_its_samples_in_their_order() -> None:
    samples = questions(0)
    batch = WholeBatches(lambda given: {"ids": [one.id for one in given]})(samples)
    assert batch["ids"] == [one.id for one in batch["samples"]] == [one.id for one in samples]


def test_a_loss_that_is_not_finite_stops_the_fit_and_names_the_questions(tmp_path: Path) -> None:
    class Broken(TinyGiant):
        asked: str

        def loss(self, batch: Batch) -> dict[str, Tensor]:
            self.asked = ", ".join(sample.id for sample in batch["samples"])
            return {"word_loss": torch.tensor(float("nan"), requires_grad=True)}

    module = Broken(SMALL, [Phase("normalized", 1)])
    with pytest.raises(NotFinite, match=r"not finite at step 0 \(word_loss nan\)") as raised:
        trainer(tmp_path, limit_val_batches=0).fit(module, MemoryData())
    assert str(raised.value).endswith(f"questions of this batch: {module.asked}")
    assert not raised.value.spoilt


def test_weights_that_are_not_finite_are_in_no_checkpoint() -> None:
    module = tiny_giant()
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] = torch.inf
    with pytest.raises(NotFinite, match="The weights are not finite after step") as raised:
        module.on_save_checkpoint(checkpoint)
    assert raised.value.spoilt


def test_without_a_datamodule_or_anything_to_train_there_is_a_sentence(tmp_path: Path) -> None:
    module = tiny_giant()
    with pytest.raises(ModelError, match="needs a datamodule"):
        trainer(tmp_path).test(module, [0])
    module.requires_grad_(False)
    with pytest.raises(ModelError, match="no parameter left to train"):
        trainer(tmp_path).fit(module, MemoryData())


def test_contradictory_configurations_are_refused() -> None:
    with pytest.raises(ModelError, match="set geometry to"):
        TinyGiant(TinyGiantConfig(geometry="none", relations=True), [Phase("normalized", 1)])
    with pytest.raises(ModelError, match="at least one epoch"):
        TinyGiant(SMALL, [Phase("normalized", 0)])


def test_an_unfinished_module_names_what_it_lacks() -> None:
    class Unfinished(SpatialModule):
        def collator(self, stage: str) -> Any:
            return dict

    lacking: list[tuple[Any, str]] = [
        (SpatialModule, "answer, collator, loss"),
        (Unfinished, "answer, loss"),
    ]
    for unfinished, lacks in lacking:
        with pytest.raises(TypeError, match=f"abstract methods {lacks}"):
            unfinished()


def test_counting_parameters_needs_no_memory_and_agrees_with_the_network() -> None:
    assert parameter_count(SMALL) == sum(p.numel() for p in tiny_giant().parameters())
