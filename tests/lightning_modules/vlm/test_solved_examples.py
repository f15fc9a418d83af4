"""Solved examples before a question, with the published tokenizers, templates and processors.

Prompts, losses and answers are compared with transformers, used as its own pages say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText

from datamodules.samples import SpatialSample
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.collator import IGNORED, VlmCollator
from lightning_modules.vlm.loading import family_named
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.solved_examples import (
    REPLIES,
    THINGS,
    plain_inputs,
    processor_of,
    question_after_examples,
    require_equal,
)

MODELS = ("smolvlm_500m", "smolvlm_2b", "qwen2_5_vl_3b", "internvl3_1b", "paligemma2_3b")
"""One of each family."""
ENDS = {"qwen2_5_vl_3b": "<|im_end|>", "internvl3_1b": "<|im_end|>", "paligemma2_3b": "<eos>"}
FEW_TOKENS = {"smolvlm_500m": 100, "smolvlm_2b": 100, "qwen2_5_vl_3b": 40}
"""So that an image is one tile and a test quick; InternVL and PaliGemma take 256."""

models = pytest.mark.parametrize("name", MODELS)
look_at_several = pytest.mark.parametrize("name", [name for name in MODELS if name != "paligemma2_3b"])
Folder = Callable[[str], str]


@pytest.fixture(scope="module")
def folder(zoo: Path) -> Folder:
    """The folder of a model by its name."""
    return lambda name: str(zoo / name)


@cache
def network_of(folder: str) -> Any:
    """A folder's model as transformers opens it; not to be changed."""
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()


def collator(folder: str, with_labels: bool = False, **options: Any) -> VlmCollator:
    return VlmCollator(processor_of(folder), family_named(folder), with_labels, **options)


def sample_for(folder: str) -> SpatialSample:
    return question_after_examples(family_named(folder))


@models
def test_a_prompt_is_the_one_that_transformers_writes(name: str, folder: Folder) -> None:
    """Tokens and image tensors; of InternVL with the labels that its template leaves to the user."""
    sample, family = sample_for(folder(name)), family_named(folder(name))
    plain = plain_inputs(folder(name), sample)
    require_equal(collator(folder(name))([sample])["prompt"], plain, family)
    # One image alone has no label, and no example is one of those that another question was shown.
    alone = sample.replace(examples=(sample.examples[2],))
    require_equal(collator(folder(name))([alone])["prompt"], plain_inputs(folder(name), alone), family)


def image_alone(processor: Any, image: Any) -> tuple[dict[str, Tensor], int]:
    """An image's tensors by the processor alone, and how many tokens stand for it."""
    made = processor(text=[processor.image_token], images=[[image]], return_tensors="pt")
    tensors = {name: tensor for name, tensor in made.items() if name.startswith(("pixel_", "image_grid"))}
    return tensors, int((made["input_ids"] == processor.image_token_id).sum())


@look_at_several
def test_each_image_stands_in_its_own_turn_with_rows_and_features_of_its_own(
    name: str, folder: Folder
) -> None:
    processor, family, sample = (
        processor_of(folder(name)),
        family_named(folder(name)),
        sample_for(folder(name)),
    )
    prompt = collator(folder(name))([sample])["prompt"]
    tokens = prompt.pop("input_ids")[0]
    places = (tokens == processor.image_token_id).nonzero().flatten().tolist()
    turns = [turn for turn in (*sample.examples, sample) if turn.image is not None]
    assert [turn.id for turn in turns] == ["sofa", "stove", "mirror", "piano"]
    taken = dict.fromkeys(prompt, 0)
    for number, turn in enumerate(turns):
        assert turn.image is not None
        tensors, count = image_alone(processor, turn.image.open())
        own, places = places[:count], places[count:]
        before = processor.decode(tokens[: own[0]])
        behind = processor.decode(tokens[own[-1] : places[0] if places else None])
        for at, (thing, reply) in enumerate(zip(THINGS, REPLIES, strict=True)):
            earlier = at < THINGS.index(turn.id)
            assert (thing in before, reply in before) == (earlier, earlier)
        assert turn is sample or behind.index(turn.question) < behind.index(str(turn.answer))
        assert next(thing for thing in THINGS if thing in behind) == turn.id
        if name == "internvl3_1b":
            assert before.endswith(f"Image-{number + 1}: <img>")
        # Rows are those of its tiles or patches, and none is left over at the end.
        for key, tensor in tensors.items():
            tensor = tensor.transpose(0, 1) if family.nested_images else tensor
            rows = prompt[key][taken[key] : taken[key] + len(tensor)]
            taken[key] += len(tensor)
            assert torch.equal(rows, tensor), (turn.id, key)
        with torch.no_grad():
            features = network_of(folder(name)).get_image_features(**tensors).pooler_output
        assert sum(part[..., 0].numel() for part in features) == count
    assert not places
    assert all(rows == len(prompt[key]) for key, rows in taken.items() if rows)


@models
def test_examples_are_left_out_from_the_far_end(name: str, folder: Folder) -> None:
    """With their words, answers and images; the nearest one goes last."""
    sample, family = sample_for(folder(name)), family_named(folder(name))
    for kept in (3, 1, 0):
        fewer = sample.replace(examples=sample.examples[4 - kept :])
        plain = plain_inputs(folder(name), fewer)
        window = plain["input_ids"].shape[1] + 2
        batch = collator(folder(name), maximum_tokens=window)([sample])
        require_equal(batch["prompt"], plain, family)
        text = processor_of(folder(name)).decode(batch["prompt"]["input_ids"][0])
        assert [thing in text for thing in THINGS] == [at >= 4 - kept for at in range(5)]
        assert [reply in text for reply in REPLIES] == [4 - kept <= at < 4 for at in range(5)]
        assert batch["shortened"] == 1 and not batch["scaled"]


