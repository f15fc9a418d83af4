"""What does not fit into the window: images are scaled down, and what was done to them is counted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor

from datamodules.base import Role, SpatialDataModule
from datamodules.samples import SpatialSample
from datamodules.scoring.metrics import Track3Metric
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.collator import CollatorError, VlmCollator
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.loading import family_named
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.image_data import FourImages, ImageData
from tests.helpers.sample_questions import letter_question, noise_image

SCALABLE = ("idefics3", "smolvlm", "qwen2_5_vl", "internvl")
LARGE = noise_image(7, 500, 640)
REASONING = "The chair stands next to the lamp. " * 4

_processors: dict[str, Any] = {}


def size_of(family: str) -> TinySize:
    """A tiny random model with images of many tokens or tiles."""
    edge = 448 if family == "qwen2_5_vl" else 112
    return TinySize(width=64, layers=1, vision_layers=1, image_size=edge, image_tiles=10)


def collator(family: str, **options: Any) -> VlmCollator:
    if family not in _processors:
        _processors[family] = make_tiny_model(family, size=size_of(family))[1]
    return VlmCollator(_processors[family], FAMILIES[family], **{"with_labels": True, **options})


def placeholders(collate: VlmCollator, batch: Any) -> int:
    return int((batch["prompt"]["input_ids"] == collate.processor.image_token_id).sum())


@pytest.mark.parametrize("family", SCALABLE)
@pytest.mark.parametrize("learning", [True, False])
def test_an_image_is_scaled_down_until_prompt_and_answer_fit(family: str, learning: bool) -> None:
    sample = letter_question(1, image=LARGE)
    name = "inputs" if learning else "prompt"
    whole_collator = collator(family, with_labels=learning)
    whole = whole_collator([sample])
    tokens, shown = whole["tokens"], placeholders(whole_collator, whole)
    assert not whole["scaled"]
    for window in (tokens, tokens - 1, tokens - shown // 2, tokens - shown + shown // 6):
        collate = collator(family, with_labels=learning, maximum_tokens=window)
        batch = collate([sample])
        assert batch["tokens"] == batch[name]["input_ids"].shape[1] <= window
        assert batch["shortened"] == 0
        if window == tokens:
            assert not batch["scaled"]
            continue
        smaller = placeholders(collate, batch)
        assert 0 < smaller < shown
        (sentence,) = batch["scaled"].values()
        assert list(batch["scaled"]) == [LARGE.name]
        for part in (
            LARGE.name,
            "640x500 pixels",
            f"takes {shown} tokens",
            f"({window})",
            f"to {smaller} tokens",
        ):
            assert part in sentence
        # The text is untouched, and the model's tower makes as many features as there are placeholders.
        if learning:
            assert batch["labels"][0].tolist()[-2:] == whole["labels"][0].tolist()[-2:]
    with pytest.raises(CollatorError, match=r"'letter-1' does not fit.*as small as they can be"):
        blind = whole_collator([sample.replace(image=None)])["tokens"]
        collator(family, with_labels=learning, maximum_tokens=blind + 3)([sample])


@pytest.mark.parametrize("family", SCALABLE)
def test_models_take_what_was_scaled(family: str) -> None:
    model, processor = make_tiny_model(family, size=size_of(family))
    samples = [letter_question(1, image=LARGE), letter_question(2), letter_question(3, image=LARGE)]
    window = VlmCollator(processor, FAMILIES[family], True)(samples)["inputs"]["input_ids"].shape[1] - 9
    batch = VlmCollator(processor, FAMILIES[family], True, maximum_tokens=window)(samples)
    assert LARGE.name in batch["scaled"]
    with torch.no_grad():
        assert torch.isfinite(model(**batch["inputs"]).logits).all()


def test_the_largest_of_several_images_shrinks_first() -> None:
    small = noise_image(8, 60, 90)
    sample = letter_question(1, image=LARGE, further_images=(small,))
    whole = collator("qwen2_5_vl")([sample])
    batch = collator("qwen2_5_vl", maximum_tokens=whole["tokens"] - 4)([sample])
    assert list(batch["scaled"]) == [LARGE.name]
    before, after = (one["prompt"]["image_grid_thw"].prod(-1).tolist() for one in (whole, batch))
    assert after[0] < before[0] and after[1] == before[1]


@given(window=st.integers(60, 400))
@settings(max_examples=25, deadline=None)
def test_reasoning_goes_first_and_stays_where_images_have_to_shrink_anyway(window: int) -> None:
    sample = letter_question(1, image=LARGE, rationale=REASONING)
    whole = collator("internvl", rationale=True)([sample])
    bare = collator("internvl", rationale=True)([sample.replace(rationale="")])
    collate = collator("internvl", rationale=True, maximum_tokens=window)
    try:
        batch = collate([sample])
    except CollatorError:
        assert bare["tokens"] - placeholders(collate, bare) + 16 > window
        return
    assert batch["tokens"] <= window
    learnt = batch["labels"][0][batch["labels"][0] != -100]
    text = collate.processor.tokenizer.decode(learnt)
    assert text.endswith("<answer>B</answer><|im_end|>")
    if bare["tokens"] <= window:
        assert not batch["scaled"]
        assert batch["shortened"] == (whole["tokens"] > window)
    else:
        assert batch["scaled"]
        if not batch["shortened"]:
            assert REASONING.strip() in text
        elif placeholders(collate, batch) > 16:
            assert placeholders(collate, batch) <= window // 2


def test_the_window_of_the_published_files_holds_a_large_image(zoo: Path) -> None:
    """Qwen's YAML files say 4096; an image of a modern camera takes 10,549 tokens."""
    processor = AutoProcessor.from_pretrained(zoo / "qwen2_5_vl_3b")
    camera = letter_question(1, image=noise_image(9, 2160, 3840))
    batch = VlmCollator(processor, family_named("qwen2_5_vl"), True, maximum_tokens=4096)([camera])
    assert 3500 < batch["tokens"] <= 4096
    assert "takes 10549 tokens" in batch["scaled"]["9.png"]


