"""Ranking equals scoring every candidate in full, alone and without a cache."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from PIL import Image
from torch import Tensor

from datamodules.samples import OpenedImage, SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.vlm import prefill
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.distinct_images import _by_question, embed_prompts
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.prefill import read_prompts
from lightning_modules.vlm.ranking import rank_candidates
from lightning_modules.vlm.shared_prefixes import shared_prefixes_of
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.questions import noise_image, question

SIZE = TinySize(width=64, layers=2, vision_layers=2, heads=2, image_size=56)
LETTERS = [[10], [11], [12], [13]]
LONGER = [[20, 21], [20, 22], [20, 21, 23, 24], [30], [31, 32, 33]]


def prompt_of(family: str, processor: Any, samples: list[SpatialSample]) -> dict[str, Tensor]:
    return VlmCollator(processor, FAMILIES[family], with_labels=False)(samples)["prompt"]


def tiny_model(family: str, **changes: int) -> tuple[Any, Any]:
    model, processor = make_tiny_model(family, size=replace(SIZE, **changes))
    # Random weights of the usual size make all tokens about equally likely; these do not.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0) if parameter.ndim > 1 else None
    return model, processor


@torch.no_grad()
def one_by_one(
    model: Any, family: str, processor: Any, samples: list[SpatialSample], candidates: list[list[list[int]]]
) -> list[list[float]]:
    """The plain reference: prompt and candidate in one piece through the model's own forward."""
    scores: list[list[float]] = []
    for sample, several in zip(samples, candidates, strict=True):
        prompt = prompt_of(family, processor, [sample])
        start = prompt["input_ids"].shape[1]
        scores.append([])
        for tokens in several:
            inputs = dict(prompt)
            behind = {"input_ids": 0, "attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": 1}
            for name, value in behind.items():
                if name in inputs:
                    added = (
                        torch.tensor([tokens]) if name == "input_ids" else torch.full((1, len(tokens)), value)
                    )
                    inputs[name] = torch.cat([inputs[name], added], 1)
            logits = model(**inputs).logits[0, start - 1 : -1].log_softmax(-1)
            scores[-1].append(float(logits[range(len(tokens)), tokens].sum()))
    return scores


def close(ours: list[list[float]], theirs: list[list[float]]) -> None:
    assert [len(several) for several in ours] == [len(several) for several in theirs]
    for several, reference in zip(ours, theirs, strict=True):
        assert several == pytest.approx(reference, abs=1e-4)


def questions(kind: str) -> list[SpatialSample]:
    a, b, wide = noise_image(1), noise_image(2), noise_image(3, 100, 30)
    return {
        # Three questions about one image, two about another one, one about a third.
        "shared": [
            question(a, 0),
            question(b, 1),
            question(a, 1),
            question(wide, 2),
            question(a, 2),
            question(b, 3),
        ],
        "distinct": [question(a, 0), question(b, 1), question(wide, 2)],
        # The same pixels in another object.
        "copies": [question(a, 0), question(noise_image(1), 4), question(a, 3), question(noise_image(1), 2)],
        "mixed": [question(a, 0), question(None, 1), question(a, 2), question(None, 3), question(a, 4)],
        "blind": [question(None, 1), question(None, 2)],
        "two_images": [
            question(a, 0).replace(further_images=(b,)),
            question(a, 1).replace(further_images=(b,)),
            question(a, 2),
            question(b, 2).replace(further_images=(a,)),
        ],
        "alone": [question(wide, 1)],
    }[kind]


