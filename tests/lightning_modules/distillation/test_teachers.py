"""Teachers that read otherwise than their students: other families, other images, other prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.base import ModelError
from lightning_modules.checkpoints import CheckpointError
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.output_writing import OutputWriting
from lightning_modules.distillation.teachers import live as teachers
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.distillation.teachers.manifest import fingerprint_of, origin_of
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.collator import IGNORED, VlmCollator
from lightning_modules.vlm.export import AdapterError, save_adapter
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.loading import load_vlm
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from lightning_modules.weights_digest import digest_of
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.both_models import saved
from tests.helpers.composed_models import tiny_composed
from tests.helpers.questions import noise_image, question
from tests.helpers.small_models import as_if_trained

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


WHOLE = AdapterConfig("full", parts=["language_model", "vision_tower", "connector"])


@pytest.mark.parametrize("kept", ["adapter", "checkpoint"])
def test_a_teacher_is_what_was_trained_and_says_where_it_is_from(kept: str, tmp_path: Path) -> None:
    """Twice the same, dropout or not, while its student is in training."""
    adapter = WHOLE if kept == "checkpoint" else AdapterConfig(dropout=0.5)
    trained = PeftSft("smolvlm_500m", random_weights=True, tiny_size=SMALL, weights_seed=7, adapter=adapter)
    as_if_trained(trained.network)
    place = tmp_path / kept
    if kept == "adapter":
        save_adapter(trained.network, place)
    else:
        trainer = bare_trainer(max_steps=0)
        trainer.strategy.connect(trained)
        trainer.save_checkpoint(place)
    there: dict[str, Any] = {kept: str(place)}
    settings = Teacher("smolvlm_500m", random_weights=True, tiny_size=SMALL, weights_seed=7, **there)
    model = student(settings).train()
    batch: Any = model.collator("fit")(SAMPLES)
    labels = batch["labels"]
    with torch.no_grad():
        wanted = trained.eval().network(**batch["inputs"]).logits[:, :-1][labels[:, 1:] != IGNORED]
    for _ in range(2):
        teacher: Any = model.teacher
        signal = teacher.output(batch, batch["inputs"], labels).logits
        torch.testing.assert_close(signal.class_logits(), wanted, atol=1e-4, rtol=1e-4)
    origin = f"tiny random model, seed 7, {kept} {digest_of(str(place))}"
    cached = fingerprint_of(settings, model.vlm_collator(with_labels=True), 1.0, None)
    assert model.origins()["teacher"] == origin == origin_of(cached)


def test_a_checkpoint_of_another_model_or_of_none_is_refused(tmp_path: Path) -> None:
    trained = PeftSft("smolvlm_500m", random_weights=True, tiny_size=SMALL, adapter=WHOLE)
    trainer = bare_trainer(max_steps=0)
    trainer.strategy.connect(trained)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(AdapterError, match="trained as another model"):
        student(Teacher("smolvlm_500m", random_weights=True, checkpoint=str(tmp_path / "last.ckpt")))
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="is not whole, or is none"):
        student(Teacher("smolvlm_500m", random_weights=True, tiny_size=SMALL, checkpoint=str(damaged)))


@pytest.fixture(scope="module")
def large_images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that takes 16 tokens of a square image, if nobody limits it."""
    size = TinySize(width=64, layers=1, vision_layers=1)
    return str(saved(tmp_path_factory.mktemp("model"), "qwen2_5_vl", size))


