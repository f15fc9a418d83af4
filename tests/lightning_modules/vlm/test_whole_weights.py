"""Weights that are missing, of another shape, damaged or left over are an error, wherever they come from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig, LlamaForCausalLM

from datamodules.samples import SmallSpatialError
from lightning_modules.base import ModelError
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.model_source import ModelSource
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.encoder_swap import load_language_model
from lightning_modules.vlm.export import load_adapter, load_trained, save_adapter
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.loading import load_vlm
from lightning_modules.vlm.target_modules import belongs_to
from lightning_modules.vlm.tiny_models import make_tiny_model
from lightning_modules.vlm.whole_weights import load_whole
from tests.helpers.composed_models import small_llama
from tests.helpers.small_models import SIZE, adapted, as_if_trained, tiny_model

FAMILY = "smolvlm"
NF4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
WEIGHTS = "model.safetensors"

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny random model."""
    folder = tmp_path_factory.mktemp("whole")
    model, processor = tiny_model(FAMILY)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_vocabulary_without_the_padding_token_is_a_sentence(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"cannot be loaded: Padding_idx.*Write .* again"):
        load_vlm(str(folder))


def test_a_mismatch_that_is_found_on_weights_without_values_is_a_sentence(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers compares InternVL's head with its embedding before it reports their shapes."""

    def compared(*_: object, **__: object) -> None:
        torch.equal(torch.zeros(1, device="meta"), torch.zeros(1, device="meta"))

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", compared)
    with pytest.raises(ModelError, match=r"holds weights of another shape than its config\.json says"):
        load_whole(AutoModelForImageTextToText, ModelSource(str(whole)))


def changed(folder: Path, target: Path, change: Callable[[Weights], Weights]) -> Path:
    """A copy of a model with other weights."""
    shutil.copytree(folder, target)
    save_file(change(load_file(folder / WEIGHTS)), target / WEIGHTS, metadata={"format": "pt"})
    return target


def without(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: tensor for name, tensor in weights.items() if part not in name}


def narrower(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {
        name: tensor[:, :10].contiguous() if part in name else tensor for name, tensor in weights.items()
    }


FAULTS: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "no vision tower": (
        without("vision_model"),
        r"lacks \d+ of \d+ weights of its model: model\.vision_model",
    ),
    "no connector": (without("connector"), r"lacks 1 of \d+ weights of its model: model\.connector"),
    "one tensor less": (
        without("text_model.layers.1.self_attn.q_proj"),
        r"lacks 1 of \d+ weights of its model: model\.text_model\.layers\.1\.self_attn\.q_proj\.weight\.",
    ),
    "another shape": (
        narrower("text_model.layers.1.self_attn.q_proj"),
        r"1 of \d+ weights of another shape.*layers\.1\.self_attn\.q_proj\.weight is 64 x 10 instead",
    ),
    "a layer too many": (
        lambda weights: {**weights, "model.text_model.layers.2.self_attn.q_proj.weight": torch.zeros(64, 64)},
        r"holds 1 weights that its config\.json leaves no place for: model\.text_model\.layers\.2",
    ),
    "a bias too many": (
        lambda weights: {**weights, "model.text_model.layers.1.self_attn.q_proj.bias": torch.zeros(64)},
        r"holds 1 weights that its config\.json leaves no place for: .*q_proj\.bias",
    ),
}


def open_model(folder: Path) -> None:
    load_vlm(str(folder))


def open_in_4_bits(folder: Path) -> None:
    load_vlm(str(folder), quantization=NF4)


def open_teacher(folder: Path) -> None:
    _, processor = tiny_model(FAMILY)
    LiveTeacher(Teacher(str(folder)), VlmCollator(processor, FAMILIES[FAMILY], with_labels=True))


@pytest.mark.parametrize(
    ("fault", "opened"),
    [
        *((fault, open_model) for fault in FAULTS),
        *((fault, open_in_4_bits) for fault in ("one tensor less", "another shape", "a layer too many")),
        ("no vision tower", open_teacher),
    ],
)
def test_a_model_with_a_fault_in_its_weights_is_refused(
    fault: str, opened: Callable[[Path], None], whole: Path, tmp_path: Path
) -> None:
    change, sentence = FAULTS[fault]
    folder = changed(whole, tmp_path / "model", change)
    with pytest.raises(ModelError, match=sentence) as raised:
        opened(folder)
    assert str(folder) in str(raised.value)
    assert "Write" in str(raised.value) and "again" in str(raised.value)


def test_weights_that_no_layer_asks_for_are_said(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = changed(
        whole, tmp_path / "model", lambda weights: {**weights, "value_head.weight": torch.zeros(3)}
    )
    open_model(folder)
    assert "holds 1 weights that its model does not use: value_head.weight." in capsys.readouterr().out
    open_model(whole)
    assert "does not use" not in capsys.readouterr().out


def shards(folder: Path, target: Path) -> Path:
    """A copy in two files and an index."""
    shutil.copytree(folder, target)
    (target / WEIGHTS).unlink()
    weights = load_file(folder / WEIGHTS)
    names = sorted(weights)
    places = {name: f"model-0000{1 + (name > names[9])}-of-00002.safetensors" for name in names}
    for file in set(places.values()):
        save_file(
            {name: weights[name] for name in names if places[name] == file},
            target / file,
            metadata={"format": "pt"},
        )
    (target / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return target


def test_a_file_that_is_absent_or_damaged_is_named(whole: Path, tmp_path: Path) -> None:
    folder = shards(whole, tmp_path / "shards")
    open_model(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks 1 of the 2 files of .*: model-00002-of-00002\.safetensors"):
        open_model(folder)
    (folder / f"{WEIGHTS}.index.json").write_text('{"weight_map": ')
    with pytest.raises(ModelError, match=r"index\.json cannot be read"):
        open_model(folder)
    for kept in (-1000, 100, 0):
        copy = tmp_path / f"cut{kept}"
        shutil.copytree(whole, copy)
        (copy / WEIGHTS).write_bytes((whole / WEIGHTS).read_bytes()[:kept])
        with pytest.raises(ModelError, match=rf"the file {copy / WEIGHTS} is damaged"):
            open_model(copy)
    (copy / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"no file named model\.safetensors"):
        open_model(copy)


TIED = ("lm_head.weight", "model.embed_tokens.weight")


@pytest.mark.parametrize("tied", [True, False])
def test_of_tied_tables_one_is_enough(tied: bool, tmp_path: Path) -> None:
    tokenizer = make_tiny_model("composed", size=SIZE)[1].tokenizer
    model = LlamaForCausalLM(small_llama(len(tokenizer), tie_word_embeddings=tied))
    model.save_pretrained(tmp_path / "whole")
    tokenizer.save_pretrained(tmp_path / "whole")
    loaded, _ = load_language_model(str(tmp_path / "whole"), "hub")
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    headless = changed(tmp_path / "whole", tmp_path / "headless", without("lm_head"))
    if tied:
        loaded, _ = load_language_model(str(headless), "hub")
        assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    else:
        with pytest.raises(ModelError, match=r"lacks 1 of \d+ weights of its model: lm_head\.weight"):
            load_language_model(str(headless), "hub")
    bare = changed(headless, tmp_path / "bare", without("embed_tokens"))
    with pytest.raises(
        ModelError, match=r"lacks \d of \d+ weights of its model: .*model\.embed_tokens\.weight"
    ):
        load_language_model(str(bare), "hub")


METHODS: dict[str, dict[str, Any]] = {
    "lora": {"also_train": ["connector"]},
    "ia3": {},
    "bottleneck": {"also_train": ["connector"]},
    "prompt_tuning": {},
}


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_that_is_not_whole_is_refused(method: Any, tmp_path: Path) -> None:
    network, processor = adapted(FAMILY, AdapterConfig(method, **METHODS[method]))
    as_if_trained(network)
    folder = tmp_path / "adapter"
    save_adapter(network, folder, processor.tokenizer)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    for dropped in (min(tensors), max(tensors)):
        save_file({name: tensors[name] for name in tensors if name != dropped}, file)
        with pytest.raises(SmallSpatialError, match=r"lacks 1 of \d+ tensors.*again") as raised:
            load_adapter(tiny_model(FAMILY)[0], folder)
        assert str(folder) in str(raised.value)
    save_file(tensors, file)
    load_adapter(tiny_model(FAMILY)[0], folder)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SmallSpatialError, match=r"damaged"):
        load_adapter(tiny_model(FAMILY)[0], folder)
    file.unlink()
    with pytest.raises(SmallSpatialError, match=rf"{file.name} is missing"):
        load_adapter(tiny_model(FAMILY)[0], folder)


def test_a_checkpoint_that_lacks_a_part_of_what_was_trained_is_refused(tmp_path: Path) -> None:
    model, _ = tiny_model(FAMILY)
    parts = FAMILIES[FAMILY].parts
    trained = {
        f"network.{name}": parameter
        for name, parameter in model.named_parameters()
        if belongs_to(name, parts) == "language_model"
    }
    file = tmp_path / "last.ckpt"
    torch.save({"state_dict": trained}, file)
    load_trained(model, file, parts)
    torch.save({"state_dict": {name: trained[name] for name in list(trained)[1:]}}, file)
    with pytest.raises(SmallSpatialError, match=r"last\.ckpt lacks 1 of \d+ tensors of the language_model"):
        load_trained(model, file, parts)


@pytest.mark.parametrize("name", ["smolvlm_500m", "qwen2_5_vl_3b", "internvl3_1b", "paligemma2_3b"])
def test_folders_with_the_names_of_the_hub_are_whole_or_refused(name: str, zoo: Path, tmp_path: Path) -> None:
    """The names in these files are not those of the model, which is where another check would look."""
    folder = zoo / name
    load_whole(AutoModelForImageTextToText, ModelSource(str(folder)))
    for part in ("vis", "layers.1.self_attn.k_proj.weight"):
        broken = changed(folder, tmp_path / part, without(part))
        with pytest.raises(ModelError, match=r"lacks \d+ of \d+ weights of its model"):
            load_whole(AutoModelForImageTextToText, ModelSource(str(broken)))
