from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.vlm.collator import CollatorError, VlmCollator
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.image_inputs import choose_questions
from lightning_modules.vlm.prompts import answer_text, images_of, rationale_of, turns_of
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.sample_questions import (
    SMALL,
    TINY_FAMILIES,
    letter_question,
    many_questions,
    noise_image,
    tiny_model,
)

families = pytest.mark.parametrize("family", TINY_FAMILIES)
rationales = pytest.mark.parametrize("rationale", [False, True])


def collator(family: str, with_labels: bool = True, **options: Any) -> VlmCollator:
    _, processor, known = tiny_model(family)
    return VlmCollator(processor, known, with_labels, **options)


def expected_answer(sample: SpatialSample, rationale: bool) -> str:
    """The answer as a person would write it down, without the code under test."""
    assert sample.answer is not None
    if not rationale:
        return sample.answer
    thought = sample.rationale.replace("<think>", "").replace("</think>", "")
    before = f"<think>\n{thought}\n</think>\n" if thought else ""
    return f"{before}<answer>{sample.answer}</answer>"


@families
@rationales
@pytest.mark.parametrize("batch_size", [1, 7])
def test_labelled_positions_are_the_answer_and_its_end_and_nothing_else(
    family: str, rationale: bool, batch_size: int
) -> None:
    _, processor, _ = tiny_model(family)
    tokenizer = processor.tokenizer
    end = {"qwen2_5_vl": "<|im_end|>", "internvl": "<|im_end|>", "paligemma": "<eos>"}
    space = " " if family in ("idefics3", "smolvlm") else ""
    samples = many_questions(family)
    collate = collator(family, rationale=rationale)
    for start in range(0, len(samples), batch_size):
        chosen = samples[start : start + batch_size]
        batch = collate(chosen)
        for row, sample in enumerate(chosen):
            labels, tokens = batch["labels"][row], batch["inputs"]["input_ids"][row]
            learnt = labels != -100
            assert torch.equal(labels[learnt], tokens[learnt])
            text = tokenizer.decode(labels[learnt])
            assert text == space + expected_answer(sample, rationale) + end.get(family, "<end_of_utterance>")
            assert processor.image_token_id not in labels
            # In one piece, and the last thing that is no padding.
            positions = learnt.nonzero().flatten()
            assert positions.tolist() == list(range(int(positions[0]), int(positions[-1]) + 1))
            assert int(positions[-1]) == int(batch["inputs"]["attention_mask"][row].sum()) - 1
            # What comes before is the prompt that is answered.
            before = tokens[: positions[0]]
            assert torch.equal(before, batch["prompt"]["input_ids"][row][-len(before) :])
            assert int(batch["prompt"]["attention_mask"][row].sum()) == len(before)


@families
def test_inputs_are_those_of_the_models_own_processor(family: str) -> None:
    """Prompts with images, by the processor's own call, question by question."""
    _, processor, known = tiny_model(family)
    collate = collator(family, with_labels=False)
    for sample in many_questions(family):
        if sample.image is None:
            continue  # PaliGemma's processor takes no text without an image.
        prompt = collate([sample])["prompt"]
        text = collate.conversation.prompt(turns_of(sample, ()))
        if not known.chat:
            # This processor puts the beginning of the text and the line break there itself.
            text = text.replace(processor.tokenizer.bos_token, "").removesuffix("\n")
            assert text.startswith("<image>answer en ")
        images = [[source.open() for source in images_of(sample)]]
        whole = processor(images=images, text=[text], return_tensors="pt")
        whole.pop("labels", None)
        if family == "paligemma":
            whole["token_type_ids"] = torch.zeros_like(whole["input_ids"])
        assert set(prompt) == set(whole)
        for name, tensor in whole.items():
            if name.startswith("pixel_") and known.nested_images:
                tensor = tensor.transpose(0, 1)
            assert torch.equal(prompt[name], tensor), name


def test_an_image_cut_into_tiles_takes_the_tokens_of_all_its_tiles() -> None:
    size = TinySize(width=64, layers=1, vision_layers=1, image_size=56, image_tiles=5)
    for family in ("idefics3", "smolvlm", "internvl"):
        model, processor = make_tiny_model(family, size=size)
        batch = VlmCollator(processor, FAMILIES[family], True)(many_questions()[:5])
        tiles = batch["inputs"]["pixel_values"].shape[0]
        tokens = (batch["inputs"]["input_ids"] == processor.image_token_id).sum()
        assert tiles > 5
        assert int(tokens) == tiles * size.image_tokens
        assert torch.isfinite(model(**batch["inputs"]).logits).all()


