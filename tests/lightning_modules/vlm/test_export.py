"""What is written opens elsewhere and answers the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.base import ModelError
from lightning_modules.vlm.adapters import AdapterConfig, AdapterError, add_adapter, four_bit_config
from lightning_modules.vlm.export import load_adapter, merge, save_adapter
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.small_models import (
    METHODS,
    NAMES,
    adapted,
    as_if_trained,
    logits,
    question,
    tiny_model,
)

PEFT_METHODS = [method for method in METHODS if method not in ("bottleneck", "full")]


def written(name: str, config: AdapterConfig, folder: Path) -> tuple[Any, Any]:
    """A model as if it had been trained, and its processor; its adapter lies in the folder."""
    network, processor = adapted(name, config)
    as_if_trained(network)
    assert save_adapter(network, folder, processor.tokenizer)
    return network, processor


def close(first: torch.Tensor, second: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest logit: float32 has no more to give after a merge."""
    torch.testing.assert_close(first, second, atol=1e-5 * max(1, second.abs().max().item()), rtol=0)


@pytest.mark.parametrize("method", PEFT_METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_plain_peft_opens_the_adapter(name: str, method: Any, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoTokenizer

    config = AdapterConfig(method=method, virtual_tokens=3)
    network, processor = written(name, config, tmp_path)
    base, _ = tiny_model(name)
    if method == "prompt_tuning":
        # The only thing to know beforehand, and any user of added tokens does.
        assert "resize_token_embeddings" in (tmp_path / "README.md").read_text()
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        assert len(tokenizer) == len(processor.tokenizer)
        base.resize_token_embeddings(len(tokenizer))
    opened = PeftModel.from_pretrained(base, tmp_path).eval()
    inputs = question(processor, config)
    vocabulary = len(tiny_model(name)[1].tokenizer)
    close(logits(opened, inputs)[..., :vocabulary], logits(network, inputs)[..., :vocabulary])
    assert (
        logits(network, inputs) - logits(tiny_model_with_room(name, processor), inputs)
    ).abs().max() > 1e-3


def tiny_model_with_room(name: str, processor: Any) -> nn.Module:
    """The model without adapter, which can read added tokens."""
    base, _ = tiny_model(name)
    base.resize_token_embeddings(len(processor.tokenizer))
    return base


@pytest.mark.parametrize("method", ["lora", "ia3", "bottleneck"])
@pytest.mark.parametrize("name", NAMES)
def test_parts_trained_whole_are_in_the_adapter(name: str, method: Any, tmp_path: Path) -> None:
    network, processor = written(name, AdapterConfig(method=method, also_train=("connector",)), tmp_path)
    opened = load_adapter(tiny_model(name)[0], tmp_path).eval()
    close(logits(opened, question(processor)), logits(network, question(processor)))


@pytest.mark.parametrize("method", [*PEFT_METHODS, "bottleneck"])
def test_loading_gives_the_model_its_adapter(method: Any, tmp_path: Path) -> None:
    config = AdapterConfig(method=method, virtual_tokens=3)
    network, processor = written("qwen2_5_vl", config, tmp_path)
    opened = load_adapter(tiny_model("qwen2_5_vl")[0], tmp_path).eval()
    inputs = question(processor, config)
    close(logits(opened, inputs), logits(network, inputs))


def test_a_loaded_adapters_tokens_are_never_written(tmp_path: Path) -> None:
    _, processor = written("internvl", AdapterConfig("prompt_tuning", virtual_tokens=2), tmp_path)
    model, _ = tiny_model("internvl")
    model.generation_config.suppress_tokens = [5]
    load_adapter(model, tmp_path)
    added = processor.tokenizer.convert_tokens_to_ids(["<virtual_0>", "<virtual_1>"])
    assert model.generation_config.suppress_tokens == [5, *added]


def test_the_base_is_opened_where_it_is_at_its_commit_and_in_its_precision(tmp_path: Path) -> None:
    network, _ = adapted("internvl", AdapterConfig())
    network.to(torch.bfloat16).get_base_model().config._commit_hash = "c0ffee"
    for place, opened, commit in (
        ("owner/name", "'owner/name',", "c0ffee"),
        # A base beside the adapter stays so where both are moved.
        (str(tmp_path / "base"), 'folder + "/../base",', None),
        (str(tmp_path / "far" / "base"), f"{str(tmp_path / 'far' / 'base')!r},", None),
    ):
        base = save_adapter(network, tmp_path / "adapter", base=place)
        settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
        assert base is not None and settings["base_model_name_or_path"] == place
        assert base.revision == settings["revision"] == commit
        readme = (tmp_path / "adapter" / "README.md").read_text()
        lines = [f"    {opened}", *([f"    revision={commit!r},"] if commit else []), "    dtype='bfloat16',"]
        assert "from_pretrained(\n" + "\n".join(lines) + "\n)" in readme


@pytest.mark.parametrize("method", [method for method in METHODS if method != "bottleneck"])
@pytest.mark.parametrize("name", NAMES)
def test_a_merged_model_is_one_of_transformers(name: str, method: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    config = AdapterConfig(method=method, virtual_tokens=3, also_train=also_train(method))
    network, processor = adapted(name, config)
    as_if_trained(network)
    save_adapter(network, tmp_path / "adapter", processor.tokenizer)
    inputs = question(processor, config)
    before = logits(network, inputs)
    merge(network, tmp_path / "adapter").save_pretrained(tmp_path / "merged")
    processor.save_pretrained(tmp_path / "merged")

    opened = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").eval()
    again = question(AutoProcessor.from_pretrained(tmp_path / "merged"), config)
    assert all(torch.equal(inputs[key], again[key]) for key in inputs)
    close(logits(opened, again), before)


def also_train(method: str) -> tuple[Any, ...]:
    return () if method == "prompt_tuning" else ("connector",)


def test_dora_over_4_bits_is_not_merged(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForImageTextToText

    parts = FAMILIES["internvl"].parts
    model, processor = tiny_model("internvl")
    model.save_pretrained(tmp_path / "base")
    config = AdapterConfig(method="dora", four_bit=True)
    model = AutoModelForImageTextToText.from_pretrained(
        tmp_path / "base", quantization_config=four_bit_config(config, parts), dtype=torch.float32
    )
    network = add_adapter(model, parts, config, processor.tokenizer).eval()
    with pytest.raises(AdapterError, match="DoRA over 4-bit"):
        merge(network, tmp_path / "adapter")


@pytest.mark.parametrize("method", ["lora", "ia3", "prompt_tuning"])
def test_a_merged_4_bit_model_answers_as_it_did_in_4_bits(method: Any, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForImageTextToText

    parts = FAMILIES["internvl"].parts
    model, processor = tiny_model("internvl")
    model.save_pretrained(tmp_path / "base")
    config = AdapterConfig(method=method, four_bit=True, virtual_tokens=3)
    model = AutoModelForImageTextToText.from_pretrained(
        tmp_path / "base", quantization_config=four_bit_config(config, parts), dtype=torch.float32
    )
    network = add_adapter(model, parts, config, processor.tokenizer).eval()
    as_if_trained(network)
    inputs = question(processor, config)
    before = logits(network, inputs)
    save_adapter(network, tmp_path / "adapter", processor.tokenizer)
    merge(network, tmp_path / "adapter").save_pretrained(tmp_path / "merged")

    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    opened = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").eval()
    # In 4 bits products are computed in bfloat16.
    difference = (logits(opened, inputs) - before).square().mean().sqrt()
    plain = logits(tiny_model_with_room("internvl", processor), inputs)
    assert difference < 0.1 * (plain - before).square().mean().sqrt()


def test_what_has_no_adapter_writes_none(tmp_path: Path) -> None:
    for method in ("none", "full"):
        network, processor = adapted("internvl", AdapterConfig(method=method))
        assert not save_adapter(network, tmp_path / "adapter", processor.tokenizer)
    assert not (tmp_path / "adapter").exists()


def test_a_temporary_folder_is_not_remembered_as_the_base_model(tmp_path: Path) -> None:
    network, _ = adapted("internvl", AdapterConfig())
    for remembered, kept in ((str(tmp_path / "gone"), ""), ("owner/model", "owner/model")):
        network.active_peft_config.base_model_name_or_path = remembered
        save_adapter(network, tmp_path / "adapter")
        settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
        assert settings["base_model_name_or_path"] == kept


def test_bottlenecks_cannot_be_merged(tmp_path: Path) -> None:
    network, _ = written("internvl", AdapterConfig(method="bottleneck"), tmp_path)
    with pytest.raises(AdapterError, match=r"cannot be merged.*leave MERGE out"):
        merge(network, tmp_path)


@pytest.mark.parametrize("method", [*PEFT_METHODS, "bottleneck"])
@pytest.mark.parametrize(
    "other",
    [
        ("internvl", TinySize(width=128, layers=2, vision_layers=2)),
        ("internvl", TinySize(width=64, layers=1, vision_layers=2)),
        ("smolvlm", TinySize(width=64, layers=2, vision_layers=2)),
    ],
)
def test_an_adapter_of_another_model_is_refused(
    method: Any, other: tuple[str, TinySize], tmp_path: Path
) -> None:
    name, size = other
    if method == "prompt_tuning" and size.width == 64 and name == "internvl":
        pytest.skip("the embeddings of added tokens know nothing of layers")
    written("internvl", AdapterConfig(method=method, virtual_tokens=3), tmp_path)
    with pytest.raises(ModelError, match=r"was trained in another model.*train a new"):
        load_adapter(make_tiny_model(name, size=size)[0], tmp_path)


def test_an_adapter_of_a_model_with_another_name_is_refused(tmp_path: Path) -> None:
    network, _ = adapted("internvl", AdapterConfig())
    save_adapter(network, tmp_path, base="owner/one")
    model, _ = tiny_model("internvl")
    model.name_or_path = "owner/two"
    with pytest.raises(AdapterError, match=r"another model \(owner/one\) than this one \(owner/two\)"):
        load_adapter(model, tmp_path)


def test_a_folder_without_adapter_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"holds no adapter: adapter_config\.json is missing"):
        load_adapter(tiny_model("internvl")[0], tmp_path)
