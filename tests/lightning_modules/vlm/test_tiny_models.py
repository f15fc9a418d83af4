from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.base import ModelError
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.tiny_models import TINY_MODELS, TinySize, make_tiny_model
from lightning_modules.vlm.zoo import ZOO
from tests.helpers.model_fingerprint import fingerprint
from tests.helpers.sample_questions import SMALL, TINY_FAMILIES, tiny_model

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


def test_every_model_of_the_zoo_has_a_family_with_a_tiny_model() -> None:
    assert {entry.family_name for entry in ZOO.values()} == set(TINY_FAMILIES) <= set(TINY_MODELS)
    assert all(entry.name == name and entry.family for name, entry in ZOO.items())
