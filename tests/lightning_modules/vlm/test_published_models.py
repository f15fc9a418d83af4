"""Models as they are published: real tokenizers, templates, processors and weight names, loaded as folders.

What they answer is compared with transformers and peft, used as their own pages say.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from datamodules.samples import SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.vlm.adapters import AdapterConfig, add_adapter, prompt_tokens
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.export import load_adapter, merge, save_adapter
from lightning_modules.vlm.loading import family_named, load_vlm
from lightning_modules.vlm.prompts import Turn, question_text
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.image_data import ImageData
from tests.helpers.sample_questions import letter_question, many_questions, noise_image

MODELS = ("smolvlm_500m", "smolvlm_2b", "qwen2_5_vl_3b", "internvl3_1b", "paligemma2_3b")
"""One of each family."""
IMAGE_TOKENS = {"qwen2_5_vl_3b": 40, "qwen2_5_vl_7b": 40, "smolvlm_500m": 100, "smolvlm_2b": 100}
"""Few, where a model can: one tile, so that the tests are quick; InternVL and PaliGemma take 256."""
ENDS = {"qwen2_5_vl_3b": "<|im_end|>", "internvl3_1b": "<|im_end|>", "paligemma2_3b": "<eos>"}

LAST = 8
"""Logits are compared at the last positions: the vocabularies are large."""

models = pytest.mark.parametrize("name", MODELS)
Folder = Callable[[str], str]


@pytest.fixture(scope="module")
def folder(zoo: Path) -> Folder:
    """The folder of a model by its name."""
    return lambda name: str(zoo / name)


def limit(name: str) -> int:
    return IMAGE_TOKENS.get(name, 256)


def plain_inputs(processor: Any, sample: SpatialSample) -> dict[str, Tensor]:
    """A question as the model's own page writes it."""
    assert sample.image is not None
    image, text = sample.image.open(), question_text(sample)
    if processor.chat_template is None:
        inputs = processor(images=image, text=f"<image>answer en {text}", return_tensors="pt")
    else:
        content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    return {key: value for key, value in inputs.items() if key not in ("labels", "rows", "cols")}


@models
def test_answers_are_those_of_the_model_as_its_page_opens_it(name: str, folder: Folder) -> None:
    """By `rank` and by `generate`, without any limit on the images."""
    model = AutoModelForImageTextToText.from_pretrained(folder(name), dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder(name))
    sample = letter_question(1, image=noise_image(3, 90, 120))
    inputs = plain_inputs(processor, sample)
    space = " " if "smolvlm" in name else ""
    letters = [processor.tokenizer(space + one, add_special_tokens=False)["input_ids"] for one in "ABC"]
    assert all(len(tokens) == 1 for tokens in letters)
    with torch.no_grad():
        following = model(**inputs, logits_to_keep=1).logits[0, -1]
        end = inputs["input_ids"].shape[1]
        tokens = model.generate(**inputs, max_new_tokens=4, do_sample=False, repetition_penalty=1.0)[0, end:]
    written = processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()

    module = PeftSft(folder(name), adapter=AdapterConfig("none"), maximum_new_tokens=4).eval()
    batch = module.collator("test")([sample])
    for key, value in inputs.items():
        ours = batch["prompt"][key]
        assert torch.equal(ours, value.transpose(0, 1) if ours.shape != value.shape else value), key
    (ranked,) = module.answer(batch)
    assert ranked.raw == "ABC"[int(following[torch.tensor(letters).flatten()].argmax())]
    module.answering = "generate"
    (generated,) = module.answer(batch)
    assert generated.raw == written


@models
@pytest.mark.parametrize("answering", ["rank", "generate"])
def test_a_run_without_training_scores_every_question(name: str, answering: Any, folder: Folder) -> None:
    module = PeftSft(
        folder(name),
        adapter=AdapterConfig("none"),
        answering=answering,
        maximum_new_tokens=2,
        image_tokens=limit(name),
    )
    bare_trainer().test(module, datamodule=ImageData(batch_size=4), verbose=False)
    assert module.summary is not None and module.summary["n"] == 4
    if answering == "rank":
        assert module.summary["unreadable"] == 0


