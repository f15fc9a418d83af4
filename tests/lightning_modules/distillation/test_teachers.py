"""Teachers that read otherwise than their students: other families, other images, other prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.base import ModelError
from lightning_modules.checkpoints import CheckpointError
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.collator import IGNORED
from lightning_modules.vlm.export import AdapterError
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.composed_models import tiny_composed
from tests.helpers.questions import noise_image, question

SMALL = TinySize(width=64, layers=2, vision_layers=2)
WIDER = TinySize(width=64, layers=3, vision_layers=2, image_size=168)
SAMPLES = [
    question(noise_image(1), 0),
    question(None, 2, 2),
    question(noise_image(2), 1),
    question(noise_image(1), 3, 3),
]


def student(teacher: Teacher, **options: Any) -> DistilledStudent:
    defaults: dict[str, Any] = {
        "model": "smolvlm_500m",
        "random_weights": True,
        "tiny_size": SMALL,
        "adapter": AdapterConfig(dropout=0.0),
    }
    model = DistilledStudent(teacher, **{**defaults, **options})
    model.open_teacher()
    return model


def reads_by_itself(model: DistilledStudent) -> LiveTeacher:
    assert isinstance(model.teacher, LiveTeacher)
    assert not model.teacher.same_tokenization
    return model.teacher


PAIRS: dict[str, tuple[Teacher, dict[str, Any]]] = {
    "SmolVLM2 to SmolVLM": (Teacher("smolvlm_2b", random_weights=True, tiny_size=WIDER), {}),
    "other image sizes": (Teacher("smolvlm_500m", random_weights=True, tiny_size=WIDER), {}),
    "Qwen to InternVL": (
        Teacher("qwen2_5_vl_7b", random_weights=True, tiny_size=SMALL),
        {"model": "internvl3_1b"},
    ),
    "prompt tuning": (
        Teacher("qwen2_5_vl_7b", random_weights=True, tiny_size=SMALL),
        {"model": "qwen2_5_vl_3b", "adapter": AdapterConfig("prompt_tuning")},
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_each_reads_the_question_in_its_own_way(pair: str) -> None:
    """The teacher's word on every answer token is what it says of that question alone, read its own way."""
    teacher, options = PAIRS[pair]
    model = student(teacher, **options).eval()
    source = reads_by_itself(model)
    batch: Any = model.collator("fit")(SAMPLES)
    labels = batch["labels"]
    signal: Any = source.output(batch, batch["inputs"], labels).logits
    found = signal.head(signal.hidden)
    start = 0
    for row, sample in enumerate(SAMPLES):
        alone: Any = source._collator([sample])["prompt"]
        answer = labels[row][labels[row] != IGNORED]
        tokens = torch.cat([alone["input_ids"], answer[None, :-1]], 1)
        more = {
            name: torch.cat([tensor, torch.zeros_like(tokens[:, : len(answer) - 1])], 1)
            for name, tensor in alone.items()
            if name == "mm_token_type_ids"
        }
        with torch.no_grad():
            logits = source.network(
                **{**alone, "input_ids": tokens, "attention_mask": torch.ones_like(tokens), **more}
            ).logits[0, -len(answer) :]
        assert torch.allclose(found[start : start + len(answer)], logits, atol=1e-4), sample.id
        start += len(answer)
    assert start == len(found)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_step_reaches_the_student(pair: str) -> None:
    teacher, options = PAIRS[pair]
    model = student(teacher, **options)
    terms = model.loss(model.collator("fit")(SAMPLES))
    assert set(terms) == {"cross_entropy", "divergence"}
    assert all(torch.isfinite(term) and term > 0 for term in terms.values())
    terms["divergence"].backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_attention_of_other_tokens_is_refused() -> None:
    with pytest.raises(ModelError, match=r"different tokens.*Leave `attention` out"):
        student(
            Teacher("smolvlm_2b", random_weights=True, tiny_size=WIDER), attention=AttentionDistillation()
        )


def test_answers_that_begin_otherwise_are_refused_with_the_setting_that_helps() -> None:
    teacher = Teacher("smolvlm_500m", random_weights=True, tiny_size=SMALL)
    with pytest.raises(ModelError, match="response_template: ' '"):
        student(teacher, model="qwen2_5_vl_3b")
    model = student(teacher, model="qwen2_5_vl_3b", response_template=" ")
    batch: Any = model.collator("fit")(SAMPLES[:1])
    tokenizer = model.tokenizer
    answer = batch["labels"][0][batch["labels"][0] != IGNORED]
    assert tokenizer.decode(answer[:1]) == " B"
    # Ranking asks for the same tokens as were learnt.
    assert batch["candidates"][0][1] == answer[:-1].tolist()


def test_a_composed_student_learns_from_a_vlm(tmp_path: Path) -> None:
    """Its language model has the teacher's words, and an end of its own."""
    composed, processor = tiny_composed()
    composed.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    teacher = Teacher("smolvlm_500m", random_weights=True, tiny_size=SMALL)
    own = (
        DistilledStudent(teacher, model=str(tmp_path))
        .vlm_collator(with_labels=True)
        .conversation.response_template
    )
    model = student(
        teacher,
        model=str(tmp_path),
        random_weights=False,
        tiny_size=None,
        response_template=None if own == " " else " ",
    )
    reads_by_itself(model)
    terms = model.loss(model.collator("fit")(SAMPLES))
    assert torch.isfinite(terms["divergence"]) and terms["divergence"] > 0
    terms["divergence"].backward()


def test_a_teacher_that_was_trained_whole_comes_from_its_checkpoint(tmp_path: Path) -> None:
    from lightning_modules.vlm.sft import PeftSft

    whole = AdapterConfig("full", parts=["language_model", "vision_tower", "connector"])
    trained = PeftSft("smolvlm_500m", random_weights=True, tiny_size=SMALL, adapter=whole, weights_seed=7)
    trainer = bare_trainer(max_steps=0)
    trainer.strategy.connect(trained)
    checkpoint = tmp_path / "last.ckpt"
    trainer.save_checkpoint(checkpoint)
    model = student(
        Teacher(
            "smolvlm_500m", random_weights=True, tiny_size=SMALL, weights_seed=3, checkpoint=str(checkpoint)
        )
    )
    assert isinstance(model.teacher, LiveTeacher)
    wanted = dict(trained.vlm.model.named_parameters())
    for name, parameter in model.teacher.network.named_parameters():
        assert parameter.equal(wanted[name]), name
    with pytest.raises(AdapterError, match="trained as another model"):
        student(Teacher("smolvlm_500m", random_weights=True, checkpoint=str(checkpoint)))
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="is not whole, or is none"):
        student(Teacher("smolvlm_500m", random_weights=True, tiny_size=SMALL, checkpoint=str(damaged)))


def test_a_missing_checkpoint_names_the_experiment_that_makes_it(tmp_path: Path) -> None:
    teacher = Teacher(
        "smolvlm_500m",
        random_weights=True,
        checkpoint=str(tmp_path / "last.ckpt"),
        made_by="distillation/teacher",
    )
    with pytest.raises(ModelError, match=r"checkpoint .* `make experiment NAME=distillation/teacher`"):
        student(teacher)
