"""What is trained is what was asked for, a fresh adapter changes nothing, and checkpoints hold all of it."""

from __future__ import annotations

import importlib.util
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.base import ModelError
from lightning_modules.checkpoints import CheckpointError, keep_trainable, require_trainable
from lightning_modules.vlm.adapters import (
    AdapterConfig,
    AdapterError,
    add_adapter,
    describe_trainable,
    four_bit_config,
    prompt_tokens,
)
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.target_modules import layers_of
from tests.helpers.small_models import (
    METHODS,
    NAMES,
    adapted,
    as_if_trained,
    logits,
    question,
    tiny_model,
    trained,
)

LANGUAGE_MODEL = {"smolvlm": "model.text_model"}
PEFT = "base_model.model."

# Written down from the models' own listings, as an answer independent of the code.
CONNECTOR_LINEAR = {
    "smolvlm": "model.connector.modality_projection.{proj}",
    "qwen2_5_vl": "model.visual.merger.mlp.{0,2}",
    "internvl": "model.multi_modal_projector.{linear_1,linear_2}",
    "paligemma": "model.multi_modal_projector.{linear}",
}


def spread(pattern: str) -> set[str]:
    """`a.{b,c}` as `a.b` and `a.c`."""
    before, _, names = pattern.partition("{")
    return {before + name for name in names.rstrip("}").split(",")}


def language_layers(name: str, pattern: str) -> set[str]:
    """A pattern's layers in both decoder layers."""
    path = LANGUAGE_MODEL.get(name, "model.language_model")
    return set().union(*(spread(f"{path}.layers.{layer}.{pattern}") for layer in range(2)))


def expected(name: str, method: str, model: nn.Module) -> set[str]:
    """The trained parameters of a method with its usual layers in the language model."""
    attention = language_layers(name, "self_attn.{q_proj,k_proj,v_proj,o_proj}")
    low_rank = {f"{PEFT}{layer}.lora_{side}.default.weight" for layer in attention for side in "AB"}
    if method in ("lora", "rslora"):
        return low_rank
    if method == "dora":
        magnitude = {f"{PEFT}{layer}.lora_magnitude_vector.default.weight" for layer in attention}
        return low_rank | magnitude
    if method == "ia3":
        layers = language_layers(name, "self_attn.{k_proj,v_proj}") | language_layers(name, "mlp.{down_proj}")
        return {f"{PEFT}{layer}.ia3_l.default" for layer in layers}
    if method == "bottleneck":
        layers = language_layers(name, "self_attn.{o_proj}") | language_layers(name, "mlp.{down_proj}")
        ends = [".".join(end) for end in itertools.product(("down", "up"), ("weight", "bias"))]
        return {f"{layer}.bottleneck.{end}" for layer in layers for end in ends}
    path = LANGUAGE_MODEL.get(name, "model.language_model")
    if method == "prompt_tuning":
        return {f"{PEFT}{path}.embed_tokens.trainable_tokens_delta.default"}
    return {other for other, _ in model.named_parameters() if other.startswith((path, "lm_head"))}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_exactly_what_was_asked_for_is_trained(name: str, method: Any) -> None:
    network, _ = adapted(name, AdapterConfig(method=method))
    assert set(trained(network)) == expected(name, method, tiny_model(name)[0])


