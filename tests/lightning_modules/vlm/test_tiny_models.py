from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.base import ModelError
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.image_inputs import prepare_image
from lightning_modules.vlm.loading import model_source
from lightning_modules.vlm.prompts import Turn
from lightning_modules.vlm.tiny_models import TINY_MODELS, TinySize, make_tiny_model
from lightning_modules.vlm.zoo import ZOO
from tests.helpers.model_fingerprint import fingerprint
from tests.helpers.sample_questions import SMALL, TINY_FAMILIES, noise_image, tiny_model

families = pytest.mark.parametrize("family", TINY_FAMILIES)

CODE = """
import sys
from tests.helpers.model_fingerprint import fingerprint
print(*(fingerprint(name) for name in sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_tiny_model_has_the_same_bits_in_every_process() -> None:
    other = subprocess.run([sys.executable, "-c", CODE, *TINY_FAMILIES], capture_output=True, text=True)
    assert other.stdout.split() == [fingerprint(name) for name in TINY_FAMILIES], other.stderr


@families
def test_a_tiny_model_follows_from_its_seed_and_leaves_random_numbers_alone(family: str) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, _ = make_tiny_model(family, 1, SMALL)
    assert torch.equal(torch.rand(3), expected)
    same, _ = make_tiny_model(family, 1, SMALL)
    other, _ = make_tiny_model(family, 2, SMALL)
    for (name, a), b in zip(first.state_dict().items(), same.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    differing = [not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True)]
    assert sum(differing) > len(differing) // 3


@families
def test_a_tiny_model_has_the_real_classes_parts_and_size(family: str) -> None:
    model, processor = make_tiny_model(family)
    real = {
        "idefics3": ("Idefics3ForConditionalGeneration", "Idefics3Processor"),
        "smolvlm": ("SmolVLMForConditionalGeneration", "SmolVLMProcessor"),
        "qwen2_5_vl": ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLProcessor"),
        "internvl": ("InternVLForConditionalGeneration", "InternVLProcessor"),
        "paligemma": ("PaliGemmaForConditionalGeneration", "PaliGemmaProcessor"),
    }
    assert (type(model).__name__, type(processor).__name__) == real[family]
    assert 1e6 < sum(parameter.numel() for parameter in model.parameters()) < 3e6
    parts = FAMILIES[family].parts
    inside = {part: {id(p) for p in model.get_submodule(path).parameters()} for part, path in parts.items()}
    assert all(inside.values())
    # Nothing but the head lies outside of the three parts.
    outside = {id(p): name for name, p in model.named_parameters()}
    for several in inside.values():
        outside = {key: name for key, name in outside.items() if key not in several}
    assert set(outside.values()) <= {"lm_head.weight"}
    assert not inside["language_model"] & inside["vision_tower"]


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([32, 64, 96]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([28, 56, 84]),
    st.sampled_from(TINY_FAMILIES),
)
def test_sizes_are_adjustable(
    width: int, layers: int, vision_layers: int, image_size: int, family: str
) -> None:
    size = TinySize(width, layers, vision_layers, heads=2, image_size=image_size)
    model, _ = make_tiny_model(family, size=size)
    text = model.config.get_text_config()
    assert (text.hidden_size, text.num_hidden_layers) == (width, layers)


def test_sizes_that_do_not_fit_and_families_without_tiny_model_are_refused() -> None:
    with pytest.raises(ModelError, match="width 100 cannot have 4 heads"):
        TinySize(width=100)
    with pytest.raises(ModelError, match="image_size of 100"):
        TinySize(image_size=100)
    with pytest.raises(ModelError, match="no tiny random model of 'llava'; there are some of idefics3"):
        make_tiny_model("llava")


@given(st.text(max_size=60))
def test_the_tokenizer_writes_every_text_back(text: str) -> None:
    _, processor, _ = tiny_model("qwen2_5_vl")
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert processor.tokenizer.decode(ids) == text


def test_words_of_the_questions_and_letters_are_single_tokens() -> None:
    _, processor, _ = tiny_model("smolvlm")
    tokenizer = processor.tokenizer
    for word in (" closer", " chair", " B", "B", "Which", " metres", "left", "7"):
        assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1, word
    assert 1000 < len(tokenizer) < 2000


@pytest.mark.parametrize("family", sorted(TINY_MODELS))
def test_a_tiny_model_is_built_as_the_real_ones_are(family: str) -> None:
    model, processor = make_tiny_model(family)
    text = model.config.get_text_config()
    assert text.num_attention_heads == 2 * text.num_key_value_heads
    layers = model.get_submodule(FAMILIES[family].parts["language_model"]).layers
    # Weights that are drawn as narrowly as those of wide models would hardly tell inputs apart.
    assert float(layers[0].self_attn.q_proj.weight.detach().std()) == pytest.approx(
        text.hidden_size**-0.5, rel=0.05
    )
    assert prepare_image(noise_image(0, 112, 112), processor, FAMILIES[family]).tokens == 16
    if family == "qwen2_5_vl":
        # The real one shares 64 channels out as 16, 24, 24, and has windows in most layers of its tower.
        assert text.rope_parameters["mrope_section"] == [4, 6, 6]
        assert model.config.vision_config.window_size == 4 * model.config.vision_config.patch_size
        assert model.config.vision_config.fullatt_block_indexes == [1, 3]
        small = prepare_image(noise_image(0, 28, 28), processor, FAMILIES[family])
        assert small.tokens == 9  # scaled up to half of the 16 tokens of its largest image


USER, ANSWERED = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
CHAT = f"How many?{ANSWERED}2<|im_end|>\n{USER}Where?{ANSWERED}"
SMOLVLM = (
    "How many?<end_of_utterance>\nAssistant: 2<end_of_utterance>\nUser: Where?<end_of_utterance>\nAssistant:"
)
WRITTEN = {
    "idefics3": (
        f"<|im_start|>User:<image>{SMOLVLM}",
        f"<|im_start|>System: Look.<end_of_utterance>\nUser:<image>{SMOLVLM}",
    ),
    "qwen2_5_vl": tuple(
        f"<|im_start|>system\n{system}<|im_end|>\n{USER}<|vision_start|><|image_pad|><|vision_end|>{CHAT}"
        for system in ("You are a helpful assistant.", "Look.")
    ),
    "internvl": tuple(
        f"{system}{USER}<IMG_CONTEXT>\n{CHAT}" for system in ("", "<|im_start|>system\nLook.<|im_end|>\n")
    ),
    "composed": tuple(
        f"{system}{USER}<image>\n{CHAT}" for system in ("", "<|im_start|>system\nLook.<|im_end|>\n")
    ),
    "paligemma": ("<image><bos>answer en How many?\n2\nanswer en Where?\n",),
}
"""A conversation as the published models write it, without and with words of the system."""


@pytest.mark.parametrize("family", WRITTEN)
def test_a_tiny_model_writes_conversations_as_the_published_ones_do(family: str) -> None:
    _, processor = make_tiny_model(family, size=SMALL)
    turns = [Turn((noise_image(0),), "How many?", "2"), Turn((), "Where?")]
    for system, text in zip(("", "Look."), WRITTEN[family], strict=False):
        assert Conversation(processor, FAMILIES[family], system=system).prompt(turns) == text


HUB = {
    "smolvlm_256m": ("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3"),
    "smolvlm_500m": ("HuggingFaceTB/SmolVLM-500M-Instruct", "idefics3"),
    "smolvlm_2b": ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm"),
    "qwen2_5_vl_3b": ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl"),
    "qwen2_5_vl_7b": ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl"),
    "internvl3_1b": ("OpenGVLab/InternVL3-1B-hf", "internvl"),
    "internvl3_2b": ("OpenGVLab/InternVL3-2B-hf", "internvl"),
    "paligemma2_3b": ("google/paligemma2-3b-mix-224", "paligemma"),
}


def test_every_model_of_the_zoo_is_the_one_of_its_name_on_the_hub() -> None:
    assert {name: (entry.hub, entry.family_name) for name, entry in ZOO.items()} == HUB
    assert {name: model_source(name).place for name in ZOO} == {name: hub for name, (hub, _) in HUB.items()}
    assert not any(entry.revision for entry in ZOO.values()) and str(model_source("smolvlm_2b@a1")).endswith(
        "Instruct@a1"
    )


def test_every_model_of_the_zoo_has_a_family_with_a_tiny_model() -> None:
    assert {entry.family_name for entry in ZOO.values()} == set(TINY_FAMILIES) <= set(TINY_MODELS)
    assert all(entry.name == name and entry.family for name, entry in ZOO.items())
