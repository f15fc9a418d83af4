"""No answer is taken from likelihoods that are no numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

from lightning_modules.base import ModelError
from lightning_modules.distillation.on_policy import OnPolicy, on_policy_answers
from lightning_modules.no_numbers import refuse_no_numbers
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.decoder import Written
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.sample_questions import letter_question
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import CONFIG, collator_for

NO_NUMBERS = {"NaN": torch.nan, "infinity": torch.inf}


@contextmanager
def broken(layer: nn.Module, row: int, value: float, token: int = 5) -> Iterator[None]:
    """A layer that gives one number of one row of a batch another value."""

    def spoil(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        changed = output.clone()
        changed[row, ..., token] = value
        return changed

    handle = layer.register_forward_hook(spoil)
    try:
        yield
    finally:
        handle.remove()


@pytest.fixture(scope="module")
def module() -> PeftSft:
    size = TinySize(width=64, layers=2, vision_layers=2, image_size=56)
    adapter = AdapterConfig(method="none")
    return PeftSft(
        "smolvlm_500m", random_weights=True, adapter=adapter, maximum_new_tokens=3, tiny_size=size
    ).eval()


@pytest.mark.parametrize("answering", ["rank", "generate", "reason_then_rank"])
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_vision_language_model_answers_nothing(module: PeftSft, answering: Any, kind: str) -> None:
    module.answering = answering
    batch = module.collator("test")([letter_question(number) for number in range(3)])
    answers = module.answer(batch)
    assert len(answers) == 3
    with (
        broken(module.vlm.model.lm_head, 1, NO_NUMBERS[kind]),
        pytest.raises(ModelError, match=r"question 'letter-1' are no finite numbers .*precision"),
    ):
        module.answer(batch)
    assert module.answer(batch) == answers


def test_what_cannot_be_said_is_no_fault(module: PeftSft) -> None:
    """Logits of minus infinity suppress a token; a candidate that is one has no likelihood to compare."""
    batch = module.collator("test")([letter_question(number) for number in range(2)])
    letter = batch["candidates"][0][1][-1]
    module.answering = "generate"
    with broken(module.vlm.model.lm_head, 0, -torch.inf, letter):
        assert len(module.answer(batch)) == 2
    module.answering = "rank"
    with (
        broken(module.vlm.model.lm_head, 0, -torch.inf, letter),
        pytest.raises(ModelError, match="'letter-0'"),
    ):
        module.answer(batch)


def test_a_students_own_answers_are_numbers_too(module: PeftSft) -> None:
    batch = module.collator("test")([letter_question(number) for number in range(2)])
    with (
        broken(module.vlm.model.lm_head, 1, torch.nan),
        pytest.raises(ModelError, match="number 1 of the batch"),
    ):
        on_policy_answers(
            module.network, module.tokenizer, batch["prompt"], OnPolicy(maximum_new_tokens=2), ()
        )


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_tiny_giant_answers_nothing(kind: str) -> None:
    torch.manual_seed(0)
    giant = TinyGiant(CONFIG, phases=[Phase("normalized", 1)]).eval()
    giant.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    collate = collator_for()
    giant.vocabulary.load(collate.vocabulary.words)
    batch = collate(questions(0))
    assert len(giant.answer(batch)) == 4
    write = giant.network.decoder.forward

    def spoiled(*inputs: Any) -> Written:
        written = write(*inputs)
        written.logits[2, ..., 7] = NO_NUMBERS[kind]
        return written

    decoder: Any = giant.network.decoder
    decoder.forward = spoiled
    with pytest.raises(ModelError, match=rf"question '{batch['samples'][2].id}' are no finite numbers"):
        giant.answer(batch)


def test_the_first_of_several_broken_questions_is_named() -> None:
    with pytest.raises(ModelError, match=r"question 'c' and 2 more of its batch are no finite"):
        refuse_no_numbers([2, 4, 5], ["a", "b", "c", "d", "e", "f"])
    with pytest.raises(ModelError, match=r"question number 1 of the batch are no finite"):
        refuse_no_numbers([1])