@pytest.mark.parametrize("name", NAMES)
def test_words_are_resolved_in_the_connector(name: str) -> None:
    network, _ = adapted(name, AdapterConfig(parts=("connector",), target_modules=["all_linear"]))
    layers = spread(CONNECTOR_LINEAR[name])
    assert set(trained(network)) == {
        f"{PEFT}{layer}.lora_{side}.default.weight" for layer in layers for side in "AB"
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_linear_layer_is_in_one_part_and_the_output_head_in_none(name: str) -> None:
    model, _ = tiny_model(name)
    parts = FAMILIES[name].parts
    listed = [layer.name for part in parts for layer in layers_of(model, parts, part)]
    linear = [other for other, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert sorted(listed) == sorted(set(linear) - {"lm_head"})


@pytest.mark.parametrize("method", ["lora", "ia3", "bottleneck", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_trained_whole_beside_the_adapter(name: str, method: Any) -> None:
    config = AdapterConfig(method=method, also_train=("connector",))
    network, _ = adapted(name, config)
    connector = FAMILIES[name].parts["connector"]
    model, _ = tiny_model(name)
    whole = {other for other, _ in model.named_parameters() if other.startswith(f"{connector}.")}
    if method in ("lora", "ia3"):
        whole = {
            PEFT + other.replace(connector, f"{connector}.modules_to_save.default", 1) for other in whole
        }
    assert set(trained(network)) == whole | expected(name, method, model)


def test_a_part_within_another_is_not_trained_with_it() -> None:
    """The connector of Qwen2.5-VL lies within its vision tower."""
    network, _ = adapted("qwen2_5_vl", AdapterConfig(also_train=("vision_tower",)))
    whole = [name for name in trained(network) if "modules_to_save" in name]
    assert whole and not any("merger" in name for name in whole)

    network, _ = adapted("qwen2_5_vl", AdapterConfig(also_train=("vision_tower", "connector")))
    assert any("merger" in name for name in trained(network))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_adapter_changes_nothing(name: str, method: Any) -> None:
    model, processor = tiny_model(name)
    before = logits(model, question(processor))
    network, processor = adapted(name, AdapterConfig(method=method, virtual_tokens=3))
    after = logits(network, question(processor))
    torch.testing.assert_close(after[..., : before.shape[-1]], before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_all_that_is_trained_and_nothing_else(name: str, method: Any) -> None:
    config = AdapterConfig(method=method, parts=("language_model",), virtual_tokens=3, dropout=0.0)
    network, processor = adapted(name, config)
    as_if_trained(
        network
    )  # the second matrix of LoRA begins at zero, and would hide the first one's gradient
    inputs = question(processor, config)
    network(**inputs, labels=inputs["input_ids"]).loss.backward()
    for other, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, other
        else:
            assert parameter.grad is None, other


@pytest.mark.parametrize("also_train", [(), ("connector",)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_trained_tensors_restores_the_model(
    name: str, method: Any, also_train: tuple[Any, ...]
) -> None:
    if method == "prompt_tuning" and also_train:
        pytest.skip("prompt tuning trains nothing else")
    config = AdapterConfig(method=method, also_train=also_train, virtual_tokens=3)
    network, processor = adapted(name, config)
    fresh = logits(network, question(processor, config))
    as_if_trained(network)
    file = io.BytesIO()
    torch.save(keep_trainable(network, network.state_dict()), file)
    file.seek(0)

    again, processor = adapted(name, config)
    state = torch.load(file, weights_only=True)
    require_trainable(again, state)
    again.load_state_dict(state, strict=False)
    inputs = question(processor, config)
    assert torch.equal(logits(again, inputs), logits(network, inputs))
    assert (logits(again, inputs) - fresh).abs().max() > 1e-3
    if method == "prompt_tuning":
        with pytest.raises(CheckpointError):
            require_trainable(again, {})


@pytest.mark.parametrize("name", ["internvl", "smolvlm"])
def test_added_tokens_reach_a_tied_output_head_but_no_answer(name: str) -> None:
    """InternVL's token table is also its output head; SmolVLM's is not."""
    config = AdapterConfig(method="prompt_tuning", virtual_tokens=3)
    network, processor = adapted(name, config)
    ids = processor.tokenizer.convert_tokens_to_ids(prompt_tokens(config))
    inputs = question(processor, config)
    assert set(ids) <= set(inputs["input_ids"][0].tolist())
    with torch.no_grad():
        for head in {network.get_base_model().get_output_embeddings()}:
            getattr(head, "base_layer", head).weight[ids] = 50.0
        for parameter in trained(network).values():
            parameter.fill_(50.0)
    answer = network.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert not set(ids) & set(answer.tolist())
    text = processor.tokenizer.decode(inputs["input_ids"][0], skip_special_tokens=True)
    assert "virtual" not in text


def test_prompt_tuning_starts_from_words_and_repeats_itself() -> None:
    config = AdapterConfig(method="prompt_tuning", virtual_tokens=5)
    first, second = (next(iter(trained(adapted("internvl", config)[0]).values())) for _ in range(2))
    assert torch.equal(first, second)
    table = tiny_model("internvl")[0].get_input_embeddings().weight
    assert all((table == row).all(-1).any() for row in first)
    assert len(first.unique(dim=0)) == 5


def test_no_random_number_is_drawn_for_the_added_tokens() -> None:
    torch.manual_seed(3)
    model, processor = tiny_model("smolvlm")
    state = torch.get_rng_state()
    config = AdapterConfig(method="prompt_tuning")
    add_adapter(model, FAMILIES["smolvlm"].parts, config, processor.tokenizer)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_table_says_what_is_trained_and_how() -> None:
    parts = FAMILIES["qwen2_5_vl"].parts
    network, _ = adapted("qwen2_5_vl", AdapterConfig(also_train=("connector",)))
    total = sum(parameter.numel() for parameter in tiny_model("qwen2_5_vl")[0].parameters())
    adapter = sum(p.numel() for n, p in trained(network).items() if "lora" in n)
    rows = {line.split()[0]: line.split() for line in describe_trainable(network, parts).splitlines()}
    assert rows["language_model"][-1] == "lora" and rows["language_model"][2] == f"{adapter:,}"
    assert rows["vision_tower"][-1] == "frozen" and rows["vision_tower"][2] == "0"
    assert rows["connector"][-1] == "whole" and rows["connector"][3] == "100.00"
    assert rows["all"][1] == f"{total + adapter:,}"


@pytest.mark.parametrize("dtype", [torch.bfloat16])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "full"])
def test_what_is_trained_is_held_in_float32(method: Any, dtype: torch.dtype) -> None:
    model, processor = tiny_model("internvl")
    config = AdapterConfig(method=method)
    network = add_adapter(model.to(dtype), FAMILIES["internvl"].parts, config, processor.tokenizer)
    assert {parameter.dtype for parameter in trained(network).values()} == {torch.float32}
    inputs = question(processor)
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    assert logits(network, inputs).isfinite().all()


# SmolVLM-500M-Instruct, as its config.json gives it.
SMOLVLM_500M: dict[str, Any] = {
    "scale_factor": 4,
    "text_config": {
        "model_type": "llama",
        "hidden_size": 960,
        "intermediate_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
        "head_dim": 64,
        "vocab_size": 49280,
    },
    "vision_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    },
}


def test_a_checkpoint_is_a_fiftieth_of_the_model_at_most() -> None:
    """The published SmolVLM recipe, at full size without memory; Adam keeps two more values of each."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    with torch.device("meta"):
        model = Idefics3ForConditionalGeneration(Idefics3Config(**SMOLVLM_500M))
        size = sum(parameter.numel() for parameter in model.parameters())
        network = add_adapter(model, FAMILIES["idefics3"].parts, AdapterConfig(rank=16, alpha=32))
    assert size == pytest.approx(507e6, rel=0.01)
    kept = keep_trainable(network, network.state_dict())
    assert sum(tensor.numel() for tensor in kept.values()) == 32 * 16 * (2 * 1920 + 2 * 1280)
    in_file = sum(tensor.numel() * tensor.element_size() for tensor in kept.values())
    assert in_file < 0.02 * size * 2  # beside a model in bfloat16
    assert 3 * sum(tensor.numel() for tensor in kept.values()) < 0.02 * size


@pytest.fixture(scope="module")
def folder_of_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random_weights")
    tiny_model("qwen2_5_vl")[0].save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("method", "autocast"),
    [*itertools.product(("lora", "dora", "bottleneck", "prompt_tuning"), (False, True)), ("ia3", True)],
)
def test_nf4_trains_on_a_processor(folder_of_tiny_model: Path, method: Any, autocast: bool) -> None:
    """With and without autocast, which peft's IA3 needs in front of a model in bfloat16."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForImageTextToText

    parts = FAMILIES["qwen2_5_vl"].parts
    config = AdapterConfig(method=method, four_bit=True, virtual_tokens=3, dropout=0.0)
    model = AutoModelForImageTextToText.from_pretrained(
        folder_of_tiny_model, quantization_config=four_bit_config(config, parts), dtype=torch.bfloat16
    )
    packed = {
        name for name, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)
    }
    linear = {
        name for name, module in tiny_model("qwen2_5_vl")[0].named_modules() if isinstance(module, nn.Linear)
    }
    assert packed == {name for name in linear if "merger" not in name and name != "lm_head"}
    weight: Any = model.get_submodule(min(packed)).weight
    assert weight.quant_type == "nf4" and weight.quant_state.nested

    _, processor = tiny_model("qwen2_5_vl")
    network = add_adapter(model, parts, config, processor.tokenizer)
    as_if_trained(network)
    inputs = question(processor, config)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        network(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained(network).values())
    total = sum(parameter.numel() for parameter in tiny_model("qwen2_5_vl")[0].parameters())
    listed = int(describe_trainable(network, parts).splitlines()[-1].split()[1].replace(",", ""))
    added = sum(parameter.numel() for parameter in trained(network).values())
    room = 3 * 64 if method == "prompt_tuning" else 0
    assert listed == total + added + room


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"parts": ()}, "parts is empty"),
        ({"target_modules": []}, "target_modules is empty"),
        ({"method": "full", "four_bit": True}, "4 bits cannot be trained"),
        ({"method": "none", "also_train": ("connector",)}, "trains nothing"),
        ({"method": "full", "target_modules": ["attention"]}, "leave target_modules out"),
        ({"method": "prompt_tuning", "also_train": ("connector",)}, "embeddings alone"),
        ({"parts": ("connector",), "also_train": ("connector",)}, "stands in parts and in also_train"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(AdapterError, match=words):
        AdapterConfig(**settings)


def test_words_that_mean_nothing_name_what_exists() -> None:
    with pytest.raises(ModelError, match=r"query_value.*vision_tower.*proj, qkv.*attention, feed_forward"):
        adapted("qwen2_5_vl", AdapterConfig(parts=("vision_tower",), target_modules=["query_value"]))
    with pytest.raises(ModelError, match=r"connector.*linear_1, linear_2.*you can say all_linear"):
        adapted("internvl", AdapterConfig(parts=("language_model", "connector")))
    with pytest.raises(ModelError, match="closes a block"):
        adapted("internvl", AdapterConfig(method="bottleneck", target_modules=["query_value"]))
    with pytest.raises(ModelError, match="one part lies within the other"):
        adapted(
            "qwen2_5_vl",
            AdapterConfig(parts=("connector",), target_modules=["all_linear"], also_train=("vision_tower",)),
        )
    model, _ = tiny_model("internvl")
    with pytest.raises(ModelError, match="has no vision_tower; it has language_model"):
        add_adapter(model, {"language_model": "model.language_model"}, AdapterConfig(parts=("vision_tower",)))


def test_prompt_tuning_needs_a_tokenizer_and_ordinary_tokens() -> None:
    model, processor = tiny_model("internvl")
    parts = FAMILIES["internvl"].parts
    with pytest.raises(AdapterError, match="tokenizer"):
        add_adapter(model, parts, AdapterConfig(method="prompt_tuning"))
    with pytest.raises(ModelError, match="virtual_tokens is 9999"):
        many = AdapterConfig(method="prompt_tuning", virtual_tokens=9999)
        add_adapter(model, parts, many, processor.tokenizer)


def test_nf4_without_bitsandbytes_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    parts = FAMILIES["internvl"].parts
    with pytest.raises(AdapterError, match=r"needs the package bitsandbytes: install it with"):
        four_bit_config(AdapterConfig(four_bit=True), parts)
    assert four_bit_config(AdapterConfig(), parts) is None