@models
def test_neither_images_nor_the_answers_of_examples_are_learnt(name: str, folder: Folder) -> None:
    sample, processor = sample_for(folder(name)), processor_of(folder(name))
    other = sample.replace(id="shorter", answer="a bench", examples=sample.examples[3:])
    batch = collator(folder(name), with_labels=True)([sample, other])
    for row, asked in enumerate((sample, other)):
        labels, tokens = batch["labels"][row], batch["inputs"]["input_ids"][row]
        last = int(batch["inputs"]["attention_mask"][row].sum())
        learnt = (labels != IGNORED).nonzero().flatten().tolist()
        assert learnt == list(range(learnt[0], last)) and torch.equal(labels[learnt], tokens[learnt])
        space = " " if "smolvlm" in name else ""
        end = ENDS.get(name, "<end_of_utterance>")
        assert processor.decode(labels[learnt]) == f"{space}{asked.answer}{end}"
        # The answers of examples are there, before all that is learnt.
        before = processor.decode(tokens[: learnt[0]])
        assert all(str(example.answer) in before for example in asked.examples)
        assert str(asked.answer) not in before


def test_loss_and_gradients_are_those_of_transformers_with_the_same_labels(folder: Folder) -> None:
    name = "qwen2_5_vl_3b"
    sample, processor = sample_for(folder(name)), processor_of(folder(name))
    module = PeftSft(folder(name), adapter=AdapterConfig("full"))
    module.network.eval()
    found = module.loss(module.collator("fit")([sample]))["answer_loss"]
    found.backward()

    plain = plain_inputs(folder(name), sample)
    answer = processor.tokenizer(f"{sample.answer}<|im_end|>", return_tensors="pt")["input_ids"]
    ids = torch.cat([plain["input_ids"], answer], dim=1)
    kinds = (ids == processor.image_token_id).int()
    inputs = {**plain, "input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
    labels = torch.cat([torch.full_like(plain["input_ids"], -100), answer], dim=1)
    network = AutoModelForImageTextToText.from_pretrained(folder(name), dtype=torch.float32).eval()
    expected = network(**inputs, labels=labels, use_cache=False).loss
    expected.backward()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    trained = dict(module.vlm.model.named_parameters())
    compared = 0
    for key, parameter in network.named_parameters():
        if (own := trained[key].grad) is not None:
            assert parameter.grad is not None
            assert (own - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), key
            compared += bool(own.any())
    assert compared > 20


def answering(folder: str, name: str) -> PeftSft:
    return PeftSft(
        folder,
        adapter=AdapterConfig("none"),
        answering="generate",
        maximum_new_tokens=6,
        image_tokens=FEW_TOKENS.get(name, 256),
    ).eval()


@torch.no_grad()
def plainly_written(module: PeftSft, prompt: dict[str, Tensor], **options: Any) -> str:
    """What transformers writes behind one prompt, by the model's own settings and `options`."""
    tokens = module.vlm.model.generate(**prompt, max_new_tokens=6, **options)[0]
    return module.tokenizer.decode(tokens[prompt["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@torch.no_grad()
def following(module: PeftSft, prompt: dict[str, Tensor]) -> Tensor:
    """The logits behind each prompt, `[prompts, vocabulary]`."""
    return module.vlm.model(**prompt, logits_to_keep=1).logits[:, -1]


GREEDY = {"do_sample": False, "repetition_penalty": 1.0}


@models
def test_answers_behind_examples_are_the_likeliest_tokens_in_batches_as_one_by_one(
    name: str, folder: Folder
) -> None:
    module = answering(folder(name), name)
    sample, collate = sample_for(folder(name)), module.collator("test")
    asked = [
        sample,
        sample.replace(id="few", examples=sample.examples[2:]),
        sample.replace(id="none", examples=()),
    ]
    batch = collate(asked)
    assert not batch["prompt"]["attention_mask"].all()
    together, said = module.answer(batch), following(module, batch["prompt"])
    for row, question in enumerate(asked):
        batch = collate([question])
        (alone,) = module.answer(batch)
        assert together[row].raw == alone.raw == plainly_written(module, batch["prompt"], **GREEDY)
        torch.testing.assert_close(said[row], following(module, batch["prompt"])[0], atol=1e-4, rtol=1e-4)
    # The examples are seen.
    assert min((said[0] - said[row]).abs().max() for row in (1, 2)) > 1e-3


def test_an_answer_that_an_example_has_is_not_penalised(folder: Folder) -> None:
    """The published settings of Qwen2.5-VL sample, and penalise what stands in the prompt."""
    name = "qwen2_5_vl_3b"
    module = answering(folder(name), name)
    settings = module.vlm.model.generation_config
    assert settings.do_sample and settings.repetition_penalty == 1.05
    (favoured,) = module.tokenizer(" drum")["input_ids"]

    def favour(layer: Any, inputs: Any, logits: Tensor) -> Tensor:
        """A little likelier than all others: by less than the penalty."""
        logits[..., favoured] = 1.02 * logits.max(-1).values
        return logits

    module.vlm.model.get_output_embeddings().register_forward_hook(favour)
    batch = module.collator("test")([sample_for(folder(name))])
    assert favoured in batch["prompt"]["input_ids"]
    (answer,) = module.answer(batch)
    assert answer.raw == plainly_written(module, batch["prompt"], **GREEDY) == "drum" + " drum" * 5
    assert plainly_written(module, batch["prompt"], do_sample=False) != answer.raw
