"""A student's own answers: how often, how they are drawn, and how they stand where true ones stood."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from datamodules.samples import SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.distillation.on_policy import OnPolicy, as_taught, on_policy_answers
from lightning_modules.vlm.adapters import AdapterConfig, Method, prompt_tokens
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.generation import generate_texts
from lightning_modules.vlm.loading import LoadedVlm
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.both_models import NEVER, by_hand, likeliest_answer
from tests.helpers.sample_questions import SMALL, letter_question, many_questions, tiny_model

families = pytest.mark.parametrize("family", sorted(FAMILIES))
writers = pytest.mark.parametrize("family", ["idefics3", "qwen2_5_vl", "paligemma"])
"""Without token types, with those of images, and with those of prompt and answer."""


def collator(family: str, **options: Any) -> VlmCollator:
    _, processor, known = tiny_model(family)
    return VlmCollator(processor, known, with_labels=True, **options)


def blind(number: int = 0) -> SpatialSample:
    return letter_question(number, id=f"blind-{number}", image=None)


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    own = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}


@contextmanager
def scripted(model: nn.Module, logits: Any) -> Iterator[list[int]]:
    """Let a model say `logits(step)` `[rows, vocabulary]` of the next token; gives its inputs' lengths."""
    lengths: list[int] = []

    def replace(module: nn.Module, arguments: Any, options: dict[str, Any], output: Any) -> Any:
        lengths.append(options["input_ids"].shape[1])
        wanted = logits(len(lengths) - 1)
        output.logits = wanted[:, None].to(output.logits.dtype)
        return output

    hook = model.register_forward_hook(replace, with_kwargs=True)
    try:
        yield lengths
    finally:
        hook.remove()


def wanting(tokens: Sequence[int], vocabulary: int) -> Tensor:
    """Logits that leave each row one token, `[rows, vocabulary]`."""
    return torch.full((len(tokens), vocabulary), NEVER).scatter(1, torch.tensor(tokens)[:, None], 0.0)


def vocabulary_of(model: Any) -> int:
    return model.get_output_embeddings().weight.shape[0]


# As they are taught


@families
@given(
    chosen=st.lists(st.sampled_from(range(7)), min_size=1, max_size=4, unique=True),
    rationale=st.booleans(),
    window=st.sampled_from([None, 4000]),
)
@example(chosen=[1], rationale=False, window=None)
@example(chosen=[1, 4, 6, 0, 2, 3, 5], rationale=True, window=None)
@settings(max_examples=8, deadline=None)
def test_with_the_true_answers_the_batch_is_the_collators_own(
    family: str, chosen: list[int], rationale: bool, window: int | None
) -> None:
    samples = many_questions(family)
    collate = collator(family, rationale=rationale, maximum_tokens=window)
    batch = collate([samples[number] for number in chosen])
    answers = [row[row != -100].tolist() for row in batch["labels"]]
    inputs, labels = as_taught(collate, batch["prompt"], answers)
    assert set(inputs) == set(batch["inputs"])
    for name, tensor in batch["inputs"].items():
        assert inputs[name].dtype == tensor.dtype and torch.equal(inputs[name], tensor), name
    assert torch.equal(labels, batch["labels"])


@families
@given(data=st.data())
@settings(max_examples=4, deadline=None)
def test_each_token_is_judged_as_if_its_sample_were_alone(family: str, data: st.DataObject) -> None:
    """Any tokens but images, special ones and padding included; teacher-forced one sample at a time."""
    model, processor, known = tiny_model(family)
    ordinary = st.integers(0, len(processor.tokenizer) - 1).filter(lambda n: n != processor.image_token_id)
    samples = many_questions(family)
    chosen = data.draw(st.lists(st.sampled_from(samples), min_size=1, max_size=3, unique_by=lambda s: s.id))
    answers = [data.draw(st.lists(ordinary, min_size=1, max_size=7)) for _ in chosen]
    collate = collator(family)
    inputs, labels = as_taught(collate, collate(chosen)["prompt"], answers)
    with torch.no_grad():
        together = model(**inputs).logits
        for row, (sample, answer) in enumerate(zip(chosen, answers, strict=True)):
            alone = collate([sample])["prompt"]
            count = alone["input_ids"].shape[1]
            forced = model(**by_hand(known, processor, alone, answer)).logits[0]
            said = slice(count - 1, count + len(answer) - 1)
            torch.testing.assert_close(together[row, said], forced[said], atol=1e-4, rtol=1e-4)
            expected = [-100] * labels.shape[1]
            expected[count : count + len(answer)] = answer
            assert labels[row].tolist() == expected