@models
@pytest.mark.parametrize("rationale", [False, True])
def test_exactly_the_answer_and_its_end_are_learnt(name: str, rationale: bool, folder: Folder) -> None:
    family, processor = family_named(folder(name)), processor_of(folder(name))
    samples = many_questions(family.name)
    batch = VlmCollator(processor, family, with_labels=True, rationale=rationale)(samples)
    for row, sample in enumerate(samples):
        learnt = batch["labels"][row] != -100
        answer = sample.answer
        if rationale:
            thought = sample.rationale.replace("<think>", "").replace("</think>", "")
            answer = (f"<think>\n{thought}\n</think>\n" if thought else "") + f"<answer>{answer}</answer>"
        space = " " if "smolvlm" in name else ""
        text = processor.tokenizer.decode(batch["labels"][row][learnt], clean_up_tokenization_spaces=False)
        assert text == f"{space}{answer}{ENDS.get(name, '<end_of_utterance>')}"
        # One piece, at the end.
        places = learnt.nonzero().flatten()
        assert places.tolist() == list(
            range(int(places[0]), int(batch["inputs"]["attention_mask"][row].sum()))
        )


@cache
def processor_of(path: str) -> Any:
    return AutoProcessor.from_pretrained(path)


@models
def test_an_adapter_learns_and_plain_peft_opens_what_is_written(
    name: str, folder: Folder, tmp_path: Path
) -> None:
    from peft import PeftModel

    torch.manual_seed(0)
    module = PeftSft(
        folder(name),
        adapter=AdapterConfig(dropout=0.0),
        image_tokens=limit(name),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-2),
    )
    batch = module.collator("fit")([letter_question(1)])
    with torch.no_grad():
        before = float(module.loss(batch)["answer_loss"])
    bare_trainer(max_steps=3, max_epochs=-1).fit(module, datamodule=OneQuestion())
    module.eval()
    with torch.no_grad():
        assert float(module.loss(batch)["answer_loss"]) < before
        expected = module.network(**batch["inputs"], logits_to_keep=LAST).logits
    save_adapter(module.network, tmp_path, module.tokenizer)

    base = AutoModelForImageTextToText.from_pretrained(folder(name), dtype=torch.float32)
    with torch.no_grad():
        untrained = base.eval()(**batch["inputs"], logits_to_keep=LAST).logits
        opened = PeftModel.from_pretrained(base, tmp_path).eval()
        found = opened(**batch["inputs"], logits_to_keep=LAST).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - untrained).abs().max() > 1e-3
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == folder(
        name
    )


class OneQuestion(ImageData):
    """The question that the test looks at, as the only one to learn."""

    def open_split(self, role: Any) -> Any:
        split = super().open_split(role)
        return type("Split", (type(split),), {"samples": lambda *_: [letter_question(1)]})()


@pytest.fixture
def another_seed(folder: Folder, tmp_path: Path) -> Folder:
    """The folder of the same architecture with other weights of the same spread."""

    def make(name: str) -> str:
        other = tmp_path / f"{name}_other_seed"
        shutil.copytree(folder(name), other)
        generator = torch.Generator().manual_seed(1)
        weights = load_file(other / "model.safetensors")
        for key, value in weights.items():
            if value.ndim > 1:
                drawn = torch.randn(value.shape, generator=generator) * value.float().std()
                weights[key] = drawn.to(value.dtype)
        save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
        return str(other)

    return make


@pytest.mark.parametrize(
    ("name", "sister"),
    [
        ("smolvlm_500m", "smolvlm_2b"),
        ("qwen2_5_vl_3b", "qwen2_5_vl_7b"),
        pytest.param("smolvlm_2b", None, marks=pytest.mark.every_file),
        ("internvl3_1b", None),
        ("paligemma2_3b", None),
    ],
)
def test_a_student_comes_nearer_to_its_teacher(
    name: str, sister: str | None, folder: Folder, another_seed: Folder
) -> None:
    torch.manual_seed(0)
    student = DistilledStudent(
        Teacher(folder(sister) if sister else another_seed(name), image_tokens=limit(sister or name)),
        logits=LogitDistillation(alpha=0.0),
        model=folder(name),
        adapter=AdapterConfig(dropout=0.0),
        image_tokens=limit(name),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-2),
    )
    student.open_teacher()
    teacher: Any = student.teacher
    weights = [parameter.clone() for parameter in teacher.network.parameters()][-3:]
    batch = student.collator("fit")([letter_question(1)])
    with torch.no_grad():
        before = {name: float(term) for name, term in student.loss(batch).items()}
    assert before["divergence"] > 0
    bare_trainer(max_steps=3, max_epochs=-1).fit(student, datamodule=OneQuestion())
    student.__dict__["teacher"] = teacher
    with torch.no_grad():
        after = {name: float(term) for name, term in student.eval().loss(batch).items()}
    assert after["divergence"] < before["divergence"]
    assert all(
        torch.equal(one, other)
        for one, other in zip(weights, list(teacher.network.parameters())[-3:], strict=True)
    )