WORDS = ("chair lamp table door box shelf wall floor room bed sofa desk tree car bus truck " * 8).split()


def kept(collate: VlmCollator, batch: Any, row: int = 0) -> str:
    """The reasoning that is learnt of a sample."""
    labels = batch["labels"][row]
    text = collate.processor.tokenizer.decode(labels[labels != -100])
    return text.partition("<think>\n")[2].partition("\n</think>")[0]


@pytest.mark.parametrize("words", [17, 60, 127])
def test_no_more_of_a_reasoning_is_cut_off_than_has_to_be(words: int) -> None:
    """The best cut is found by trying all of them: of the window that just holds so many words."""
    whole = letter_question(1, rationale=" ".join(WORDS))
    best = collator("smolvlm", rationale=True)([whole.replace(rationale=" ".join(WORDS[:words]))])
    collate = collator("smolvlm", rationale=True, maximum_tokens=best["tokens"])
    batch = collate([whole, whole.replace(rationale="It is."), whole])
    for row in (0, 2):
        left = kept(collate, batch, row)
        assert " ".join(WORDS).startswith(left) and words - 3 <= len(left.split()) <= words
    assert kept(collate, batch, 1) == "It is."
    assert batch["shortened"] == 2 and not batch["scaled"]


@pytest.mark.parametrize("learning", [True, False])
def test_the_last_examples_stay_and_a_reasoning_that_is_not_shown_counts_for_nothing(learning: bool) -> None:
    examples = tuple(
        letter_question(n, image=None, question=f"Example {n}?", rationale="It is.") for n in range(3)
    )
    sample = letter_question(1, rationale=" ".join(WORDS))
    for count in (3, 2, 1):
        fits = collator("smolvlm", with_labels=learning, rationale=True)(
            [sample.replace(rationale="", examples=examples[3 - count :])]
        )
        collate = collator("smolvlm", with_labels=learning, rationale=True, maximum_tokens=fits["tokens"] + 2)
        batch = collate([sample.replace(examples=examples)])
        text = collate.processor.tokenizer.decode(batch["prompt"]["input_ids"][0])
        assert [f"Example {n}?" in text for n in range(3)] == [n >= 3 - count for n in range(3)]
        # While answering, no reasoning is there to be cut.
        assert batch["shortened"] == int(learning or count < 3)