@families
def test_logits_of_a_padded_batch_are_those_of_each_sample_alone(family: str) -> None:
    model, _, _ = tiny_model(family)
    samples, collate = many_questions(family), collator(family)
    together = collate(samples)
    with torch.no_grad():
        right = model(**together["inputs"]).logits
        left = model(**together["prompt"]).logits
        for row, sample in enumerate(samples):
            alone = collate([sample])
            count = int(together["inputs"]["attention_mask"][row].sum())
            torch.testing.assert_close(
                right[row, :count], model(**alone["inputs"]).logits[0], atol=1e-4, rtol=1e-4
            )
            prompt = model(**alone["prompt"]).logits[0]
            torch.testing.assert_close(left[row, -len(prompt) :], prompt, atol=1e-4, rtol=1e-4)


@families
def test_an_answer_is_predicted_without_seeing_the_rest_of_it(family: str) -> None:
    """PaliGemma's prompt sees itself in both directions; an answer never sees what follows."""
    model, _, _ = tiny_model(family)
    batch = collator(family)([many_questions(family)[-1]])
    first = int((batch["labels"][0] != -100).nonzero()[0])
    changed = {**batch["inputs"], "input_ids": batch["inputs"]["input_ids"].clone()}
    changed["input_ids"][0, first + 2] = 40
    with torch.no_grad():
        before = model(**batch["inputs"]).logits[0]
        after = model(**changed).logits[0]
    torch.testing.assert_close(before[: first + 2], after[: first + 2], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before[first + 2], after[first + 2], atol=1e-3)
    # The state that predicts the first token is the one a prompt alone ends in.
    with torch.no_grad():
        prompt = model(**batch["prompt"]).logits[0, -1]
    torch.testing.assert_close(before[first - 1], prompt, atol=1e-4, rtol=1e-4)


@families
def test_questions_can_be_taken_out_of_a_batch(family: str) -> None:
    model, _, _ = tiny_model(family)
    samples, collate = many_questions(family), collator(family, with_labels=False)
    batch = collate(samples)
    for chosen in ([4, 1, 0], [1], [2, 3]):
        part = choose_questions(batch["prompt"], batch["prompt_rows"], chosen)
        alone = collate([samples[question] for question in chosen])["prompt"]
        assert set(part) == set(alone)
        with torch.no_grad():
            torch.testing.assert_close(
                model(**part).logits[:, -1], model(**alone).logits[:, -1], atol=1e-4, rtol=1e-4
            )


@families
def test_a_batch_without_images_and_one_image_for_many_questions(family: str) -> None:
    model, _, _ = tiny_model(family)
    collate = collator(family)
    blind = collate([letter_question(0, image=None), letter_question(1, image=None)])
    assert not any(name.startswith(("pixel", "image")) for name in blind["inputs"])
    assert torch.isfinite(model(**blind["inputs"], labels=blind["labels"]).loss)

    class Counted:
        name = "counted"
        opened = 0

        def open(self) -> Image.Image:
            Counted.opened += 1
            return noise_image(0).open()

    shared = Counted()
    collate([letter_question(number, image=shared) for number in range(4)])
    assert Counted.opened == 1


@families
def test_candidates_are_the_tokens_of_trained_answers(family: str) -> None:
    collate = collator(family)
    samples = many_questions(family)
    drawn = SpatialSample("drawn", "Which?", image=noise_image(3), answer="D", answer_type=AnswerType.LETTER)
    many = "Which of " + "<mask> " * 12 + "is leftmost?"
    regions = SpatialSample("many", many, image=noise_image(4), answer="11", answer_type=AnswerType.REGION)
    batch = collate([*samples, drawn, regions])
    texts = batch["candidate_texts"]
    assert texts[:4] == [list("ABC"), list("ABC"), ["0", "1", "2"], ["left", "right"]]
    assert texts[4:7] == [[], [], []] == batch["candidates"][4:7]
    assert texts[7] == list("ABCD")
    assert texts[8] == [str(number) for number in range(12)]
    for row, sample in enumerate([*samples, drawn, regions]):
        if not texts[row]:
            continue
        trained = batch["labels"][row][batch["labels"][row] != -100].tolist()
        candidate = batch["candidates"][row][texts[row].index(sample.answer)]
        # Regions 1 and 11 share a beginning, so these candidates have their end.
        assert candidate == (trained if sample.id == "many" else trained[:-1])
    assert all(len(candidate) == 1 for row in (0, 1, 7) for candidate in batch["candidates"][row])