@pytest.mark.parametrize("kind", ["shared", "distinct", "copies", "mixed", "blind", "two_images", "alone"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_ranking_equals_scoring_in_full(family: str, kind: str) -> None:
    if family == "paligemma" and kind in ("mixed", "blind"):
        pytest.skip("PaliGemma's processor knows no prompt without an image")
    if family == "paligemma" and kind == "two_images":
        pytest.skip("PaliGemma looks at one image")
    model, processor = tiny_model(family)
    samples = questions(kind)
    prompt = prompt_of(family, processor, samples)
    for several in (LETTERS, LONGER):
        candidates = [several[: 2 + index % 4] for index in range(len(samples))]
        ours = rank_candidates(model, prompt, candidates)
        close(ours, one_by_one(model, family, processor, samples, candidates))
        assert max(max(scores) - min(scores) for scores in ours) > 0.1


@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm", "paligemma"])
def test_many_candidates_are_read_in_several_passes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its prompt's keys and values for itself; all at once, a batch of counts would not fit."""
    model, processor = tiny_model(family)
    prompt = prompt_of(family, processor, questions("shared"))
    at_once = rank_candidates(model, prompt, [LONGER] * 6)
    rows: list[int] = []
    forward = model.forward

    def watched(**inputs: Any) -> Any:
        rows.append(len(inputs["input_ids"]) if inputs.get("input_ids") is not None else 0)
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", watched)
    monkeypatch.setattr(prefill, "ROWS_AT_ONCE", 5)
    close(rank_candidates(model, prompt, [LONGER] * 6), at_once)
    assert max(rows) == 5 and sum(rows) == 12


def test_a_batch_of_letters_takes_one_pass_and_only_the_last_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = tiny_model("smolvlm")
    calls: list[dict[str, Any]] = []
    forward = model.forward

    def watched(**inputs: Any) -> Any:
        calls.append(inputs)
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", watched)
    samples = questions("distinct")
    rank_candidates(model, prompt_of("smolvlm", processor, samples), [LETTERS] * 3)
    assert [(call["logits_to_keep"], call["use_cache"]) for call in calls] == [(1, False)]


def test_each_image_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for family in sorted(FAMILIES):
        model, processor = tiny_model(family)
        samples = questions("copies") + questions("distinct")
        prompt = prompt_of(family, processor, samples)
        seen: list[int] = []
        encode = model.get_image_features

        def counted(seen: list[int] = seen, encode: Any = encode, **inputs: Tensor) -> Any:
            seen.append(len(inputs.get("image_grid_thw", inputs["pixel_values"])))
            return encode(**inputs)

        monkeypatch.setattr(model, "get_image_features", counted)
        images = embed_prompts(model, prompt).images
        assert seen == [3], family
        assert images == [(0,), (0,), (0,), (0,), (0,), (1,), (2,)]


def test_images_of_equal_patches_but_another_shape_are_not_the_same() -> None:
    model, processor = tiny_model("qwen2_5_vl")
    grey = [
        OpenedImage(f"{width}", Image.new("RGB", (width, height), (128, 128, 128)))
        for width, height in ((112, 28), (28, 112))
    ]
    samples = [question(image, 1) for image in grey]
    prompt = prompt_of("qwen2_5_vl", processor, samples)
    first, second = prompt["pixel_values"].chunk(2)
    assert torch.equal(first, second)
    assert embed_prompts(model, prompt).images == [(0,), (1,)]
    close(
        rank_candidates(model, prompt, [LETTERS] * 2),
        one_by_one(model, "qwen2_5_vl", processor, samples, [LETTERS] * 2),
    )


def test_the_shared_beginning_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = tiny_model("qwen2_5_vl")
    tokens = 0
    forward = model.forward

    def counted(**inputs: Any) -> Any:
        nonlocal tokens
        tokens += inputs["inputs_embeds"].shape[:2].numel()
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", counted)
    samples = [question(noise_image(1, 100, 100), text) for text in (0, 1, 2, 3, 4)]
    prompt = prompt_of("qwen2_5_vl", processor, samples)
    rank_candidates(model, prompt, [LETTERS] * 5)
    assert tokens < 0.75 * prompt["input_ids"].numel()


def test_an_adapter_is_ranked_with() -> None:
    model, processor = tiny_model("qwen2_5_vl")
    samples = questions("shared")
    prompt = prompt_of("qwen2_5_vl", processor, samples)
    plain = rank_candidates(model, prompt, [LONGER] * 6)
    adapted = get_peft_model(
        model, LoraConfig(target_modules=["q_proj", "v_proj", "qkv"], init_lora_weights=False)
    )
    adapted.eval()
    ours = rank_candidates(adapted, prompt, [LONGER] * 6)
    close(ours, one_by_one(adapted, "qwen2_5_vl", processor, samples, [LONGER] * 6))
    assert ours[0] != pytest.approx(plain[0], abs=1e-2)


def test_bfloat16_rounds_logits_and_no_likelihood() -> None:
    """Near ties stay apart: likelihoods are those of the model's own logits in double precision."""
    model, processor = tiny_model("smolvlm")
    prompt = prompt_of("smolvlm", processor, questions("alone"))
    exact = rank_candidates(model, prompt, [[*LETTERS, [20, 21]]])
    read: list[Tensor] = []
    model.bfloat16().register_forward_hook(lambda _, __, output: read.append(output.logits[0].double()))
    rough = rank_candidates(model, prompt, [[*LETTERS, [20, 21]]])
    first, later = (logits.log_softmax(-1) for logits in read)
    expected = [float(first[-1, token]) for (token,) in LETTERS] + [float(first[-1, 20] + later[0, 21])]
    assert rough[0] == pytest.approx(expected, abs=1e-5)
    assert rough[0] == pytest.approx(exact[0], abs=0.5)


def test_a_sliding_window_counts_no_padding() -> None:
    """A beginning that is read apart has padding behind it, which a short window would count."""
    model, processor = tiny_model("internvl", image_size=112)
    config = copy.deepcopy(model.config)
    text = config.text_config
    text.use_sliding_window, text.sliding_window = True, 30
    text.layer_types = ["sliding_attention"] * text.num_hidden_layers
    narrow = type(model)(config).eval()
    narrow.load_state_dict(model.state_dict())
    samples = [question(noise_image(1, 100, 100), text, choices=0) for text in range(5)]
    candidates = [LETTERS] * len(samples)
    expected = one_by_one(narrow, "internvl", processor, samples, candidates)
    prompt = prompt_of("internvl", processor, samples)
    read = embed_prompts(narrow, prompt).images
    placeholders = prompt["input_ids"] == model.config.image_token_id
    assert shared_prefixes_of(prompt["input_ids"], prompt["attention_mask"], placeholders, read) is not None
    close(rank_candidates(narrow, prompt, candidates), expected)
    assert one_by_one(model, "internvl", processor, samples, candidates)[0] != pytest.approx(expected[0])


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("at", [1, -2])
def test_images_that_differ_in_a_single_number_are_not_the_same(family: str, at: int) -> None:
    model, processor = tiny_model(family)
    prompt = prompt_of(family, processor, [question(noise_image(1), 0)] * 2)
    assert embed_prompts(model, prompt).images == [(0,), (0,)]
    prompt["pixel_values"].view(2, -1)[1, at] += 1
    assert embed_prompts(model, prompt).images == [(0,), (1,)]


def test_what_cannot_be_ranked_is_an_error() -> None:
    model, processor = tiny_model("smolvlm")
    samples = questions("distinct")
    prompt = prompt_of("smolvlm", processor, samples)
    with pytest.raises(ModelError, match="2 questions, but 3 prompts"):
        rank_candidates(model, prompt, [LETTERS] * 2)
    with pytest.raises(ModelError, match="no tokens"):
        rank_candidates(model, prompt, [LETTERS, [[1], []], LETTERS])
    flipped = {**prompt, "attention_mask": prompt["attention_mask"].flip(1)}
    with pytest.raises(ModelError, match="padded on the right"):
        read_prompts(model, flipped, False)
    with pytest.raises(ModelError, match="placeholders"):
        first = {name: prompt[name][:1] for name in ("pixel_values", "pixel_attention_mask")}
        read_prompts(model, {**prompt, **first}, False)


def test_no_candidates_at_all() -> None:
    model, processor = tiny_model("smolvlm")
    prompt = prompt_of("smolvlm", processor, questions("alone"))
    assert rank_candidates(model, prompt, [[]]) == [[]]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_beginnings_are_shared_where_tokens_and_images_agree(data: st.DataObject) -> None:
    image_token = 9
    rows, images = [], []
    for _ in range(data.draw(st.integers(1, 6))):
        shown = data.draw(st.sampled_from([(), (0,), (1,), (0, 1)]))
        rest = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))
        rows.append([5, 5, *[image_token] * (12 * len(shown)), *rest])
        images.append(shown)
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    found = shared_prefixes_of(ids, (ids > 0).long(), ids == image_token, images)
    if found is None:
        return
    for index, (row, length, group) in enumerate(zip(rows, found.length, found.group, strict=True)):
        first = found.first[group]
        assert 0 < length < len(row)
        assert rows[first][:length] == row[:length]
        if first != index:
            assert images[first] == images[index] != ()
            assert image_token not in row[length:]


def test_images_of_several_sizes_are_dealt_out_by_their_own() -> None:
    """The first question shows a small, a large and the small one again; the second the large one alone."""
    features = [torch.zeros(4, 2), torch.zeros(9, 2)]
    dealt = _by_question(features, [0, 1, 0, 1], [17, 9, 0])
    assert dealt == [(0, 1, 0), (1,), ()]
