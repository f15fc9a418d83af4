from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.base import ModelError
from lightning_modules.placement import Placement, placed
from lightning_modules.vlm import loading
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.loading import Composed, load_vlm
from lightning_modules.vlm.tiny_models import make_tiny_model
from tests.helpers.composed_models import small_llama
from tests.helpers.sample_questions import (
    SMALL,
    TINY_FAMILIES,
    many_questions,
    tiny_model,
)

families = pytest.mark.parametrize("family", TINY_FAMILIES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with its processor."""
    path = tmp_path_factory.mktemp("model")
    model, processor, _ = tiny_model("smolvlm")
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@families
def test_a_saved_model_is_loaded_from_its_folder_as_it_was(family: str, tmp_path: Path) -> None:
    model, processor, known = tiny_model(family)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = load_vlm(str(tmp_path))
    assert loaded.family is known and not loaded.model.training
    assert type(loaded.model) is type(model) and type(loaded.processor) is type(processor)
    batch = VlmCollator(processor, known, True)(many_questions(family))
    again = VlmCollator(loaded.processor, loaded.family, True)(many_questions(family))
    for name, tensor in batch["inputs"].items():
        assert torch.equal(tensor, again["inputs"][name]), name
    with torch.no_grad():
        expected, found = (one(**batch["inputs"]).logits for one in (model, loaded.model))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@families
def test_generation_stops_where_an_answer_ends(family: str) -> None:
    loaded = load_vlm(family, random_weights=True, tiny_size=SMALL)
    end = VlmCollator(loaded.processor, loaded.family, False).conversation.end_id
    assert end in loaded.model.generation_config.eos_token_id


def test_generation_also_stops_where_a_models_file_forgets_to(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    file = tmp_path / "model" / "generation_config.json"
    for ends, known in ((7, [7]), ([7, 8], [7, 8]), (None, [])):
        file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": ends}))
        loaded = load_vlm(str(tmp_path / "model"))
        end = loaded.processor.tokenizer.convert_tokens_to_ids("<end_of_utterance>")
        assert loaded.model.generation_config.eos_token_id == sorted([*known, end])


@pytest.mark.parametrize("random_weights", [True, False])
def test_attention_and_precision_are_those_that_are_asked_for(folder: Path, random_weights: bool) -> None:
    name = "smolvlm" if random_weights else str(folder)
    options: dict[str, Any] = {"tiny_size": SMALL}
    for attention in ("eager", "sdpa"):
        model = load_vlm(name, random_weights, attention=attention, dtype=torch.float16, **options).model
        assert model.config._attn_implementation == attention and model.dtype == torch.float16
        assert model.model.text_model.config._attn_implementation == attention
    with placed(Placement.of("cpu", "bf16-mixed")):
        assert load_vlm(name, random_weights, **options).model.dtype == torch.bfloat16
    with placed(Placement.of("cpu")):
        model = load_vlm(name, random_weights, placement=Placement.of("cpu", "16-mixed"), **options).model
    assert model.dtype == torch.float16


def test_a_tiny_random_model_is_of_the_size_and_seed_that_are_asked_for() -> None:
    loaded = load_vlm("smolvlm_2b", random_weights=True, tiny_size=SMALL, weights_seed=4)
    wanted, _ = make_tiny_model("smolvlm", 4, SMALL)
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name
    assert loaded.origin == "tiny random model, seed 4"


@pytest.mark.parametrize("missing", ["processor_config.json", "tokenizer.json"])
def test_a_folder_without_a_processor_says_what_to_do(folder: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / missing).unlink()
    with pytest.raises(ModelError, match=r"no complete processor.*save_pretrained\("):
        load_vlm(str(tmp_path / "model"))


def test_a_folder_with_weights_alone_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path / name)
    with pytest.raises(ModelError, match="no complete processor"):
        load_vlm(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "config.json is missing or damaged"),
        ({"config.json": "{"}, "config.json is missing or damaged"),
        ({"config.json": '{"model_type": "llava"}'}, "type 'llava'; known are idefics3.*FAMILIES"),
        ({"adapter_config.json": "{}"}, "holds an adapter and no model"),
    ],
)
def test_folders_that_are_no_model_are_refused(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=sentence):
        load_vlm(str(tmp_path))


def test_unknown_names_list_the_zoo() -> None:
    with pytest.raises(ModelError, match=r"no model 'smolvlm_1b'.*smolvlm_500m.*owner/model"):
        load_vlm("smolvlm_1b")


def test_a_model_is_composed_of_an_encoder_and_a_language_model_and_kept_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tiny_model("composed", size=SMALL)[1].tokenizer
    language = small_llama(len(tokenizer))
    language.save_pretrained(tmp_path / "language")
    tokenizer.save_pretrained(tmp_path / "language")
    parts = Composed(
        "test_vit",
        str(tmp_path / "language"),
        encoder_weights="none",
        language_weights="none",
        image_tokens=25,
    )
    loaded, same = load_vlm(parts, weights_seed=4), load_vlm(parts, weights_seed=4)
    assert loaded.family is FAMILIES["composed"] and loaded.name.startswith("test_vit + ")
    for (name, one), other in zip(loaded.model.named_parameters(), same.model.parameters(), strict=True):
        assert torch.equal(one, other), name

    loaded.model.save_pretrained(tmp_path / "whole")
    loaded.processor.save_pretrained(tmp_path / "whole")
    # Composing has made the classes known in this process; opening a folder has to do so by itself.
    registered = []
    monkeypatch.setattr(loading, "register_composed", lambda: registered.append(True))
    batch = VlmCollator(loaded.processor, loaded.family, True)(many_questions())
    again = load_vlm(str(tmp_path / "whole")).model
    with torch.no_grad():
        expected, found = (model(**batch["inputs"]).logits for model in (loaded.model, again))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert registered