@given(room=st.integers(2, 30))
@settings(max_examples=8, deadline=None)
def test_an_answer_beyond_the_window_loses_its_end(room: int) -> None:
    samples = [letter_question(0), blind(1)]
    lengths = [collator("qwen2_5_vl")([sample])["prompt"]["input_ids"].shape[1] for sample in samples]
    window = max(lengths) + room
    collate = collator("qwen2_5_vl", maximum_tokens=window)
    answers = [list(range(40, 60)), list(range(40, 44))]
    inputs, labels = as_taught(collate, collate(samples)["prompt"], answers)
    for row, (count, answer) in enumerate(zip(lengths, answers, strict=True)):
        assert labels[row][labels[row] != -100].tolist() == answer[: window - count]
        assert int(inputs["attention_mask"][row].sum()) == min(window, count + len(answer))


@pytest.mark.parametrize("method", ["lora", "prompt_tuning"])
@pytest.mark.parametrize("name", ["smolvlm_500m", "qwen2_5_vl_3b"])
def test_own_answers_of_an_adapted_student_are_read_as_they_were_written(name: str, method: Method) -> None:
    """What is said of every written token in the batch that is learnt from is what its sample alone says."""
    torch.manual_seed(0)
    module = PeftSft(
        name, random_weights=True, adapter=AdapterConfig(method, virtual_tokens=3), tiny_size=SMALL
    )
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    module.train()
    collate = module.collator("fit")
    assert isinstance(collate, VlmCollator)
    samples = [letter_question(0), blind(1), many_questions()[4]]
    batch = collate(samples)
    answers = on_policy_answers(
        module.network, module.tokenizer, batch["prompt"], OnPolicy(maximum_new_tokens=9)
    )
    added = module.tokenizer.convert_tokens_to_ids(prompt_tokens(module.adapter))
    assert all(1 <= len(answer) <= 9 and not {*answer} & {*added} for answer in answers)
    inputs, labels = as_taught(collate, batch["prompt"], answers)
    assert inputs["input_ids"][0, : len(added)].tolist() == added
    module.eval()
    with torch.no_grad():
        together = module.network(**inputs).logits
        for row, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
            alone = collate([sample])["prompt"]
            count = alone["input_ids"].shape[1]
            whole = by_hand(module.vlm.family, module.vlm.processor, alone, answer)
            forced = module.network(**whole).logits[0]
            said = slice(count - 1, count + len(answer) - 1)
            torch.testing.assert_close(together[row, said], forced[said], atol=1e-4, rtol=1e-4)
            assert labels[row, count : count + len(answer)].tolist() == answer


# How they are drawn


@writers
def test_near_temperature_zero_the_likeliest_tokens_are_written(family: str) -> None:
    """As they follow from whole sequences one at a time, without a cache, and as evaluation writes them."""
    model, processor, known = tiny_model(family)
    ends = end_tokens(model, processor.tokenizer)
    samples = [letter_question(0), blind(1), many_questions(family)[4]]
    collate = collator(family)
    prompt = collate(samples)["prompt"]
    cold = OnPolicy(temperature=1e-6, maximum_new_tokens=8)
    found = on_policy_answers(model, processor.tokenizer, prompt, cold)
    vlm = LoadedVlm(model, processor, known, family, "")
    for sample, answer in zip(samples, found, strict=True):
        assert answer == likeliest_answer(vlm, collate([sample])["prompt"], 8, ends)
    texts = generate_texts(model, processor, prompt, 8)
    assert [processor.tokenizer.decode(one, skip_special_tokens=True).strip() for one in found] == texts


