"""What each adapter computes, by its published formula, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.placement import Placement, placed
from lightning_modules.vlm import prompt_tuning
from lightning_modules.vlm.adapters import AdapterConfig, four_bit_config, method_of
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.prompt_tuning import make_room, start_values, suppress
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.target_modules import require_layers
from tests.helpers.sample_questions import SMALL
from tests.helpers.small_models import METHODS, adapted, as_if_trained, tiny_model

RANK, ALPHA, WIDTH = 3, 5.0, 7
LAYERS = "model.language_model.layers.0."


def computed(
    method: str, layer: str, tensors: Mapping[str, Tensor], weight: Tensor, bias: Any, x: Tensor
) -> Any:
    """What a layer with this adapter gives, written out."""
    y = x @ weight.T + bias
    if method == "ia3":
        # Inside a feed-forward block what comes in is rescaled, in an attention what goes out.
        scale = tensors["ia3_l.default"].flatten()
        return (x * scale) @ weight.T + bias if layer == "mlp.down_proj" else y * scale
    if method == "bottleneck":
        inner = y @ tensors["bottleneck.down.weight"].T + tensors["bottleneck.down.bias"]
        assert inner.shape[-1] == WIDTH
        inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        return y + inner @ tensors["bottleneck.up.weight"].T + tensors["bottleneck.up.bias"]
    a, b = (tensors[f"lora_{side}.default.weight"] for side in "AB")
    assert len(a) == RANK
    changed = weight + (ALPHA / RANK**0.5 if method == "rslora" else ALPHA / RANK) * b @ a
    if method == "dora":
        magnitude = tensors["lora_magnitude_vector.default.weight"]
        changed = magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True)
    return x @ changed.T + bias


@pytest.mark.parametrize("layer", ["self_attn.o_proj", "mlp.down_proj", "self_attn.v_proj"])
@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "ia3", "bottleneck"])
def test_an_adapter_computes_its_published_formula(method: Any, layer: str) -> None:
    if method == "bottleneck" and layer == "self_attn.v_proj":
        pytest.skip("a bottleneck stands behind what closes a block")
    words: Any = ["attention", "feed_forward"]
    config = AdapterConfig(method, RANK, ALPHA, target_modules=words, bottleneck_width=WIDTH)
    network, _ = adapted("internvl", config)
    as_if_trained(network)
    module = network.get_submodule(("" if method == "bottleneck" else "base_model.model.") + LAYERS + layer)
    plain: Any = tiny_model("internvl")[0].get_submodule(LAYERS + layer)
    x = torch.randn(2, 5, plain.in_features, generator=torch.Generator().manual_seed(0))
    bias = 0 if plain.bias is None else plain.bias
    with torch.no_grad():
        expected = computed(method, layer, dict(module.named_parameters()), plain.weight, bias, x)
        torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-4)
        assert (module(x) - plain(x)).abs().max() > 1e-2


@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "bottleneck"])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_an_adapter_drops_the_share_that_is_asked_for_while_it_trains(method: Any, dropout: float) -> None:
    network, _ = adapted("internvl", AdapterConfig(method, dropout=dropout))
    as_if_trained(network)
    module = network.get_submodule(
        ("" if method == "bottleneck" else "base_model.model.") + LAYERS + "self_attn.o_proj"
    ).train()
    x = torch.ones(1, 64)
    assert torch.equal(module(x), module(x)) == (not dropout)
    assert {layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)} <= {dropout}
    module.eval()
    assert torch.equal(module(x), module(x))


@pytest.mark.parametrize("method", METHODS)
def test_the_method_of_a_model_can_be_told(method: Any) -> None:
    network, _ = adapted("internvl", AdapterConfig(method, virtual_tokens=2))
    assert method_of(network) == ("partly" if method == "full" else method)


def test_the_defaults_are_those_of_the_published_recipes() -> None:
    assert asdict(AdapterConfig()) == {
        **{"method": "lora", "rank": 16, "alpha": 32, "dropout": 0.05, "four_bit": False},
        **{"parts": ("language_model",), "target_modules": None, "also_train": ()},
        **{"virtual_tokens": 20, "bottleneck_width": 64},
    }


SIGLIP = ("self_attn.{q_proj,k_proj,v_proj,out_proj}", "mlp.{fc1,fc2}")
LLAMA = ("self_attn.{q_proj,k_proj,v_proj,o_proj}", "mlp.{gate_proj,up_proj,down_proj}")
# Written down from the models' own listings; the last layer of a block closes it.
BLOCKS: dict[str, dict[str, tuple[str, str, str]]] = {
    "smolvlm": {
        "vision_tower": ("model.vision_model.encoder.layers", *SIGLIP),
        "language_model": ("model.text_model.layers", *LLAMA),
    },
    "qwen2_5_vl": {
        "vision_tower": ("model.visual.blocks", "attn.{qkv,proj}", LLAMA[1]),
        "language_model": ("model.language_model.layers", *LLAMA),
    },
    "internvl": {
        "vision_tower": (
            *("model.vision_tower.encoder.layer", "attention.{q_proj,k_proj,v_proj,projection_layer}"),
            SIGLIP[1],
        ),
        "language_model": ("model.language_model.layers", *LLAMA),
    },
    "paligemma": {
        "vision_tower": ("model.vision_tower.encoder.layers", *SIGLIP),
        "language_model": ("model.language_model.layers", *LLAMA),
    },
    "composed": {
        "vision_tower": ("vision_tower.network.blocks", "attn.{qkv,proj}", SIGLIP[1]),
        "language_model": ("language_model.model.layers", *LLAMA),
    },
}


@pytest.mark.parametrize(("name", "part"), [(name, part) for name in BLOCKS for part in BLOCKS[name]])
def test_words_mean_the_layers_that_they_say(name: str, part: Any) -> None:
    model, parts = tiny_model(name)[0], FAMILIES[name].parts
    path, *patterns = BLOCKS[name][part]
    attention, feed_forward = (
        [f"{before}{layer}" for layer in names.rstrip("}").split(",")]
        for before, _, names in (pattern.partition("{") for pattern in patterns)
    )
    named: dict[Any, list[str]] = {"attention": attention, "feed_forward": feed_forward}
    for word, letters in (("query_value", "qv"), ("key_value", "kv")):
        named[word] = [layer for layer in attention if layer[-6:] in [f"{letter}_proj" for letter in letters]]
    for word, wanted in ((word, wanted) for word, wanted in named.items() if wanted):
        found = require_layers(model, parts, [part], [word])
        depth = sum(path == layer.name.rsplit(".", 3)[0] for layer in found) // len(wanted)
        assert depth > 0
        expected = {f"{path}.{block}.{layer}" for block in range(depth) for layer in wanted}
        assert {layer.name for layer in found} == expected, word
    closing = [
        layer.name.rsplit(".", 2)[-2:]
        for layer in require_layers(model, parts, [part], ["attention", "feed_forward"])
        if layer.role == "output"
    ]
    assert {".".join(names) for names in closing} == {attention[-1], feed_forward[-1]}
    assert len(closing) == 2 * depth


def test_products_of_weights_in_4_bits_are_as_precise_as_the_run() -> None:
    pytest.importorskip("bitsandbytes")
    for precision, dtype in (("16-mixed", torch.float16), ("bf16-mixed", torch.bfloat16)):
        with placed(Placement.of("cpu", precision)):
            module = PeftSft("internvl", True, AdapterConfig(four_bit=True), tiny_size=SMALL)
        assert module.vlm.model.config.quantization_config.bnb_4bit_compute_dtype == dtype
    assert four_bit_config(AdapterConfig(), {}) is None


def test_added_rows_hold_the_mean_of_the_others_and_stay_out_of_answers() -> None:
    model, processor = tiny_model("smolvlm")
    before = [table.weight.clone() for table in (model.get_input_embeddings(), model.get_output_embeddings())]
    make_room(model, len(processor.tokenizer) + 2)
    for old, table in zip(before, (model.get_input_embeddings(), model.get_output_embeddings()), strict=True):
        torch.testing.assert_close(table.weight[len(old) :], old.mean(0).expand(2, -1))
    for tokens in ([9], [8, 7]):
        suppress(model, tokens)
    assert model.generation_config.suppress_tokens == [7, 8, 9]


def test_added_tokens_begin_as_frequent_words_and_never_as_special_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A vocabulary lists its frequent tokens first; each row of this table is its own number."""
    model, processor = tiny_model("smolvlm")
    tokenizer = processor.tokenizer
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.arange(len(tokenizer))[:, None])
    special = {token for token in range(len(tokenizer)) if tokenizer.decode([token], True) == ""}
    words = [token for token in range(len(tokenizer)) if token not in special]
    assert special and set(start_values(model, tokenizer, len(words))[:, 0].int().tolist()) == set(words)
    monkeypatch.setattr(prompt_tuning, "COMMON_TOKENS", 30)
    assert set(start_values(model, tokenizer, 30)[:, 0].int().tolist()) == set(words[:30])