@pytest.mark.parametrize("writing", [False, True], ids=["live", "writing"])
@pytest.mark.parametrize(
    ("limit", "own", "taken"), [(None, None, 16), (9, None, 9), (None, 9, 9), (9, 4, 4), (4, 9, 9)]
)
def test_a_teacher_sees_images_within_its_own_limit_or_the_students(
    limit: int | None, own: int | None, taken: int, writing: bool, large_images: str
) -> None:
    model = DistilledStudent(Teacher(large_images, image_tokens=own), model=large_images, image_tokens=limit)
    if writing:
        kept = OutputWriting(model, torch.device("cpu"))
        source, collate = kept.teacher, kept.collator
        assert kept.manifest.fingerprint.image_tokens == (own or limit)
    else:
        model.open_teacher()
        assert isinstance(model.teacher, LiveTeacher)
        source, collate = model.teacher, model.collator("fit")
    seen: list[int] = []
    image = model.vlm.processor.image_token_id
    source.network.register_forward_pre_hook(
        lambda _module, _inputs, named: seen.append(int((named["input_ids"] == image).sum())),
        with_kwargs=True,
    )
    batch = collate([question(noise_image(1, 200, 200), 0)])
    source.output(batch, batch["inputs"], batch["labels"])
    assert seen == [taken]


@pytest.mark.parametrize("other", ["", "family", "words in front", "tokens", "template", "colours", "length"])
def test_tokens_are_the_same_only_where_everything_that_makes_them_is(other: str) -> None:
    """Or else a teacher would be given what its student reads instead of what it can read."""
    _, processor = make_tiny_model("smolvlm", size=SMALL)
    family = replace(FAMILIES["smolvlm"], name="another" if other == "family" else "smolvlm")
    match other:
        case "tokens":
            processor.tokenizer.add_tokens(["<extra>"])
        case "template":
            processor.chat_template += "{# #}"
        case "colours":
            processor.image_processor.image_mean = [0.1] * 3
        case "length":
            processor.image_seq_len = 9
    prefix = ["<|im_start|>"] if other == "words in front" else []
    reader = VlmCollator(processor, family, with_labels=True, prefix=prefix)
    teacher = LiveTeacher(Teacher("smolvlm_2b", random_weights=True, tiny_size=SMALL), reader)
    assert teacher.same_tokenization == (not other)
    assert (teacher.collator(reader) is reader) == (not other)


def test_a_teacher_goes_to_its_own_device_or_else_to_the_students() -> None:
    reader = VlmCollator(make_tiny_model("smolvlm", size=SMALL)[1], FAMILIES["smolvlm"], with_labels=True)
    for own, students, there in ((None, "meta", "meta"), ("meta", "cpu", "meta"), (None, "cpu", "cpu")):
        settings = Teacher("smolvlm_500m", random_weights=True, tiny_size=SMALL, device=own)
        teacher = LiveTeacher(settings, reader)
        teacher.to(torch.device(students))
        assert {parameter.device.type for parameter in teacher.network.parameters()} == {there}
    setattr(teacher.network, "is_quantized", True)  # noqa: B010 - and stays where it was loaded
    teacher.to(torch.device("meta"))
    assert {parameter.device.type for parameter in teacher.network.parameters()} == {"cpu"}


@pytest.mark.parametrize("four_bit", [False, True])
def test_a_teacher_is_held_in_four_bits_where_it_shall_be(
    four_bit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def whole(*names: Any, quantization: Any, **options: Any) -> Any:
        asked.append(quantization)
        return load_vlm(*names, **options)

    monkeypatch.setattr(teachers, "load_vlm", whole)
    student(Teacher("smolvlm_500m", random_weights=True, tiny_size=SMALL, four_bit=four_bit))
    assert [each is not None and each.load_in_4bit for each in asked] == [four_bit]


def test_a_missing_checkpoint_names_the_experiment_that_makes_it(tmp_path: Path) -> None:
    teacher = Teacher(
        "smolvlm_500m",
        random_weights=True,
        checkpoint=str(tmp_path / "last.ckpt"),
        made_by="distillation/teacher",
    )
    with pytest.raises(ModelError, match=r"checkpoint .* `make experiment NAME=distillation/teacher`"):
        student(teacher)


@pytest.mark.parametrize("setting", ["cache_k", "image_tokens"])
def test_a_teacher_that_keeps_or_sees_nothing_is_refused(setting: str) -> None:
    nothing: dict[str, Any] = {setting: 0}
    with pytest.raises(ModelError, match=rf"teacher\.{setting}"):
        Teacher("smolvlm_500m", **nothing)
