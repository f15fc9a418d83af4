"""A cached teacher says what the live one says, is asked by content, and refuses what it does not know."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datamodules.samples import ImageSource, OpenedImage, SpatialSample
from datamodules.views import Grayscale, RotatedChoices
from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.logits.teacher_signal import TeacherLogits
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.on_policy import OnPolicy
from lightning_modules.distillation.output_writing import OutputWriting
from lightning_modules.distillation.teachers import live as teachers
from lightning_modules.distillation.teachers.cache_files import CacheSummary, CacheWriter, TeacherCache
from lightning_modules.distillation.teachers.cached import CachedTeacher
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.distillation.teachers.manifest import CacheError
from lightning_modules.distillation.teachers.output_keys import WithOutputKeys, output_key
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.export import save_adapter
from lightning_modules.vlm.prompt_template import Prompt
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.image_data import ImageData
from tests.helpers.sample_questions import letter_question, many_questions, noise_image
from tests.helpers.small_models import as_if_trained

SMALL = TinySize(width=64, layers=2, vision_layers=2)
DEEPER = TinySize(width=64, layers=3, vision_layers=2)
WHOLE = 10**6
"""More tokens than any vocabulary has."""

SAMPLES = many_questions()
POOLED = AttentionDistillation(pool=5, chunk=16)


def student(teacher: Teacher, **options: Any) -> DistilledStudent:
    """A student whose adapter has moved from where it began, the same one each time."""
    defaults: dict[str, Any] = {
        "model": "smolvlm_500m",
        "random_weights": True,
        "tiny_size": SMALL,
        "adapter": AdapterConfig(dropout=0.0),
        "logits": LogitDistillation(temperature=1.5, chunk=7),
    }
    torch.manual_seed(0)
    model = DistilledStudent(teacher, **{**defaults, **options})
    as_if_trained(model.network)
    return model.eval()


def teacher_of(folder: Path, **changes: Any) -> Teacher:
    settings = Teacher(
        "smolvlm_500m", random_weights=True, tiny_size=DEEPER, cache=str(folder), cache_k=WHOLE
    )
    return replace(settings, **changes)


def batches(samples: Sequence[SpatialSample], size: int) -> Iterator[list[SpatialSample]]:
    for start in range(0, len(samples), size):
        yield list(samples[start : start + size])


def write(model: DistilledStudent, samples: Sequence[SpatialSample] = SAMPLES, size: int = 3) -> CacheSummary:
    writing = OutputWriting(model, torch.device("cpu"))
    assert model.teacher_settings.cache is not None
    writer = CacheWriter(model.teacher_settings.cache, writing.manifest, 4)
    for some in batches(samples, size):
        writer.add(writing.outputs(writing.collator(some)))
    return writer.finish()


def learn(
    model: DistilledStudent, cached: bool, samples: Sequence[SpatialSample] = SAMPLES
) -> tuple[dict[str, float], torch.Tensor]:
    """The terms of the loss, and all gradients, with the teacher in memory or from its cache."""
    settings = model.teacher_settings
    model.teacher_settings = settings if cached else replace(settings, cache=None)
    model.open_teacher()
    model.teacher_settings = settings
    assert isinstance(model.teacher, CachedTeacher) == cached
    model.zero_grad()
    terms = model.loss(model.collator("fit")(samples))
    torch.stack(list(terms.values())).sum().backward()
    gradients = [p.grad.flatten() for p in model.network.parameters() if p.grad is not None]
    return {name: float(term.detach()) for name, term in terms.items()}, torch.cat(gradients)


READERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the same tokens": ({}, {}),
    "other images": ({"tiny_size": replace(DEEPER, image_size=168)}, {}),
    "another family": (
        {"model": "qwen2_5_vl_7b"},
        {"model": "internvl3_1b"},
    ),
}


@pytest.mark.parametrize("divergence", ["forward_kl", "jsd"])
@pytest.mark.parametrize("readers", READERS)
def test_with_all_outcomes_it_is_the_live_teacher(readers: str, divergence: Any, tmp_path: Path) -> None:
    """Within what half precision leaves; written in other batches than those that are learnt."""
    fingerprint, options = READERS[readers]
    logits = LogitDistillation(temperature=1.5, divergence=divergence, chunk=7)
    model = student(teacher_of(tmp_path, **fingerprint), logits=logits, **options)
    assert write(model).tail_mass == pytest.approx(0.0, abs=1e-6)
    live, wanted = learn(model, cached=False)
    found, gradients = learn(model, cached=True)
    assert live["divergence"] > 0.05
    assert found == pytest.approx(live, rel=1e-3)
    assert (gradients - wanted).norm() <= 1e-3 * wanted.norm()


@pytest.mark.parametrize("readers", READERS)
def test_every_outcome_is_stored_the_end_of_answers_too(readers: str, tmp_path: Path) -> None:
    """Between families the end is a class behind those of the texts."""
    fingerprint, options = READERS[readers]
    writing = OutputWriting(student(teacher_of(tmp_path, **fingerprint), **options), torch.device("cpu"))
    batch = writing.collator(SAMPLES[:1])
    live = writing.teacher.output(batch, batch["inputs"], batch["labels"], ()).logits
    ((_, stored),) = writing.outputs(batch)
    assert isinstance(live, TeacherLogits)
    for found, wanted in zip(stored.indices, live.class_logits(), strict=True):
        assert found.sort().values.tolist() == list(range(len(wanted)))


def test_fewer_outcomes_are_never_more_divergent(tmp_path: Path) -> None:
    """Data processing: what is added up cannot be told apart."""
    live, _ = learn(student(teacher_of(tmp_path)), cached=False)
    found = []
    masses = []
    for k in (1, 8, 512):
        model = student(teacher_of(tmp_path / str(k), cache_k=k))
        masses.append(write(model).tail_mass)
        found.append(learn(model, cached=True)[0])
    divergences = [terms["divergence"] for terms in found]
    assert 0 < divergences[0] < divergences[1] < divergences[2] < live["divergence"]
    assert 1 > masses[0] > masses[1] > masses[2] > 0
    assert all(terms["cross_entropy"] == pytest.approx(live["cross_entropy"]) for terms in found)


@pytest.mark.parametrize(
    "attention", [POOLED, replace(POOLED, rows="answer", columns="image", temperature=0.1, pool=3)]
)
def test_pooled_attention_is_that_of_the_live_teacher(
    attention: AttentionDistillation, tmp_path: Path
) -> None:
    model = student(teacher_of(tmp_path), attention=attention)
    write(model)
    live, wanted = learn(model, cached=False)
    found, gradients = learn(model, cached=True)
    assert live["attention"] > 1e-3
    assert found == pytest.approx(live, rel=1e-3)
    assert (gradients - wanted).norm() <= 1e-3 * wanted.norm()


def test_teacher_outputs_do_not_depend_on_padding_or_order(tmp_path: Path) -> None:
    one, many = (student(teacher_of(tmp_path / name), attention=POOLED) for name in ("alone", "together"))
    write(one, size=1)
    write(many, SAMPLES[::-1], size=len(SAMPLES))
    first, gradients = learn(one, cached=True)
    second, others = learn(many, cached=True, samples=SAMPLES)
    assert first == pytest.approx(second, rel=1e-3)
    assert (gradients - others).norm() <= 1e-3 * others.norm()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """teacher outputs on all questions, of a teacher with an adapter."""
    folder = tmp_path_factory.mktemp("outputs")
    with_adapter(folder / "adapter", 1)
    write(student(cached(folder), attention=POOLED))
    return folder


def with_adapter(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    teacher = student(Teacher("smolvlm_500m", random_weights=True), tiny_size=DEEPER, weights_seed=1).network
    with torch.no_grad():
        for parameter in teacher.parameters():
            if parameter.requires_grad:
                parameter.mul_(seed)
    save_adapter(teacher, folder)


def cached(folder: Path, **changes: Any) -> Teacher:
    return teacher_of(folder / "cache", **{"adapter": str(folder / "adapter"), "cache_k": 4, **changes})


def no_model(*_: Any, **__: Any) -> Any:
    raise AssertionError("the teacher was loaded")


def test_a_training_from_teacher_outputs_loads_no_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ImageData(batch_size=2)
    settings = Teacher("smolvlm_500m", random_weights=True, tiny_size=DEEPER, cache=str(tmp_path), cache_k=4)
    model = student(settings, attention=POOLED)
    writing = OutputWriting(model, torch.device("cpu"))
    writer = CacheWriter(tmp_path, writing.manifest)
    data.collator = writing.collator
    for batch in data.every_training_question():
        writer.add(writing.outputs(batch))
    assert writer.finish().outputs == 4
    monkeypatch.setattr(teachers, "load_vlm", no_model)
    model.train()
    before = [parameter.clone() for parameter in model.parameters() if parameter.requires_grad]
    bare_trainer(max_epochs=1).fit(model, datamodule=data)
    after = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert "teacher" not in model.__dict__


def test_an_adapter_that_is_elsewhere_is_taken_as_it_was(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "load_vlm", no_model)
    terms, _ = learn(student(cached(written), attention=POOLED), cached=True)
    elsewhere, _ = learn(student(cached(written, adapter="nowhere/adapter")), cached=True)
    assert elsewhere["divergence"] == terms["divergence"]


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another model": ({"model": "smolvlm_2b"}, {}, "teacher.model is 'smolvlm_500m' there"),
    "another seed": ({"weights_seed": 2}, {}, "teacher.weights_seed is 1 there, and 2"),
    "no adapter": ({"adapter": None}, {}, "teacher.adapter is a trained one there, and not set"),
    "another k": ({"cache_k": 5}, {}, "teacher.cache_k asks for 5"),
    "image tokens": ({}, {"image_tokens": 64}, "teacher.image_tokens is not set there, and 64"),
    "temperature": ({}, {"logits": LogitDistillation(temperature=3.0)}, "cached at temperature 1.5"),
    "reasoning": ({}, {"rationale": True, "answering": "generate"}, "rationale is False there"),
    "another space": ({}, {"response_template": ""}, "response_template is ' ' there, and ''"),
    "another tokenizer": ({}, {"model": "qwen2_5_vl_3b"}, "another tokenizer"),
    "other groups": ({}, {"attention": replace(POOLED, pool=4)}, "attention.pool was 5, and 4"),
    "other rows": ({}, {"attention": replace(POOLED, rows="answer")}, "attention.rows was 'all'"),
    "other columns": ({}, {"attention": replace(POOLED, columns="image")}, "attention.columns was 'all'"),
    "other layers": ({}, {"attention": POOLED, "layer_map": "first"}, "layer map asks for layer 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_teacher_outputs_are_refused_before_the_training(name: str, written: Path) -> None:
    changes, options, message = REFUSED[name]
    model = student(cached(written, **changes), **options)
    with pytest.raises(CacheError, match="make cache-teacher NAME=") as raised:
        model.open_teacher()
    assert message in str(raised.value)


def test_teacher_outputs_of_an_adapter_that_was_trained_again_are_refused(tmp_path: Path) -> None:
    with_adapter(tmp_path / "adapter", 1)
    model = student(cached(tmp_path))
    write(model, SAMPLES[:1])
    model.open_teacher()
    with_adapter(tmp_path / "adapter", 2)
    with pytest.raises(CacheError, match=r"adapter has been trained again .*make cache-teacher"):
        model.open_teacher()


def saved_teacher(folder: Path, seed: int) -> Path:
    model, processor = make_tiny_model("smolvlm", seed, DEEPER)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_teacher_is_told_by_its_weights_and_not_by_its_name(tmp_path: Path) -> None:
    first = saved_teacher(tmp_path / "first", 1)
    cache = tmp_path / "outputs"
    settings = Teacher(str(first), cache=str(cache), cache_k=4)
    live = student(replace(settings, cache=None))
    live.open_teacher()
    write(student(settings), SAMPLES[:1])
    fingerprint = TeacherCache(cache).manifest.fingerprint.model
    assert live.origins()["teacher"] == fingerprint

    def opened(folder: Path) -> str:
        model = student(replace(settings, model=str(folder)))
        model.open_teacher()
        return model.origins()["teacher"]

    assert opened(first) == f"{fingerprint}, from a cache"
    shutil.copytree(first, tmp_path / "copy")
    opened(tmp_path / "copy")
    first.rename(tmp_path / "renamed")
    opened(tmp_path / "renamed")
    # The machine that trains may not have the teacher at all.
    opened(first)
    opened(tmp_path / "nowhere")
    saved_teacher(first, 2)
    with pytest.raises(
        CacheError, match=r"those of another teacher: the weights of teacher\.model.*make cache-"
    ):
        opened(first)
    opened(tmp_path / "renamed")


def test_a_misspelt_teacher_is_not_taken_for_the_one_that_has_spoken(tmp_path: Path) -> None:
    """Weights that are elsewhere may be the ones; a name that nothing can have is a mistake."""
    folder, outputs = saved_teacher(tmp_path / "teacher", 1), tmp_path / "outputs"
    write(student(Teacher(str(folder), cache=str(outputs))))
    shutil.rmtree(folder)
    learn(student(Teacher(str(folder), cache=str(outputs))), cached=True)
    with pytest.raises(ModelError, match="There is no model 'smolvlm_255m'"):
        learn(student(Teacher("smolvlm_255m", cache=str(outputs))), cached=True)
    with pytest.raises(
        CacheError, match=r"another teacher, of the family \w+: qwen2_5_vl_7b is of qwen2_5_vl"
    ):
        learn(student(Teacher("qwen2_5_vl_7b", cache=str(outputs))), cached=True)


def test_no_teacher_outputs_and_a_part_of_them_are_refused(tmp_path: Path) -> None:
    model = student(teacher_of(tmp_path, cache_k=4))
    with pytest.raises(CacheError, match=r"no teacher outputs in .*make cache-teacher NAME="):
        model.open_teacher()
    writing = OutputWriting(model, torch.device("cpu"))
    CacheWriter(tmp_path, writing.manifest).add(writing.outputs(writing.collator(SAMPLES)))
    with pytest.raises(
        CacheError, match=r"not written to their end.*make cache-teacher NAME=\.\.\.` goes on"
    ):
        model.open_teacher()


def test_attention_that_was_not_kept_is_refused(tmp_path: Path) -> None:
    write(student(teacher_of(tmp_path, cache_k=4)), SAMPLES[:1])
    with pytest.raises(CacheError, match=r"hold no attention maps.*make cache-teacher"):
        student(teacher_of(tmp_path, cache_k=4), attention=POOLED).open_teacher()
    with pytest.raises(ModelError, match=r"too large for a cache: set attention\.pool"):
        student(teacher_of(tmp_path), attention=AttentionDistillation())


def test_own_answers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="knows no answers but the true ones"):
        student(teacher_of(tmp_path), on_policy=OnPolicy())


def test_a_sample_without_a_teacher_output_is_named(written: Path) -> None:
    model = student(cached(written))
    model.open_teacher()
    with pytest.raises(CacheError, match=r"none on question 'letter-5'.*make cache-teacher"):
        model.loss(model.collator("fit")([SAMPLES[0], letter_question(5)]))


def test_an_answer_of_as_many_other_tokens_is_named(written: Path) -> None:
    model = student(cached(written))
    model.open_teacher()
    batch: Any = model.collator("fit")(SAMPLES)
    row, place = (batch["labels"] != -100).nonzero()[-1].tolist()
    batch["labels"][row, place] -= 1
    with pytest.raises(CacheError, match=f"The answer of question '{SAMPLES[row].id}' has other tokens"):
        model.loss(batch)


@pytest.mark.parametrize(
    ("sample", "what", "options"),
    [
        (
            letter_question(1, rationale="The chair is near. " * 20),
            "answer",
            {"rationale": True, "answering": "generate"},
        ),
        (letter_question(2, examples=(letter_question(3),)), "prompt", {}),
    ],
    ids=["a cut reasoning", "a solved example less"],
)
def test_a_sample_that_another_window_shortens_is_named(
    sample: SpatialSample, what: str, options: dict[str, Any], tmp_path: Path
) -> None:
    settings = teacher_of(tmp_path, cache_k=4)
    model = student(settings, **options)
    write(model, [sample])
    tokens = model.vlm_collator(with_labels=True)([sample])["tokens"]
    shorter = student(settings, maximum_tokens=tokens - 1, **options)
    shorter.open_teacher()
    with pytest.raises(CacheError, match=rf"The {what} of question '{sample.id}' has .*maximum_tokens"):
        shorter.loss(shorter.collator("fit")([sample]))


def changed_pixel(source: ImageSource) -> OpenedImage:
    copy = source.open().copy()
    value = copy.getpixel((3, 4))
    assert isinstance(value, tuple)
    copy.putpixel((3, 4), (value[0] ^ 1, *value[1:]))
    return OpenedImage(source.name, copy)


ASKED = letter_question(0, examples=(letter_question(1),))
SHOWN = ASKED.image
assert SHOWN is not None
OTHER = {
    "a pixel": ASKED.replace(image=changed_pixel(SHOWN)),
    "a pixel of an example": ASKED.replace(
        examples=(letter_question(1, image=changed_pixel(letter_question(1).image)),)  # type: ignore[arg-type]
    ),
    "the shape": ASKED.replace(
        image=OpenedImage("0.png", Image.frombytes("RGB", (60, 90), SHOWN.open().tobytes()))
    ),
    "a word": ASKED.replace(question=ASKED.question.replace("closer", "nearer")),
    "a choice": ASKED.replace(choices=("the red chair", "the zürich lamp", "the bag")),
    "the answer": ASKED.replace(answer="B"),
    "the answer of an example": ASKED.replace(examples=(letter_question(1, answer="C"),)),
    "no example": ASKED.replace(examples=()),
    "one more image": ASKED.replace(further_images=(noise_image(9),)),
    "no image": ASKED.replace(image=None),
    "rotated choices": RotatedChoices(1)(ASKED),
    "grey": Grayscale()(ASKED),
}


def test_the_key_is_that_of_what_is_asked_seen_and_answered() -> None:
    keys = {name: output_key(sample, False) for name, sample in OTHER.items()}
    keys["itself"] = output_key(ASKED, False)
    keys["with reasoning"] = output_key(ASKED, True)
    keys["other reasoning"] = output_key(ASKED.replace(rationale="I guess."), True)
    assert len(set(keys.values())) == len(keys)


def test_the_key_knows_neither_names_nor_batches(tmp_path: Path) -> None:
    assert SHOWN is not None
    again = ASKED.replace(
        id="another", image=OpenedImage("copy.png", SHOWN.open().copy()), group="x", rationale="unread"
    )
    assert output_key(again, False) == output_key(ASKED, False)
    model = student(teacher_of(tmp_path, cache_k=4))
    write(model, SAMPLES[:1])
    model.open_teacher()
    collate = model.collator("fit")
    alone = [collate([sample])["output_keys"][0] for sample in SAMPLES]
    assert collate(SAMPLES)["output_keys"] == alone == collate(SAMPLES[::-1])["output_keys"][::-1]


def test_no_two_conversations_have_one_key() -> None:
    """Wherever one text ends and the next one begins; two images of a batch have one name."""
    texts = ("a", "ab", "ba")
    images = (None, noise_image(1), OpenedImage("1.png", noise_image(2).open()))
    keys: list[str] = []
    for system in ("", *texts):
        samples = [
            SpatialSample("", asked, image, answer=answer, examples=(SpatialSample("", shown, answer=reply),))
            for image in images
            for shown, reply, asked, answer in itertools.product(texts, repeat=4)
        ]
        keyed = WithOutputKeys(lambda _: {}, False, Prompt(system, ending=""))
        keys += keyed(samples)["output_keys"]
    assert len({*keys}) == len(keys)


def test_an_image_of_several_questions_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[OpenedImage] = []
    shown = noise_image(1)

    def counted(image: OpenedImage) -> Image.Image:
        opened.append(image)
        return image.image

    monkeypatch.setattr(OpenedImage, "open", counted)
    seen: dict[ImageSource, bytes] = {}
    keys = [output_key(letter_question(number, image=shown), False, seen) for number in range(3)]
    assert len(set(keys)) == 3
    assert opened == [shown]