@pytest.mark.parametrize("reasoning", [0, 10, 100])
@pytest.mark.parametrize("examples", [0, 1])
@pytest.mark.parametrize("learning", [True, False])
def test_beside_scaled_images_the_reasoning_has_what_is_left_of_half_the_window(
    reasoning: int, examples: int, learning: bool
) -> None:
    window = 300
    sample = letter_question(1, image=LARGE, rationale=" ".join(WORDS[:reasoning]))
    options: dict[str, Any] = {"with_labels": learning, "rationale": True}
    bare, whole = (
        collator("qwen2_5_vl", **options)([one])["tokens"] for one in (sample.replace(rationale=""), sample)
    )
    collate = collator("qwen2_5_vl", maximum_tokens=window, **options)
    solved = (letter_question(2, rationale="It is."),) * examples
    batch = collate([sample.replace(examples=solved)])
    full = collator("qwen2_5_vl", **options)([sample.replace(rationale="")])
    room = window - bare + placeholders(collate, full)
    most = max(room - (whole - bare), min(room, window // 2)) if learning else room
    assert 0.7 * most <= placeholders(collate, batch) <= most
    left = kept(collate, batch).split() if learning else []
    if learning:
        assert left == WORDS[: len(left)] and len(left) >= min(reasoning, 10)
        assert len(left) == reasoning or batch["tokens"] > window - 8
    assert batch["shortened"] == int(bool(examples) or (learning and len(left) < reasoning))
    assert list(batch["scaled"]) == [LARGE.name]


class Unequal(FourImages):
    """The first image is large, the second one and the third one are thin."""

    shapes = ((400, 400), (2, 600), (600, 2), (40, 60))

    def samples(self, group: int, chosen: Any) -> list[SpatialSample]:
        image = noise_image(group, *self.shapes[group])
        return [sample.replace(image=image) for sample in super().samples(group, chosen)]


class UnequalData(ImageData):
    def open_split(self, role: Role) -> Any:
        return Unequal()


def test_what_happens_to_images_is_said_once_and_counted_over_a_run() -> None:
    module = PeftSft(
        "qwen2_5_vl_3b",
        random_weights=True,
        tiny_size=size_of("qwen2_5_vl"),
        adapter=AdapterConfig(dropout=0.0),
        maximum_tokens=255,
    )
    data = UnequalData(batch_size=1)
    trainer = bare_trainer(max_epochs=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, datamodule=data)
        trainer.test(module, datamodule=data, verbose=False)
    said = [str(warning.message) for warning in caught if ".png" in str(warning.message)]
    assert data.image_notes.counts() == {"scaled": 1, "padded": 2, "skipped": 0}
    assert len(said) == 2
    assert any("0.png (400x400 pixels)" in sentence and "scaled down" in sentence for sentence in said)
    assert any("too unequal" in sentence for sentence in said)


def test_every_datamodule_counts() -> None:
    class Bare(SpatialDataModule):
        def prepare_split(self, role: Role) -> None:
            pass

        def open_split(self, role: Role) -> Any:
            pass

        def metric(self, stage: str = "test") -> Any:
            return Track3Metric()

    data = Bare()
    batch = {"skipped": {"a": "damaged"}, "scaled": {"b": "large", "c": "large"}}
    with pytest.warns(UserWarning, match="damaged|large"):
        data.on_before_batch_transfer(batch, 0)
    data.on_before_batch_transfer(batch, 0)
    assert data.image_notes.counts() == {"scaled": 2, "padded": 0, "skipped": 1}
    assert data.skipped == {"a": "damaged"}
