"""Generation in batches equals generation one by one, and stops where it should."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import logging as transformers_logging

from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.generation import answering_config, generate_texts, generate_tokens
from lightning_modules.vlm.ranking import rank_candidates
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.questions import noise_image, question

SIZE = TinySize(width=64, layers=2, vision_layers=2, heads=2, image_size=56)
ANSWERS = ("the red chair is closer", "4.25", "B")


def prompt_of(family: str, processor: Any, samples: list[SpatialSample]) -> dict[str, Tensor]:
    return VlmCollator(processor, FAMILIES[family], with_labels=False)(samples)["prompt"]


def samples_with_answers() -> list[SpatialSample]:
    return [
        question(noise_image(number, 60 + 40 * number), number, choices=0).replace(
            answer=answer, answer_type=AnswerType.TEXT
        )
        for number, answer in enumerate(ANSWERS)
    ]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def learnt(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    """A tiny random model that knows the answers to three questions by heart."""
    family = request.param
    model, processor = make_tiny_model(family, size=SIZE)
    batch = VlmCollator(processor, FAMILIES[family], with_labels=True)(samples_with_answers())
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(200):
        loss = model(**batch["inputs"], labels=batch["labels"]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            return family, model, processor
    raise AssertionError(f"the tiny random model of {family} did not learn: {float(loss.detach())}")


def test_what_was_learnt_is_written_and_nothing_after_it(learnt: tuple[str, Any, Any]) -> None:
    family, model, processor = learnt
    prompt = prompt_of(family, processor, samples_with_answers())
    assert generate_texts(model, processor, prompt, 30) == list(ANSWERS)
    assert generate_texts(model, processor.tokenizer, prompt, 30) == list(ANSWERS)


def test_batches_write_the_same_as_single_prompts(learnt: tuple[str, Any, Any]) -> None:
    family, model, processor = learnt
    samples = [question(noise_image(n, 40 + 30 * n), n, choices=n % 3) for n in range(5)]
    together = generate_texts(model, processor, prompt_of(family, processor, samples), 20)
    alone = [generate_texts(model, processor, prompt_of(family, processor, [s]), 20)[0] for s in samples]
    assert together == alone
    assert together == generate_texts(model, processor, prompt_of(family, processor, samples), 20)


def test_ranking_takes_what_generation_writes(learnt: tuple[str, Any, Any]) -> None:
    family, model, processor = learnt
    collator = VlmCollator(processor, FAMILIES[family], with_labels=False)
    candidates = [collator.conversation.encode_answer(answer) for answer in (*ANSWERS, "A", "the red chair")]
    scores = rank_candidates(model, prompt_of(family, processor, samples_with_answers()), [candidates] * 3)
    assert [several.index(max(several)) for several in scores] == [0, 1, 2]


def test_writing_stops_behind_a_stop_string(learnt: tuple[str, Any, Any]) -> None:
    family, model, processor = learnt
    prompt = prompt_of(family, processor, samples_with_answers())
    steps: list[int] = []
    counter = model.register_forward_pre_hook(lambda *_: steps.append(1))
    texts = generate_texts(model, processor, prompt, 30, (" red", "4.", "B"))
    counter.remove()
    assert texts == ["the red", "4.", "B"]
    tokens = processor.tokenizer(["the red", " the red"], add_special_tokens=False)["input_ids"]
    assert len(steps) <= max(len(row) for row in tokens)


def test_a_limit_is_kept(learnt: tuple[str, Any, Any]) -> None:
    family, model, processor = learnt
    prompt = prompt_of(family, processor, samples_with_answers())
    text = generate_texts(model, processor, prompt, 2)[0]
    assert ANSWERS[0].startswith(text) and text != ANSWERS[0]


def test_generation_is_silent_and_greedy_whatever_the_model_s_file_says(
    learnt: tuple[str, Any, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    family, model, processor = learnt
    before = model.generation_config.to_dict()
    settings: dict[str, Any] = {
        "do_sample": True,
        "temperature": 0.1,
        "top_k": 1,
        "top_p": 0.5,
        "repetition_penalty": 1.5,
        "max_length": 7,
        "pad_token_id": None,
    }
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    transformers_logging.set_verbosity_info()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prompt = prompt_of(family, processor, samples_with_answers())
            capfd.readouterr()
            assert generate_texts(model, processor, prompt, 30) == list(ANSWERS)
    finally:
        transformers_logging.set_verbosity_warning()
        for name in settings:
            setattr(model.generation_config, name, before.get(name))
    assert capfd.readouterr() == ("", "")


@torch.no_grad()
def likeliest(model: Any, prompt: dict[str, Tensor], steps: int) -> list[int]:
    """The likeliest token after one prompt, again and again, each time through the model's own forward."""
    inputs, start = dict(prompt), prompt["input_ids"].shape[1]
    for _ in range(steps):
        scores = model(**inputs).logits[0, -1]
        scores[model.generation_config.suppress_tokens or []] = -torch.inf
        behind = {"input_ids": int(scores.argmax()), "attention_mask": 1}
        behind |= {"mm_token_type_ids": 0, "token_type_ids": 1}
        for name, value in behind.items():
            if name in inputs:
                inputs[name] = torch.cat([inputs[name], torch.tensor([[value]])], 1)
    written: list[int] = inputs["input_ids"][0, start:].tolist()
    return written


@pytest.mark.parametrize("family", ["smolvlm", "qwen2_5_vl"])
def test_an_untrained_model_writes_the_likeliest_tokens_whatever_its_file_says(family: str) -> None:
    """Its answers are undecided: any other choice gives others. Also by the exported configuration."""
    model, processor = make_tiny_model(family, size=SIZE)
    samples = [question(noise_image(number, 60 + 40 * number), number) for number in range(3)]
    prompts = [prompt_of(family, processor, [sample]) for sample in samples]
    # What may not be written is the only setting that stays.
    suppressed = sorted({likeliest(model, prompt, 1)[0] for prompt in prompts})
    for name, value in {
        **{"do_sample": True, "temperature": 3.0, "top_k": 7, "top_p": 0.7, "num_beams": 4},
        **{"repetition_penalty": 5.0, "max_new_tokens": 2, "max_length": 9, "use_cache": False},
        **{"suppress_tokens": suppressed},
    }.items():
        setattr(model.generation_config, name, value)
    expected = [likeliest(model, prompt, 12) for prompt in prompts]
    end = processor.tokenizer.eos_token_id
    assert len({tuple(tokens) for tokens in expected}) > 1 and all(end not in row for row in expected)
    together = prompt_of(family, processor, samples)
    assert generate_tokens(model, processor.tokenizer, together, 12) == expected
    model.generation_config = answering_config(model, processor.tokenizer, 12)
    assert model.generate(**together)[:, together["input_ids"].shape[1] :].tolist() == expected


def test_prompts_padded_on_the_right_are_an_error(learnt: tuple[str, Any, Any]) -> None:
    family, model, processor = learnt
    prompt = prompt_of(family, processor, samples_with_answers())
    with pytest.raises(ModelError, match="padded on the right"):
        generate_texts(model, processor, {**prompt, "attention_mask": prompt["attention_mask"].flip(1)}, 3)