several_images = pytest.mark.parametrize("family", [name for name in TINY_FAMILIES if name != "paligemma"])


@several_images
@given(window=st.integers(60, 260))
@settings(max_examples=12, deadline=None)
def test_too_long_text_is_shortened_and_images_never(family: str, window: int) -> None:
    """Reasoning goes first, then the first examples; what cannot be shortened names the sample."""
    _, processor, _ = tiny_model(family)
    long = "The chair stands next to the lamp. " * 8
    examples = tuple(letter_question(number, id=f"example-{number}", rationale="") for number in (5, 6))
    sample = letter_question(1, rationale=long, examples=examples)
    free = collator(family, rationale=True)([sample])
    collate = collator(family, rationale=True, maximum_tokens=window)
    try:
        batch = collate([sample])
    except CollatorError as error:
        assert "'letter-1' does not fit" in str(error) and str(window) in str(error)
        bare = collator(family, rationale=True)([sample.replace(rationale="", examples=())])
        assert bare["tokens"] > window
        return
    tokens = batch["inputs"]["input_ids"][0]
    assert len(tokens) <= window
    assert batch["shortened"] == int(free["tokens"] > window)
    tiles = batch["inputs"]["pixel_values"]
    single = collator(family)([letter_question(1)])["inputs"]["input_ids"]
    per_image = int((single == processor.image_token_id).sum())
    shown = int((tokens == processor.image_token_id).sum()) / per_image
    assert shown in (1, 2, 3)
    assert len(tiles) == len(free["inputs"]["pixel_values"]) * shown / 3
    learnt = processor.tokenizer.decode(batch["labels"][0][batch["labels"][0] != -100])
    assert "<answer>B</answer>" in learnt
    if "</think>" in learnt:
        assert long.startswith(learnt.split("<think>\n")[1].split("\n</think>")[0])
    if shown < 3:
        assert "</think>" not in learnt


@several_images
def test_examples_are_earlier_turns_with_their_answers(family: str) -> None:
    _, processor, _ = tiny_model(family)
    example = letter_question(2, id="solved")
    batch = collator(family)([letter_question(1, examples=(example,))])
    prompt = processor.tokenizer.decode(batch["prompt"]["input_ids"][0])
    assert prompt.count("Which object is closer to the camera?") == 2
    reply = f"{rationale_of(example)}\nC"
    solved = prompt.index(
        f"Assistant: {reply}<end_of_utterance>\n"
        if "smol" in family or "idefics" in family
        else f"assistant\n{reply}<|im_end|>"
    )
    assert prompt.index("Which object") < solved < prompt.rindex("Which object")
    images = [
        collator(family)([one])["prompt_rows"]["pixel_values"][0] for one in (example, letter_question(1))
    ]
    assert batch["prompt_rows"]["pixel_values"] == [sum(images)]


def test_the_collator_pickles_and_makes_the_same_batch_afterwards() -> None:
    for family in TINY_FAMILIES:
        collate = collator(family, rationale=True, maximum_tokens=300)
        again = pickle.loads(pickle.dumps(collate))
        first, second = collate(many_questions(family)), again(many_questions(family))
        assert torch.equal(first["labels"], second["labels"])
        assert torch.equal(first["inputs"]["pixel_values"], second["inputs"]["pixel_values"])


def test_counts_of_tokens_and_places() -> None:
    batch = collator("smolvlm")(many_questions())
    mask = batch["inputs"]["attention_mask"]
    assert batch["tokens"] == int(mask.sum())
    assert batch["cells"] == mask.shape[0] * mask.shape[1]
    assert batch["shortened"] == 0


def test_special_tokens_at_the_beginning_of_every_prompt() -> None:
    _, processor, known = tiny_model("qwen2_5_vl")
    plain = VlmCollator(processor, known, True)([letter_question()])
    begun = VlmCollator(processor, known, True, prefix=["<|vision_end|>"] * 2)([letter_question()])
    token = processor.tokenizer.convert_tokens_to_ids("<|vision_end|>")
    assert begun["prompt"]["input_ids"][0, :2].tolist() == [token, token]
    assert torch.equal(begun["prompt"]["input_ids"][:, 2:], plain["prompt"]["input_ids"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"answer": None}, r"'letter-0' has no answer.*split with answers"),
        ({"answer": "D"}, r"'letter-0' is 'D', but it can only be one of A, B, C"),
        ({"examples": (letter_question(1, answer=None),)}, r"'letter-1' has no answer"),
    ],
)
def test_samples_that_cannot_be_learnt_are_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CollatorError, match=sentence):
        collator("smolvlm")([letter_question(0, **changes)])