# A head of its own


def head_of_file(path: str) -> Tensor:
    weights = load_file(Path(path) / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("lm_head.weight"))
    return weights[name].float()


def require_apart(model: Any, head: Tensor) -> None:
    """Head and embedding are two tensors, and the head's values are those of the file."""
    own, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert own.untyped_storage().data_ptr() != embedding.untyped_storage().data_ptr()
    assert torch.equal(own[: len(head)].float(), head)
    assert not model.config.tie_word_embeddings


def test_a_head_of_its_own_stays_so(folder: Folder, tmp_path: Path) -> None:
    """When loading, with added tokens, under an adapter, in the merged model, and when that is opened."""
    name = "internvl3_1b"
    head = head_of_file(folder(name))
    loaded = load_vlm(folder(name), image_tokens=limit(name))
    require_apart(loaded.model, head)
    config = AdapterConfig("prompt_tuning", virtual_tokens=5)
    rows = len(loaded.model.get_input_embeddings().weight)
    network: Any = add_adapter(loaded.model, loaded.family.parts, config, loaded.processor.tokenizer).eval()
    base = network.get_base_model()
    assert len(base.get_input_embeddings().weight) > rows
    require_apart(base, head)
    collate = VlmCollator(loaded.processor, loaded.family, True, prefix=prompt_tokens(config))
    inputs = collate([letter_question(1)])["inputs"]
    with torch.no_grad():
        network.base_model.get_input_embeddings().trainable_tokens_delta["default"].add_(0.1)
        expected = network(**inputs, logits_to_keep=LAST).logits
    save_adapter(network, tmp_path / "adapter", loaded.processor.tokenizer)

    plain = AutoModelForImageTextToText.from_pretrained(folder(name), dtype=torch.float32)
    again = load_adapter(plain, tmp_path / "adapter").eval()
    require_apart(again.get_base_model(), head)  # type: ignore[operator]
    with torch.no_grad():
        torch.testing.assert_close(
            again(**inputs, logits_to_keep=LAST).logits, expected, atol=1e-5, rtol=1e-5
        )
    merge(network, tmp_path / "adapter").save_pretrained(tmp_path / "merged")
    merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").eval()
    require_apart(merged, head)
    with torch.no_grad():
        torch.testing.assert_close(
            merged(**inputs, logits_to_keep=LAST).logits, expected, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("lost", ["lm_head.weight", "embed_tokens.weight"])
def test_a_lost_table_is_not_made_of_the_other_one(lost: str, folder: Folder, tmp_path: Path) -> None:
    """InternVL3's configuration does not say whether head and embedding are one."""
    shutil.copytree(folder("internvl3_1b"), tmp_path / "model")
    file = tmp_path / "model/model.safetensors"
    weights = load_file(file)
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith(lost)}
    assert len(kept) == len(weights) - 1
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of \d+ weights"):
        load_vlm(str(tmp_path / "model"))


@pytest.mark.parametrize("name", ["qwen2_5_vl_3b", "paligemma2_3b"])
def test_a_shared_head_stays_shared(name: str, folder: Folder) -> None:
    model = load_vlm(folder(name)).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.tie_word_embeddings


@pytest.mark.parametrize("name", [name for name in MODELS if name != "paligemma2_3b"])
def test_a_published_template_writes_the_systems_words_in_place_of_its_own(name: str, folder: Folder) -> None:
    """As the model's own processor writes a conversation that begins with a system's turn."""
    processor = AutoProcessor.from_pretrained(folder(name))
    content = [{"type": "image"}, {"type": "text", "text": "Which?"}]
    turns = [{"role": "system", "content": [{"type": "text", "text": "Look closely."}]}]
    expected = processor.apply_chat_template(
        [*turns, {"role": "user", "content": content}], add_generation_prompt=True
    )
    conversation = Conversation(processor, family_named(folder(name)), system="Look closely.")
    text = conversation.prompt([Turn((noise_image(0),), "Which?")])
    assert text == expected
    assert text.count("Look closely.") == 1
    assert "helpful assistant" not in text
