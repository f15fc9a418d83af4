"""Placeholders and ends of answers in a record's texts are words like others, or refused by name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.tiny_giant.vocabulary import MASK
from lightning_modules.vlm.collator import IGNORED, CollatorError, VlmCollator
from lightning_modules.vlm.families import FAMILIES
from tests.helpers.sample_questions import (
    TINY_FAMILIES,
    letter_question,
    noise_image,
    tiny_model,
)
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import collator_for

FREE = {"choices": (), "answer_type": AnswerType.TEXT}


def specials(processor: Any, end: int) -> list[str]:
    """The placeholder of an image, the end of an answer, the end of texts, and what begins them."""
    tokenizer = processor.tokenizer
    names = [
        processor.image_token,
        tokenizer.convert_ids_to_tokens(end),
        tokenizer.eos_token,
        tokenizer.pad_token,
    ]
    return [name for name in dict.fromkeys([*names, tokenizer.bos_token]) if name]


def ids_in(batch: dict[str, Any], row: int = 0) -> list[int]:
    return batch["inputs"]["input_ids"][row][batch["inputs"]["attention_mask"][row] > 0].tolist()


@pytest.mark.parametrize("family", TINY_FAMILIES)
def test_they_are_words_wherever_they_are_written(family: str) -> None:
    _, processor, known = tiny_model(family)
    tokenizer = processor.tokenizer
    collate = VlmCollator(processor, known, with_labels=True, rationale=family != "paligemma")
    for name in specials(processor, collate.conversation.end_id):
        number = tokenizer.convert_tokens_to_ids(name)
        text = f"a {name}{name} b\ue000 c"
        changed: list[dict[str, Any]] = [
            {"question": text, **FREE, "answer": "x"},
            {"choices": (text, "lamp")},
            {"answer": text, **FREE},
            {"rationale": text},
        ]
        if not known.one_image:
            changed.append({"examples": (letter_question(1, answer=text, **FREE),)})
        for changes in changed:
            plain = {
                key: value.replace(name, "") if isinstance(value, str) else value
                for key, value in changes.items()
            }
            if changes.get("choices"):
                plain["choices"] = ("a  b\ue000 c", "lamp")
            if "examples" in changes:
                plain["examples"] = (letter_question(1, answer="a  b\ue000 c", **FREE),)
            batch = collate([letter_question(0, **changes)])
            tokens, bare = ids_in(batch), ids_in(collate([letter_question(0, **plain)]))
            assert tokens.count(number) == bare.count(number), (name, changes)
            written = tokenizer.decode(tokens)
            if collate.rationale or "rationale" not in changes:
                assert text in written, (name, changes)
            labels = [label for label in batch["labels"][0].tolist() if label != IGNORED]
            assert labels[-1] == collate.conversation.end_id not in labels[:-1]


def test_other_texts_are_tokenised_as_ever() -> None:
    _, processor, known = tiny_model("smolvlm")
    collate = VlmCollator(processor, known, with_labels=True)
    prompt = collate([letter_question(0)])["prompt"]["input_ids"][0].tolist()
    text = processor.tokenizer.decode(prompt)
    assert processor.tokenizer(text, add_special_tokens=False)["input_ids"] == prompt


def test_a_tokenizer_that_cannot_write_them_refuses_the_record() -> None:
    _, processor, known = tiny_model("qwen2_5_vl")
    unable = copy.copy(processor)
    plain = processor.tokenizer

    class Unable:
        """Takes every special token for one, as some tokenizers do."""

        def __call__(self, text: str, split_special_tokens: bool = False, **options: Any) -> Any:
            return plain(text, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(plain, name)

    unable.tokenizer = Unable()
    collate = VlmCollator(unable, known, with_labels=True)
    assert collate([letter_question(0)])
    for changes in ({"answer": "a <|im_end|>", **FREE}, {"question": "What is <|image_pad|>?"}):
        with pytest.raises(CollatorError, match=r"Question 'letter-0' .*contain <\|.*\|>, .*take it out"):
            collate([letter_question(0, **changes)])


@pytest.mark.parametrize("name", ["smolvlm_500m", "qwen2_5_vl_7b", "paligemma2_3b", "internvl3_1b"])
def test_real_tokenizers_write_them(zoo: Path, name: str) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(zoo / name)
    family = {"sm": "idefics3", "qw": "qwen2_5_vl", "pa": "paligemma", "in": "internvl"}[name[:2]]
    collate = VlmCollator(processor, FAMILIES[family], with_labels=True)
    sample = SpatialSample("q", "What?", image=noise_image(0), answer_type=AnswerType.TEXT)
    for special in specials(processor, collate.conversation.end_id):
        labels = collate([sample.replace(answer=f"a {special} b")])["labels"][0]
        tokens = [label for label in labels.tolist() if label != IGNORED]
        assert tokens[-1] == collate.conversation.end_id
        assert processor.tokenizer.convert_tokens_to_ids(special) not in tokens[:-1]
        assert processor.tokenizer.decode(tokens[:-1]).strip() == f"a {special} b"


def test_tiny_giant_names_regions_in_questions_alone() -> None:
    collate = collator_for()
    collate.with_labels = True
    sample = questions(0)[0].replace(
        answer="the <mask> <end>", answer_type=AnswerType.TEXT, rationale="a <MASK>"
    )
    batch = collate([sample.replace(choices=("<mask>", "lamp"), answer_type=AnswerType.LETTER)])
    assert (batch["question"] == MASK).sum() == len(sample.regions) == batch["region_named"].sum()
    batch = collate([sample])
    assert not (batch["normalized"] == MASK).any() and not (batch["free_form"] == MASK).any()
    assert (batch["normalized"][0] == 2).sum() == 1  # one end, behind the answer
