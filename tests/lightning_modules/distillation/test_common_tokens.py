"""What two tokenizers share, and the classes that logits are compared on."""

from __future__ import annotations

import pytest
import torch
from tokenizers import AddedToken

from lightning_modules.base import ModelError
from lightning_modules.distillation.logits.common_tokens import CommonTokens, common_tokens
from lightning_modules.distillation.logits.teacher_signal import TeacherLogits
from lightning_modules.vlm.tiny_models import make_tiny_model
from lightning_modules.vlm.tokenizers import make_tokenizer


def test_the_same_tokenizer_needs_no_bridge() -> None:
    tokenizer = make_tiny_model("smolvlm")[1].tokenizer
    assert common_tokens(tokenizer, tokenizer, 5, 5) is None


def test_special_tokens_behind_the_text_may_differ() -> None:
    """Tiny models of different families share their words, and have other special tokens behind them."""
    ours, theirs = (make_tiny_model(name)[1].tokenizer for name in ("smolvlm", "qwen2_5_vl"))
    ends = [
        t.convert_tokens_to_ids(name) for t, name in ((ours, "<end_of_utterance>"), (theirs, "<|im_end|>"))
    ]
    found = common_tokens(ours, theirs, *ends)
    assert found is not None
    assert ours.convert_ids_to_tokens(list(range(found.text))) == theirs.convert_ids_to_tokens(
        list(range(found.text))
    )
    assert ours.convert_ids_to_tokens(found.text) != theirs.convert_ids_to_tokens(found.text)


def test_other_words_are_refused_with_the_first_token_that_differs() -> None:
    ours, theirs = (make_tokenizer([], eos_token="<|im_end|>", pad_token="<|endoftext|>") for _ in range(2))
    # A word more at the end moves nothing; a word that takes another one's number does.
    vocabulary = theirs.get_vocab()
    a, b = (theirs.convert_ids_to_tokens(number) for number in (700, 701))
    vocabulary[a], vocabulary[b] = 701, 700

    class Swapped:
        def get_vocab(self) -> dict[str, int]:
            return vocabulary

        def get_added_vocab(self) -> dict[str, int]:
            added: dict[str, int] = theirs.get_added_vocab()
            return added

    with pytest.raises(ModelError, match=r"token 700 is .* for the student and .* for the teacher"):
        common_tokens(ours, Swapped(), 0, 0)
    theirs.add_tokens([AddedToken("<extra>", special=True)])
    assert common_tokens(ours, theirs, 0, 0) is None
    # With other ends the classes are those of the smaller of both, whoever has it.
    for one, other in ((ours, theirs), (theirs, ours)):
        assert common_tokens(one, other, 3, 4) == CommonTokens(len(ours), 3, 4)


@pytest.mark.parametrize(("student_end", "teacher_end"), [(4, 13), (4, 7), (11, 3)])
def test_the_outcomes_are_the_text_and_the_end(student_end: int, teacher_end: int) -> None:
    """Against a loop over classes, with ends inside and behind the text."""
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 12).double(), torch.randn(3, 15).double()
    tokens = CommonTokens(10, student_end, teacher_end)
    ours, theirs = tokens.of_student(student).softmax(-1), tokens.of_teacher(teacher).softmax(-1)
    shared = [number for number in range(10) if number not in (student_end, teacher_end)]
    for row in range(3):
        mine = student[row, [*shared, student_end]].softmax(-1)
        wanted = teacher[row, [*shared, teacher_end]].softmax(-1)
        assert torch.allclose(ours[row, [*shared, 10]], mine)
        assert torch.allclose(theirs[row, [*shared, 10]], wanted)


def test_an_end_by_another_number_is_the_same_end() -> None:
    """A student that ends where its teacher does has nothing to learn, whatever the token is called."""
    teacher = torch.randn(4, 12).double()
    student = teacher[:, [*range(10), 11, 10]]
    tokens = CommonTokens(text=10, student_end=11, teacher_end=10)
    signal = TeacherLogits(teacher, torch.nn.Identity(), tokens=tokens)
    theirs, ours = signal.compare(student, 1.5)
    assert torch.allclose(theirs, ours)