def test_an_answer_longer_than_the_window_names_both_lengths() -> None:
    sample = letter_question(0, answer_type=None, choices=(), answer="chair " * 400)
    with pytest.raises(
        CollatorError, match=r"take \d+ tokens and its answer 40\d, but maximum_tokens is 300"
    ):
        collator("smolvlm", maximum_tokens=300)([sample])


def test_an_image_the_model_cannot_look_at_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise ValueError("absolute aspect ratio")

    monkeypatch.setattr(type(FAMILIES["qwen2_5_vl"].image_limit), "fit", refuse)
    with pytest.raises(CollatorError, match=r"0.png of question 'letter-0'.*aspect ratio"):
        collator("qwen2_5_vl")([letter_question(0)])


def test_samples_without_an_answer_can_be_answered() -> None:
    batch = collator("smolvlm", with_labels=False)([letter_question(0, answer=None)])
    assert "labels" not in batch and "inputs" not in batch
    assert batch["tokens"] == batch["cells"] == batch["prompt"]["input_ids"].numel()


def test_the_reasoning_is_asked_for_and_written_between_its_tags() -> None:
    sample = letter_question(0, rationale="<think> It is near. </think>")
    assert rationale_of(sample) == "It is near."
    assert answer_text(sample, rationale_of(sample)) == "<think>\nIt is near.\n</think>\n<answer>A</answer>"
    assert answer_text(sample, "") == "<answer>A</answer>"
    assert answer_text(sample) == "A"
    assert SMALL.image_tokens == 4


def test_paligemma_is_asked_one_question_about_one_image_as_it_was_trained() -> None:
    collate = collator("paligemma", with_labels=False)
    sample = letter_question(0, choices=(), answer_type=AnswerType.TEXT)
    asked, blind = (
        collate.processor.tokenizer.decode(collate([one])["prompt"]["input_ids"][0])
        for one in (sample, sample.replace(image=None))
    )
    assert blind == "<bos>answer en Which object is closer to the camera?\n"
    assert asked == "<image>" * collate.processor.image_seq_length + blind


@pytest.mark.parametrize(
    ("changes", "shows"),
    [
        ({"further_images": (noise_image(1),)}, "2 images"),
        ({"further_images": (noise_image(1), noise_image(2))}, "3 images"),
        ({"examples": (letter_question(1),)}, "solved examples with images"),
        ({"image": None, "examples": (letter_question(1),)}, "solved examples with images"),
    ],
)
@pytest.mark.parametrize("learning", [False, True])
def test_paligemma_is_not_shown_several_images(changes: dict[str, Any], shows: str, learning: bool) -> None:
    sample = letter_question(0, **changes)
    with pytest.raises(
        CollatorError, match=rf"'letter-0' shows {shows}, but paligemma.*leave out"
    ) as refused:
        collator("paligemma", learning)([sample])
    assert ("`images: none` of the view InContext" in str(refused.value)) == bool(sample.examples)
    # Texts alone, or an image that only some models look at, are no further images.
    collator("paligemma", learning)(
        [letter_question(0, depth=noise_image(3), examples=(letter_question(1, image=None),))]
    )


def test_paligemmas_examples_are_texts_between_its_image_and_its_question() -> None:
    collate = collator("paligemma")
    free: dict[str, Any] = {"choices": (), "answer_type": AnswerType.TEXT, "rationale": ""}
    solved = tuple(
        letter_question(n, question=f"What is {n}?", answer=f"thing {n}", image=None, **free) for n in (1, 2)
    )
    batch = collate([letter_question(0, question="And now?", answer="a lamp", examples=solved, **free)])
    texts = "answer en What is 1?\nthing 1\nanswer en What is 2?\nthing 2\nanswer en And now?\n"
    tokenizer, images = collate.processor.tokenizer, "<image>" * collate.processor.image_seq_length
    assert tokenizer.decode(batch["prompt"]["input_ids"][0]) == f"{images}<bos>{texts}"
    # The prompt sees itself in both directions, with what was answered in it; the answer does not.
    kinds = batch["inputs"]["token_type_ids"][0]
    assert tokenizer.decode(batch["inputs"]["input_ids"][0][kinds == 1]) == "a lamp<eos>"
