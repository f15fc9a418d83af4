"""The tap against eager attention's own maps, on tiny random models of the real classes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention.loss import AttentionDistillation, attention_distillation
from lightning_modules.distillation.attention.tap import TAP, AttentionTap, TappedLayer
from lightning_modules.vlm.adapters import AdapterConfig, add_adapter
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model

SIZE = TinySize(width=64, layers=3, vision_layers=2, heads=4)
NAMES = ("qwen2_5_vl", "smolvlm", "idefics3", "internvl")
HEADS, KEY_HEADS = 4, 2


@cache
def tiny_model(name: str) -> tuple[Any, Any]:
    """A tiny random model that no test changes."""
    return make_tiny_model(name, size=SIZE)


def path(name: str) -> str:
    return FAMILIES[name].parts["language_model"]


def inputs(name: str, with_images: bool = True, side: str = "right") -> dict[str, torch.Tensor]:
    """Two questions of different lengths, padded on a side, each with an image of its own shape or none."""
    processor = tiny_model(name)[1]
    placeholder = processor.image_token if with_images else ""
    texts = [f"{placeholder}How many?", f"{placeholder}Which of the chairs is closer to the camera?"]
    images = [[Image.linear_gradient("L").resize(shape).convert("RGB")] for shape in ((112, 112), (84, 112))]
    batch = processor(
        text=texts,
        images=images if with_images else None,
        padding=True,
        padding_side=side,
        return_tensors="pt",
    )
    return {key: tensor for key, tensor in batch.items() if isinstance(tensor, torch.Tensor)}


@contextmanager
def attention(model: Any, implementation: str) -> Iterator[None]:
    """The model with another attention, for the time of the block."""
    model.set_attn_implementation(implementation)
    try:
        yield
    finally:
        model.set_attn_implementation("sdpa")


def assert_eager_maps(layers: Sequence[TappedLayer], attentions: Sequence[Tensor], real: Tensor) -> None:
    """Rows of real queries are those that eager attention says."""
    for layer in layers:
        difference = (layer.maps() - attentions[layer.number].float()).abs()
        assert difference.transpose(1, 2)[real].max() < 1e-5
        assert attentions[layer.number].transpose(1, 2)[real].std() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("with_images", [False, True], ids=["text", "images"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_maps_are_those_of_eager_attention_and_logits_do_not_change(
    name: str, with_images: bool, side: str
) -> None:
    model, _ = tiny_model(name)
    batch = inputs(name, with_images, side)
    real = batch["attention_mask"].bool()
    assert not real.all()
    untouched = model(**batch).logits
    with AttentionTap(model, path(name), [2, 0]) as tap:
        tapped = model(**batch).logits
    layers = tap.take()
    assert torch.equal(tapped, untouched)
    assert torch.equal(model(**batch).logits, untouched)
    assert [layer.number for layer in layers] == [0, 2]
    with attention(model, "eager"):
        assert_eager_maps(layers, model(**batch, output_attentions=True).attentions, real)
    tokens = real.shape[1]
    for layer in layers:
        assert layer.queries.shape == (2, HEADS, tokens, 16)
        assert layer.keys.shape == (2, KEY_HEADS, tokens, 16)


@pytest.mark.parametrize("name", NAMES)
def test_the_vision_tower_keeps_its_attention(name: str) -> None:
    model, _ = tiny_model(name)
    tower = model.get_submodule(FAMILIES[name].parts["vision_tower"])
    with AttentionTap(model, path(name), [0, 1, 2]):
        assert model.get_submodule(path(name)).config._attn_implementation == TAP
        assert tower.config._attn_implementation == "sdpa"
    assert model.get_submodule(path(name)).config._attn_implementation == "sdpa"


@torch.no_grad()
def test_without_padding_causality_alone_makes_the_maps() -> None:
    model, _ = tiny_model("internvl")
    batch = {key: tensor[1:] for key, tensor in inputs("internvl").items()}
    with AttentionTap(model, path("internvl"), [1]) as tap:
        model(**batch)
    layers = tap.take()
    assert layers[0].mask is None
    with attention(model, "eager"):
        attentions = model(**batch, output_attentions=True).attentions
    assert_eager_maps(layers, attentions, batch["attention_mask"].bool())


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_sliding_windows_are_seen_by_the_layers_that_have_them(side: str) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=50, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, use_sliding_window=True, sliding_window=3, max_window_layers=1,
        )
    ).eval()  # fmt: skip
    ids = torch.randint(50, (2, 10))
    real = torch.ones(2, 10, dtype=torch.bool)
    real[0, slice(0, 4) if side == "left" else slice(6, 10)] = False
    with AttentionTap(model, "", [0, 1]) as tap:
        model(input_ids=ids, attention_mask=real.long())
    layers = tap.take()
    assert layers[1].visible(slice(1, 2), slice(9, 10), slice(0, 10)).sum() == 3
    assert layers[0].visible(slice(1, 2), slice(9, 10), slice(0, 10)).sum() == 10
    with attention(model, "eager"):
        attentions = model(input_ids=ids, attention_mask=real.long(), output_attentions=True).attentions
    assert_eager_maps(layers, attentions, real)


def distilled(
    model: Any, name: str, batch: dict[str, Tensor], backward_inside: bool = False
) -> tuple[float, dict[str, Tensor]]:
    """Attention loss against fixed maps of another tiny model, and gradients of the trained parameters."""
    teacher, _ = make_tiny_model(name, seed=5, size=SIZE)
    real = batch["attention_mask"].bool()
    pairs = [(0, 1), (2, 2)]
    with torch.no_grad(), AttentionTap(teacher, path(name), [1, 2]) as tap:
        teacher(**batch)
    wanted = tap.take()
    model.zero_grad()
    with AttentionTap(model, path(name), [0, 2]) as tap:
        model(**batch)
        layers = tap.take()
        loss = attention_distillation(layers, wanted, pairs, real, real, AttentionDistillation(chunk=7))
        if backward_inside:
            loss.backward()
            with pytest.raises(ModelError, match="not seen"):
                tap.take()
    if not backward_inside:
        loss.backward()
    return loss.item(), {key: part.grad for key, part in model.named_parameters() if part.grad is not None}


@pytest.mark.parametrize("name", ["qwen2_5_vl", "smolvlm", "internvl"])
def test_an_adapted_student_learns_the_same_under_activation_checkpointing(name: str) -> None:
    batch = inputs(name, side="left")

    def student() -> Any:
        torch.manual_seed(0)
        model, processor = make_tiny_model(name, size=SIZE)
        adapted = add_adapter(model, FAMILIES[name].parts, AdapterConfig("lora"), processor.tokenizer)
        return adapted.train()

    loss, wanted = distilled(student(), name, batch)
    assert wanted
    assert sum(float(part.abs().sum()) for part in wanted.values()) > 0
    for backward_inside in (False, True):
        model = student()
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
        again, made = distilled(model, name, batch, backward_inside)
        assert again == pytest.approx(loss, rel=1e-6)
        assert made.keys() == wanted.keys()
        for key, part in wanted.items():
            assert torch.allclose(made[key], part, rtol=1e-4, atol=1e-7), key


def test_checkpoints_that_would_lose_the_gradient_are_refused() -> None:
    model, _ = make_tiny_model("smolvlm", size=SIZE)
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with (
        pytest.raises(ModelError, match="use_reentrant: false"),
        AttentionTap(model.train(), path("smolvlm"), [0]),
    ):
        pass
    with AttentionTap(model.eval(), path("smolvlm"), [0]):
        pass


@torch.no_grad()
def test_nothing_is_left_from_one_batch_to_the_next() -> None:
    model, _ = tiny_model("smolvlm")
    batch = inputs("smolvlm")
    tap = AttentionTap(model, path("smolvlm"), [0])
    with tap:
        model(**batch)
        first = tap.take()
        with pytest.raises(ModelError, match="not seen"):
            tap.take()
        model(**batch)
        model(**{key: tensor[1:] for key, tensor in batch.items()})
        assert len(tap.take()[0].queries) == 1
        model(**batch)
    with tap, pytest.raises(ModelError, match="not seen"):
        tap.take()
    model(**batch)
    with pytest.raises(ModelError, match="not seen"):
        tap.take()
    left = weakref.ref(first[0].queries)
    del first
    gc.collect()
    assert left() is None


@torch.no_grad()
def test_a_failed_pass_leaves_neither_maps_nor_a_tapped_model() -> None:
    model, _ = tiny_model("smolvlm")
    batch = inputs("smolvlm")
    tap = AttentionTap(model, path("smolvlm"), [0])

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    hook = model.get_submodule(path("smolvlm")).layers[2].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="planted"), tap:
        model(**batch)
    hook.remove()
    with pytest.raises(ModelError, match="not seen"):
        tap.take()
    assert model.get_submodule(path("smolvlm")).config._attn_implementation == "sdpa"
    with tap:
        model(**batch)
    assert len(tap.take()) == 1


@torch.no_grad()
def test_student_and_teacher_are_tapped_side_by_side() -> None:
    student, _ = make_tiny_model("smolvlm", seed=1, size=SIZE)
    teacher, _ = tiny_model("smolvlm")
    batch = inputs("smolvlm")
    with (
        AttentionTap(teacher, path("smolvlm"), [1]) as first,
        AttentionTap(student, path("smolvlm"), [2]) as second,
    ):
        teacher(**batch)
        student(**batch)
    theirs, ours = first.take(), second.take()
    assert (theirs[0].number, ours[0].number) == (1, 2)
    assert not torch.equal(theirs[0].queries, ours[0].queries)


def test_a_model_is_not_tapped_twice() -> None:
    model, _ = tiny_model("smolvlm")
    with (
        AttentionTap(model, path("smolvlm"), [0]),
        pytest.raises(ModelError, match="tapped twice"),
        AttentionTap(model, path("smolvlm"), [0]),
    ):
        pass
    assert model.get_submodule(path("smolvlm")).config._attn_implementation == "sdpa"


def test_a_family_without_sdpa_has_no_tap() -> None:
    model, _ = make_tiny_model("paligemma", size=SIZE)
    with (
        pytest.raises(ModelError, match=r"Gemma2Model cannot be tapped.*'eager'.*distil the logits"),
        AttentionTap(model, path("paligemma"), [0]),
    ):
        pass


def test_what_is_no_language_model_has_no_tap() -> None:
    with pytest.raises(ModelError, match="no language model of transformers"):
        AttentionTap(torch.nn.Sequential(torch.nn.Linear(2, 2)), "0", [0])


def test_a_layer_that_calls_no_attention_function_is_noticed() -> None:
    model, _ = make_tiny_model("smolvlm", size=SIZE)
    language_model = model.get_submodule(path("smolvlm"))
    attention_module = language_model.layers[1].self_attn
    attention_module.forward = lambda hidden_states, **_: (hidden_states, None)
    with torch.no_grad(), AttentionTap(model, path("smolvlm"), [0, 1]) as tap:
        model(**inputs("smolvlm"))
    with pytest.raises(ModelError, match="layer 1 was not seen"):
        tap.take()


def test_layers_out_of_range_and_cached_tokens_are_refused() -> None:
    model, _ = tiny_model("smolvlm")
    with pytest.raises(ModelError, match="Layer 3 shall be tapped, but LlamaModel has 3 layers, 0 to 2"):
        AttentionTap(model, path("smolvlm"), [0, 3])
    ids = torch.randint(50, 100, (1, 6))
    with torch.no_grad():
        cached = model(input_ids=ids, use_cache=True).past_key_values
        with (
            pytest.raises(ModelError, match="2 tokens after 6 cached ones"),
            AttentionTap(model, path("smolvlm"), [0]),
        ):
            model(input_ids=ids[:, :2], past_key_values=cached)