@writers
def test_the_same_seed_writes_the_same_and_another_one_does_not(family: str) -> None:
    model, processor, _ = tiny_model(family)
    prompt = collator(family)([letter_question(0), blind(1)])["prompt"]

    def written(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return on_policy_answers(model, processor.tokenizer, prompt, OnPolicy(maximum_new_tokens=10))

    assert written(1) == written(1) != written(2)


@pytest.mark.parametrize("temperature", [0.5, 1, 3.0])
def test_tokens_are_drawn_as_often_as_the_model_says_whatever_its_file_says(temperature: float) -> None:
    """Pure sampling: no token is cut off, none is favoured."""
    model, processor = make_tiny_model("smolvlm", size=TinySize(width=64, layers=1, vision_layers=1))
    planted = {"do_sample": True, "temperature": 0.01, "top_k": 1, "top_p": 0.1, "min_p": 0.9}
    for name, value in {**planted, "typical_p": 0.1, "repetition_penalty": 5.0}.items():
        setattr(model.generation_config, name, value)
    rows, says = 4000, {40: 2.0, 41: 1.0, 42: 0.0, 43: -1.5}
    logits = torch.full((vocabulary_of(model),), NEVER)
    for token, value in says.items():
        logits[token] = value
    prompt = {name: torch.tensor([[1]] * rows) for name in ("input_ids", "attention_mask")}
    torch.manual_seed(0)
    with scripted(model, lambda _: logits.expand(rows, -1)):
        answers = on_policy_answers(model, processor.tokenizer, prompt, OnPolicy(1.0, temperature, 2))
    shares = {token: math.exp(value / temperature) for token, value in says.items()}
    total = sum(shares.values())
    for position in (0, 1):
        for token, share in shares.items():
            wanted = share / total
            found = sum(answer[position] == token for answer in answers) / rows
            assert abs(found - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / rows)


@writers
def test_neither_images_nor_numbers_without_a_token_are_written(family: str) -> None:
    """However likely: the models refuse a placeholder without its image."""
    model, processor = make_tiny_model(family, size=TinySize(width=64, layers=1, vision_layers=1))
    tokens = len(processor.tokenizer)
    model.resize_token_embeddings(tokens + 32, mean_resizing=False)
    model.generation_config.suppress_tokens = [45]
    prompt = collator(family)([blind(0), blind(1)])["prompt"]
    # Hardly a preference, but no two alike: none of the many is cut off either.
    logits = torch.linspace(0.0, 0.1, tokens + 32).repeat(2, 1)
    logits[:, [45, processor.image_token_id, *range(tokens, tokens + 32)]] = 50.0
    torch.manual_seed(0)
    with scripted(model, lambda _: logits):
        answers = on_policy_answers(model, processor.tokenizer, prompt, OnPolicy(maximum_new_tokens=60))
    written = {token for answer in answers for token in answer}
    assert len(written) > 60 and max(written) < tokens
    assert not written & {45, processor.image_token_id}


@writers
def test_answers_end_at_their_end_token_or_a_stop_string_and_have_no_padding(family: str) -> None:
    model, processor, _ = tiny_model(family)
    tokenizer, vocabulary = processor.tokenizer, vocabulary_of(model)
    end = collator(family).conversation.end_id
    padding = tokenizer.pad_token_id
    assert end in end_tokens(model, tokenizer)
    a, b = tokenizer("a b", add_special_tokens=False)["input_ids"][:2]
    stop = tokenizer("</answer>", add_special_tokens=False)["input_ids"]
    filler = padding if padding not in end_tokens(model, tokenizer) else a
    rows = {
        "ends": [a, end, b, b],
        "at once": [end, a, a],
        "stops": [a, *stop, b, b],
        "at the limit": [a, filler, filler, b, *[a] * 40],
    }
    expected = [[a, end], [end], [a, *stop], rows["at the limit"][:12]]
    script = [[*row, *[b] * 12][:12] for row in rows.values()]
    prompt = collator(family)([blind(number) for number in range(4)])["prompt"]
    with scripted(model, lambda step: wanting([row[step] for row in script], vocabulary)) as lengths:
        answers = on_policy_answers(model, tokenizer, prompt, OnPolicy(maximum_new_tokens=12), ["</answer>"])
    assert answers == expected
    # Read from the cache, token by token.
    assert lengths == [prompt["input_ids"].shape[1], *[1] * 11]


@pytest.mark.parametrize("name", ["smolvlm_500m", "qwen2_5_vl_3b"])
def test_it_writes_at_rest_and_is_then_as_it_was(name: str) -> None:
    """Also where layers recompute activations, which in training mode would switch the cache off."""
    torch.manual_seed(0)
    module = PeftSft(
        name,
        random_weights=True,
        adapter=AdapterConfig(dropout=0.5),
        activation_checkpointing=True,
        tiny_size=SMALL,
    ).train()
    modes = {name: layer.training for name, layer in module.named_modules()}
    assert {True, False} == set(modes.values())
    batch = module.collator("fit")([letter_question(0), blind(1)])
    seen: list[bool] = []
    vocabulary = vocabulary_of(module.vlm.model)

    def never_ending(step: int) -> Tensor:
        seen.extend(layer.training for layer in module.network.modules())
        if step == 3:
            raise InterruptedError
        return wanting([40, 41], vocabulary)

    with scripted(module.vlm.model, never_ending) as lengths:
        answers = on_policy_answers(module.network, module.tokenizer, batch["prompt"], OnPolicy(1, 1.0, 3))
        assert answers == [[40] * 3, [41] * 3] and lengths[1:] == [1, 1]
        assert not any(seen)
        assert {name: layer.training for name, layer in module.named_modules()} == modes
        with pytest.raises(InterruptedError):
            on_policy_answers(module.network, module.tokenizer, batch["prompt"], OnPolicy(1, 1.0, 3))
    assert {name: layer.training for name, layer in module.named_modules()} == modes


def test_writing_and_learning_share_one_autocast() -> None:
    """Copies of weights that are cast while writing have no gradient; learning must not find them."""
    torch.manual_seed(0)
    module = PeftSft(
        "smolvlm_500m", random_weights=True, adapter=AdapterConfig(dropout=0.0), tiny_size=SMALL
    ).train()
    collate = module.collator("fit")
    assert isinstance(collate, VlmCollator)
    batch = collate([letter_question(0), blind(1)])
    with torch.autocast("cpu", torch.bfloat16):
        answers = on_policy_answers(
            module.network, module.tokenizer, batch["prompt"], OnPolicy(maximum_new_tokens=4)
        )
        inputs, labels = as_taught(collate, batch["prompt"], answers)
        module.loss({"inputs": inputs, "labels": labels})["answer_loss"].backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert any(float(p.grad.abs().sum()) > 0 for p in module.parameters() if p.grad is not None)


def test_padding_on_the_right_is_refused() -> None:
    model, processor, _ = tiny_model("smolvlm")
    batch = collator("smolvlm")([letter_question(0), blind(1)])
    with pytest.raises(ModelError, match="padded on the right"):
        on_policy_answers(model, processor.tokenizer, batch["inputs"], OnPolicy(maximum_new_tokens=2))


# How often


@given(share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_share_is_kept_in_every_stretch_of_steps(share: float, seed: int) -> None:
    config, steps = OnPolicy(share), 2000
    drawn = [config.sampled(seed, step) for step in range(steps)]
    for part in (drawn, drawn[::2], drawn[: steps // 2]):
        # Six standard deviations, and a few steps for shares next to 0 and 1, where the tail is longer.
        bound = 6 * math.sqrt(share * (1 - share) * len(part)) + 6 * (0 < share < 1)
        assert abs(sum(part) - share * len(part)) <= bound
    if share in (0, 1):
        assert set(drawn) == {bool(share)}


@given(share=st.sampled_from([0.0, 1.0]), seed=st.integers(), step=st.integers(0))
def test_a_share_of_nothing_is_never_drawn_and_of_everything_always(
    share: float, seed: int, step: int
) -> None:
    assert OnPolicy(share).sampled(seed, step) == bool(share)


@given(seed=st.integers(0, 2**32 - 1), step=st.integers(0, 10**7), others=st.integers(0, 2**32 - 1))
def test_the_draw_follows_from_seed_and_step_and_moves_no_other_random_numbers(
    seed: int, step: int, others: int
) -> None:
    torch.manual_seed(others)
    random.seed(others)
    np.random.seed(others)
    numpy_key = np.random.get_state(legacy=False)["state"]["key"].copy()
    before = torch.get_rng_state(), random.getstate()
    first = OnPolicy().sampled(seed, step)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state(legacy=False)["state"]["key"] == numpy_key).all()
    torch.manual_seed(others + 1)
    assert OnPolicy().sampled(seed, step) == first


def test_the_draw_is_the_same_in_every_process_and_not_the_same_for_every_seed() -> None:
    """Written down, since a resumed run is another process."""
    drawn = {seed: "".join("01"[OnPolicy().sampled(seed, step)] for step in range(20)) for seed in (0, 1)}
    assert drawn == {0: "11100100011000001111", 1: "00010000111000000001"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"share": -0.1}, r"share of steps on on-policy answers is -0.1; give a number from 0 to 1"),
        ({"share": 1.5}, r"is 1.5; give a number from 0 to 1 as on_policy.share\."),
        ({"share": math.nan}, r"is nan; give a number from 0 to 1"),
        (
            {"temperature": 0.0},
            r"temperature of on-policy answers is 0.0; .* above 0 as on_policy.temperature\.",
        ),
        ({"temperature": -1.0}, r"is -1.0; .* above 0"),
        ({"temperature": math.nan}, r"is nan; .* above 0"),
        ({"maximum_new_tokens": 0}, r"at most 0 tokens hold nothing to learn; give a number of at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        OnPolicy(**settings)
